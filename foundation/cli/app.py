"""The commands and what they print; the work is done elsewhere."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts

import foundation
from foundation.cli import scope
from foundation.cli.arguments import EXIT_FAILED, EXIT_OK, EXIT_USAGE, Usage, read_cookie
from foundation.cli.arguments import examples as _examples
from foundation.cli.loading import load
from foundation.errors import FoundationError, NodeError
from foundation.transport import BUSY_WAIT

FILES = 1000  # for the demo: some ten seconds of work for two cores
CLUSTER_FILES = 400



app = cyclopts.App(
    name="foundation",
    help="OTP for Python: run, watch and shoot at supervised applications.",
    version=lambda: foundation.__version__,
    suppress_keyboard_interrupt=False,
    help_format="plaintext",
    help_epilogue=_examples(
        "foundation demo",
        "foundation run bank:Bank --hosts 2",
        "foundation tree",
        "foundation top --json",
    )
    + "\n\nExit codes: 0 done, 1 failed, 2 the command line is wrong, 130 Ctrl-C.",
)


def run_app(arguments: list[str] | None = None) -> int:
    """Run the command of *arguments* (default: those of the program); return the exit code."""
    try:
        result = app(arguments, result_action="return_value", print_error=True)
    except (Usage, FoundationError) as error:
        print(f"foundation: {error}", file=sys.stderr)
        return EXIT_USAGE if isinstance(error, Usage) else EXIT_FAILED
    except KeyboardInterrupt:
        print("foundation: interrupted", file=sys.stderr)
        return 130
    return int(result or EXIT_OK)


@app.command(
    help_epilogue=_examples(
        "foundation demo",
        "foundation demo --files 200 --kills 10 --hosts 2 --cluster-files 0",
        "foundation demo --seed 7 --json",
    )
)
def demo(
    *,
    files: int = FILES,
    kills: int = 4,
    hosts: int = 4,
    seed: int | None = None,
    cluster_files: int = CLUSTER_FILES,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> int:
    """Index the standard library's sources while servers crash and hosts are killed.

    Then the same over three nodes, while one is killed and another is cut off. Ends with exit
    code 0 when both indexes equal those of a plain loop and nothing ran twice, else 1.

    Args:
        files: how many source files, evenly chosen; all when there are not that many.
        kills: how many worker hosts get SIGKILL; twice as many servers are shot too.
        hosts: worker hosts.
        seed: of the moments and the victims.
        cluster_files: source files for the three nodes; 0 leaves that part out.
        as_json: print the score as JSON and nothing else.
    """
    from foundation.cli import cluster_demo
    from foundation.cli.demo import Demo, report
    from foundation.cli.progress import make_screen

    limits = (
        ("files", files, 1),
        ("kills", kills, 0),
        ("hosts", hosts, 1),
        ("cluster-files", cluster_files, 0),
    )
    for name, value, least in limits:
        if value < least:
            raise Usage(f"--{name} must be {least} or more, got {value}")
    seed = int.from_bytes(os.urandom(3), "big") if seed is None else seed
    with make_screen(quiet=as_json) as screen:
        screen.say(f"seed {seed}")
        score = Demo(files, kills, hosts, seed, screen).run()
    if not as_json:
        print("\n".join(report(score)))
    result, good = {"seed": seed, **score.as_json()}, score.equal
    if cluster_files:
        with make_screen(quiet=as_json) as screen:
            nodes = cluster_demo.ClusterDemo(cluster_files, screen).run()
        if not as_json:
            print("\n".join(cluster_demo.report(nodes)))
        result["cluster"], good = dataclasses.asdict(nodes), good and nodes.good
    if as_json:
        print(json.dumps(result))
    return EXIT_OK if good else EXIT_FAILED


@app.command(
    help_epilogue=_examples(
        "foundation run bank:Bank",
        "foundation run shop.main:App --name shop --hosts 4 --cookie-file secret",
        "foundation run bank:Bank --hosts 0",
        "foundation run bank:Bank --cluster shop --bind 10.0.0.1 --join 10.0.0.2:4400",
        "foundation run bank:Bank --cluster shop --label zone=a",
    )
)
def run(
    target: str,
    /,
    *,
    name: str | None = None,
    hosts: int | None = None,
    home: str = "worker",
    port: int = 0,
    cookie_file: Path | None = None,
    stock: bool = False,
    uvloop: bool = False,
    busy_wait: float = BUSY_WAIT,
    cluster: str | None = None,
    join: tuple[str, ...] = (),
    bind: str = "127.0.0.1",
    advertise: str | None = None,
    cluster_port: int = 0,
    label: tuple[str, ...] = (),
    expected_size: int | None = None,
) -> int:
    """Run an application in the foreground until SIGTERM or Ctrl-C.

    Ends with exit code 0 after a signal, 1 when the application could not start or gave up, 2
    when the command line is wrong.

    Args:
        target: ``module:App``, a Supervisor or GenServer class; modules of this directory too.
        name: name of the node.
        hosts: worker hosts; one per core by default, 0 for none.
        home: where the tree starts: worker, control, main or a host's name.
        port: of the Thespian admin; a free one by default.
        cookie_file: a file with the node's shared secret.
        stock: run on Thespian's own multiprocTCPBase.
        uvloop: run the hosts on uvloop.
        busy_wait: seconds that an idle host looks for messages before it sleeps; 0 for none.
        cluster: name of the cluster to be part of; without --join: with the other nodes of this
            user on this machine.
        join: host:port of a node to find the cluster by; may be given several times.
        bind: the address that the node listens at; others than loopback need a cookie.
        advertise: the address that other nodes dial, when it is not --bind.
        cluster_port: of the cluster endpoint; a free one by default.
        label: key=value, for placement; may be given several times.
        expected_size: how many nodes the cluster has when it is whole.
    """
    from foundation.entry import run as run_application

    _check_node(name, hosts, port, busy_wait)
    if stock and cluster is not None:
        raise Usage("--stock cannot be combined with --cluster: other nodes need our transport")
    application = load(target)
    chosen = (join, bind, advertise, cluster_port, label, expected_size)
    config = _cluster_config(cluster, *chosen)
    cookie = read_cookie(cookie_file)

    def ready(node: Any) -> None:
        hosts = sorted(node.hosts().items())
        pids = ", ".join(f"{address.partition('/')[2]} {pid}" for address, pid in hosts)
        print(f"node {node.name} is up: {target}; hosts: {pids or 'this program'}", flush=True)

    return run_application(
        application,
        on_ready=ready,
        name=name,
        hosts=hosts,
        home=home,
        port=port,
        cookie=cookie,
        stock=stock,
        uvloop=uvloop,
        busy_wait=busy_wait,
        cluster=config,
    )


def _check_node(name: str | None, hosts: int | None, port: int, busy_wait: float) -> None:
    from foundation.runtime.program import NodeOptions

    if hosts is not None and hosts < 0:
        raise Usage(f"--hosts must be 0 or more, got {hosts}")
    if not 0 <= port <= 65535:
        raise Usage(f"--port must be 0 to 65535, got {port}")
    try:
        NodeOptions("x" if name is None else name, hosts=hosts, busy_wait=busy_wait)
    except FoundationError as error:
        raise Usage(f"--{str(error).replace('_', '-', 1)}") from None


def _cluster_config(
    name: str | None,
    join: tuple[str, ...],
    bind: str,
    advertise: str | None,
    port: int,
    label: tuple[str, ...],
    expected_size: int | None,
) -> Any:
    from foundation.cluster import ClusterConfig
    from foundation.cluster.discovery import StaticList

    if name is None:
        sized = expected_size is not None
        if join or advertise or port or label or sized or bind != "127.0.0.1":
            raise Usage(
                "--join, --bind, --advertise, --cluster-port, --label and --expected-size need "
                "--cluster NAME"
            )
        return None
    wrong = [text for text in label if "=" not in text]
    if wrong:
        raise Usage(f"--label must be key=value, got {wrong[0]!r}")
    try:
        return ClusterConfig(
            name=name,
            bind=bind,
            advertise=advertise,
            port=port,
            strategies=(StaticList(join),) if join else None,
            labels=dict(text.split("=", 1) for text in label),
            expected_size=expected_size,
        )
    except (NodeError, ValueError) as error:
        raise Usage(str(error)) from None


def _settings_commands() -> None:
    from foundation.cli import settings_commands

    app.command(
        settings_commands.config,
        help_epilogue=_examples(
            "foundation config",
            "FOUNDATION_CLUSTER=kubernetes foundation config --json",
            "foundation config --strategy gossip",
        ),
    )
    app.command(
        settings_commands.doctor,
        help_epilogue=_examples(
            "foundation doctor",
            "foundation doctor --strategy dns --cookie-file secret",
            "foundation doctor --json",
        ),
    )


_settings_commands()

for _command, _epilogue in scope.COMMANDS:
    app.command(_command, help_epilogue=_epilogue)


def _observe_commands() -> None:
    from foundation.cli import observe_commands

    app.command(
        observe_commands.cluster,
        help_epilogue=_examples("foundation cluster", "foundation cluster --node shop-1 --json"),
    )
    app.command(
        observe_commands.tree,
        help_epilogue=_examples(
            "foundation tree",
            "foundation tree --only shop-1",
            "foundation tree --node shop-2 --json",
        ),
    )
    app.command(
        observe_commands.top,
        help_epilogue=_examples(
            "foundation top",
            "foundation top --only shop-1 --interval 0.2",
            "foundation top --section processes --once",
            "foundation top --json",
        ),
    )
    app.command(
        observe_commands.dashboard,
        help_epilogue=_examples(
            "foundation dashboard",
            "foundation dashboard --port 0 --cluster shop",
            "foundation dashboard --bind 0.0.0.0 --allow-host shop.example.net",
        ),
    )


_observe_commands()
