"""What each restart strategy restarts when the second of three children crashes.

    python examples/strategies.py
"""

import foundation
from foundation.otp import GenServer, Supervisor


class Child(GenServer):
    def handle_call(self, request, caller):
        if request == "crash":
            raise RuntimeError("boom")
        return "ok"


class Trio(Supervisor):
    def init(self, strategy):
        self.strategy = strategy
        return [Child.spec(name=name) for name in "abc"]


def restarted(strategy):
    with foundation.start(Trio, strategy, hosts=0, log_level=60) as node:
        before = {name: node.whereis(name) for name in "abc"}
        try:
            node.call("b", "crash")
        except foundation.CallExit:
            pass
        for name in "abc":
            node.wait_for(name)
        return [name for name in "abc" if node.whereis(name) != before[name]]


if __name__ == "__main__":
    for strategy in ("one_for_one", "rest_for_one", "one_for_all"):
        print(f"{strategy:13}", *restarted(strategy))
