"""The smallest server: state, a call, a cast, a crash and a fresh start.

The crash is reported on standard error, by the logger ``foundation``.

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
            case ("divide by", number):
                return self.count / number
        return super().handle_call(request, caller)  # refuses what it does not know

    def handle_cast(self, request):
        match request:
            case ("set", count):
                self.count = count


class App(Supervisor):
    def init(self):
        return [Counter.spec(10, name="counter")]


def main():
    with foundation.start(App) as node:
        print(node.call("counter", "next"))  # 11
        node.cast("counter", ("set", 41))
        print(node.call("counter", "next"))  # 42
        try:
            node.call("counter", ("divide by", 0))
        except foundation.CallExit as error:
            print(error.reason.type)  # ZeroDivisionError
        node.wait_for("counter")
        print(node.call("counter", "next"))  # 11, from a new instance


if __name__ == "__main__":
    main()
