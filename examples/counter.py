"""The smallest server: state, a call, a cast, a crash and a fresh start.

    python examples/counter.py
"""

import foundation
from foundation.otp import GenServer, Supervisor


class Counter(GenServer):
    def init(self, start=0):
        self.count = start

    def handle_call(self, request, caller):
        match request:
            case "next":
                self.count += 1
                return self.count
        return super().handle_call(request, caller)

    def handle_cast(self, request):
        self.count = request  # "set to"


class App(Supervisor):
    def init(self):
        return [Counter.spec(10, name="counter")]


if __name__ == "__main__":
    with foundation.start(App, log_level=50) as node:
        print(node.call("counter", "next"))  # 11
        node.cast("counter", 41)
        print(node.call("counter", "next"))  # 42
        try:
            node.call("counter", "no such request")
        except foundation.CallExit as error:
            print("crashed:", error.reason.type)
        node.wait_for("counter")
        print(node.call("counter", "next"))  # 11 again: a new instance
