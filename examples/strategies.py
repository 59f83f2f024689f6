"""What each restart strategy restarts when the second of three children crashes.

With ``hosts=0`` everything runs in this program, without other processes.

    python examples/strategies.py
"""

import contextlib
import logging

import foundation
from foundation.otp import GenServer, Supervisor


class Child(GenServer):
    def handle_call(self, request, caller):
        raise RuntimeError("boom")


def restarted(strategy):
    trio = Supervisor.spec([Child.spec(name=name) for name in "abc"], strategy=strategy)
    with foundation.start(trio, hosts=0, log_level=logging.CRITICAL) as node:
        before = {name: node.whereis(name) for name in "abc"}
        with contextlib.suppress(foundation.CallExit):
            node.call("b", "crash")
        after = {name: node.wait_for(name) for name in "bca"}
        return [name for name in "abc" if after[name] != before[name]]


def main():
    for strategy in ("one_for_one", "rest_for_one", "one_for_all"):
        print(strategy.ljust(13), *restarted(strategy))


if __name__ == "__main__":
    main()
