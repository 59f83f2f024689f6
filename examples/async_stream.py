"""Task.async_stream: at most n at once, results in order, failures as values.

    python examples/async_stream.py
"""

import foundation
from foundation.otp import Exited, Result, TaskSupervisor


def word_count(text):
    return len(text.split())


async def count_all(texts):
    supervisor = await TaskSupervisor.start_link()
    counts = []
    stream = TaskSupervisor.stream_nolink(supervisor, texts, word_count, max_concurrency=3)
    async for outcome in stream:
        match outcome:
            case Result(value):
                counts.append(value)
            case Exited(reason):
                counts.append(reason.type)
    return counts


if __name__ == "__main__":
    with foundation.start(None, hosts=0, log_level=60) as node:
        print(node.run(count_all, ["one two", "three", None, "four five six"]))
