"""Three nodes share work: each job runs once, and elsewhere when its node gets kill -9.

    python examples/cluster_jobs.py
"""

import subprocess
import sys
import tempfile
import time

import foundation
from foundation.cluster import ClusterConfig, await_cluster
from foundation.cluster.discovery import Loopback
from foundation.cluster.supervisor import DistributedSupervisor, child, plan, which_children
from foundation.otp import GenServer


class Scheduler(GenServer):
    """Must run once in the whole cluster."""


class Shard(GenServer):
    """One of several that share the work."""

    def init(self, partition):
        self.partition = partition


# The same on each node. "stop": where no majority is seen, jobs stop, so none ever runs twice.
APP = [
    DistributedSupervisor.spec(
        name="jobs",
        on_minority="stop",
        children=[Scheduler.spec(id="scheduler"), child(Shard.spec(), id="shard", partitions=5)],
    )
]


def config(directory):
    return ClusterConfig(name="jobs", strategies=(Loopback(directory),), expected_size=3)


async def placement():
    return {job.id: job.node for job in which_children("jobs") if job.status == "running"}


def wait_for_jobs(node, without=None):
    """Wait until all six run, none on the node *without*, and none is to move."""
    while True:
        found = node.run(placement)
        if len(found) == 6 and without not in found.values() and not node.run(plan, "jobs"):
            return found
        time.sleep(0.02)


def watch(node, programs):
    node.run(await_cluster, 3)
    before = wait_for_jobs(node)
    print(len(before), "jobs run, some on each node:", sorted(set(before.values())))

    moves = node.run(lambda: plan("jobs", without=["c"]))
    print("without c its jobs would move, and no others:", {m.from_ for m in moves})

    programs["c"].kill()
    after = wait_for_jobs(node, without="c")
    print("c was killed; as planned:", all(after[m.id] == m.to for m in moves))
    stayed = [job for job in before if before[job] != "c"]
    print("the others stayed:", all(after[job] == before[job] for job in stayed))


def start(name, directory):
    """Start a node as a program, which ends with this one, whatever becomes of it."""
    command = [sys.executable, __file__, name, directory]
    return subprocess.Popen(command, stdin=subprocess.PIPE)


def main():
    with tempfile.TemporaryDirectory() as directory:
        programs = {name: start(name, directory) for name in ("b", "c")}
        try:
            with foundation.start(APP, name="a", cluster=config(directory)) as node:
                watch(node, programs)
        finally:
            for program in programs.values():
                program.communicate()  # closes its standard input


if __name__ == "__main__":
    if len(sys.argv) > 1:  # this is node b or c
        with foundation.start(APP, name=sys.argv[1], cluster=config(sys.argv[2])):
            sys.stdin.read()
    else:
        main()
