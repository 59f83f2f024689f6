"""A cluster shares work through the facades; a node gets kill -9 meanwhile, and nothing is lost.

    python examples/distributed_map.py
"""

import asyncio
import subprocess
import sys
import tempfile

import foundation
from foundation import channels, health_monitor, process_manager, service_mesh
from foundation.channels import ANY
from foundation.cluster import await_cluster
from foundation.otp import CallExit, GenServer


class Evaluator(GenServer):
    """One on each node, which makes itself known as a service."""

    async def init(self, exponent):
        self.exponent = exponent
        await service_mesh.register("evaluator", capabilities=["power"])

    async def handle_call(self, number, caller):
        await asyncio.sleep(0.02)  # the work
        channels.broadcast("events", ("evaluated", number))
        return number**self.exponent


async def evaluate(number):
    """Have any evaluator do it; a second time, should its node have died before it answered."""
    while True:
        try:
            await service_mesh.wait_for("evaluator")
            return await service_mesh.call("evaluator", number, strategy="least_outstanding")
        except (CallExit, service_mesh.NoInstance):
            continue


async def prepare():
    await await_cluster(3)
    evaluators = await process_manager.start_replicated(Evaluator, 2, name="evaluators")
    await evaluators.complete(at_least=3)
    return sorted(evaluators)


async def square(numbers, kill):
    heard = []
    await channels.subscribe("events", heard.append, match=("evaluated", ANY))
    tasks = [asyncio.create_task(evaluate(number)) for number in numbers]
    await tasks[len(tasks) // 3]
    kill()
    return await asyncio.gather(*tasks), {number for _, number in heard}


async def health():
    report = await health_monitor.cluster_health()
    return f"{report.status}: {', '.join(report.reasons)}"


def start(name, directory):
    """Start a node as a program, which ends with this one, whatever becomes of it."""
    command = [sys.executable, __file__, name, directory]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def main():
    with tempfile.TemporaryDirectory() as directory:
        programs = [start(name, directory) for name in ("b", "c")]
        try:
            with foundation.start(name="a", cluster=cluster(directory)) as node:
                print("evaluators on", *node.run(prepare))
                squares, heard = node.run(square, range(300), programs[0].kill)
                expected = [number**2 for number in range(300)]
                print("b was killed; all squares are there:", squares == expected)
                print("of most, a has heard from b and c:", len(heard) > 250)
                print(node.run(health))
        finally:
            for program in programs:
                program.communicate()  # closes its standard input


def cluster(directory):
    return {"strategy": "loopback", "directory": directory, "name": "map", "expected_nodes": 3}


if __name__ == "__main__":
    if len(sys.argv) > 1:  # this is node b or c
        with foundation.start(name=sys.argv[1], cluster=cluster(sys.argv[2])):
            sys.stdin.read()
    else:
        main()
