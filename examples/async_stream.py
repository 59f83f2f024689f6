"""Task streams: at most n at once, results in order, failures as values.

``host="spread"`` runs the tasks in the worker hosts in turn, so on all cores.

    python examples/async_stream.py
"""

import logging

import foundation
from foundation.otp import Exited, Result, TaskSupervisor


def word_count(text):
    return len(text.split())


async def count_all(texts):
    stream = TaskSupervisor.stream_nolink(
        "tasks", texts, word_count, max_concurrency=3, host="spread"
    )
    async for outcome in stream:
        match outcome:
            case Result(count):
                print(count)
            case Exited(reason):
                print("failed:", reason)


def main():
    tasks = TaskSupervisor.spec(name="tasks")
    with foundation.start(tasks, hosts=2, log_level=logging.CRITICAL) as node:
        node.run(count_all, ["one two", "three", None, "four five six"])
        # 2
        # 1
        # failed: Crash(AttributeError: 'NoneType' object has no attribute 'split')
        # 3


if __name__ == "__main__":
    main()
