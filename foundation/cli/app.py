"""The commands and what they print; the work is done elsewhere."""

from __future__ import annotations

import dataclasses
import importlib
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


def load(target: str) -> Any:
    """Return the class that ``module:App`` names.

    Raises:
        Usage: there is no such module or class, or it cannot be run.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise Usage(f"what to run must be 'module:App', got {target!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise Usage(
                f"there is no module {error.name!r} here ({os.getcwd()}) or installed"
            ) from None
        text = f"module {module_name!r} needs {error.name!r}, which is not installed"
        raise Usage(text) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise Usage(f"module {module_name!r} has no {attribute!r}")
        found = getattr(found, part)
    if not (isinstance(found, list) or (isinstance(found, type) and hasattr(found, "spec"))):
        raise Usage(f"{target!r} must be a Supervisor or GenServer class, got {found!r}")
    return found


@app.command(
    help_epilogue=_examples("foundation cluster", "foundation cluster --node shop-1 --json")
)
def cluster(
    *,
    node: str | None = None,
    cookie_file: Path | None = None,
    as_json: Annotated[bool, cyclopts.Parameter(name="--json", negative="")] = False,
) -> int:
    """Print the members of the cluster that a running node of this machine is part of.

    Ends with exit code 1 when the node is not part of one.

    Args:
        node: its name, when several run.
        cookie_file: a file with its shared secret, when it is not this user's.
        as_json: print JSON.
    """
    from foundation.cli.views import cluster_lines, cluster_of

    found = cluster_of(snapshot_of(node, cookie_file))
    if found is None:
        raise NodeError("that node is not part of a cluster; see foundation run --cluster")
    print(json.dumps(found) if as_json else "\n".join(cluster_lines(found)))
    return EXIT_OK


def _settings_commands() -> None:
    from foundation.cli import settings_commands

    app.command(
        settings_commands.config,
        help_epilogue=_examples(
            "foundation config",
            "FOUNDATION_CLUSTER=kubernetes foundation config --json",
            "foundation config --cluster gossip",
        ),
    )
    app.command(
        settings_commands.doctor,
        help_epilogue=_examples(
            "foundation doctor",
            "foundation doctor --cluster dns --cookie-file secret",
            "foundation doctor --json",
        ),
    )


_settings_commands()

for _command, _epilogue in scope.COMMANDS:
    app.command(_command, help_epilogue=_epilogue)


def _observe_commands() -> None:
    from foundation.cli import observe_commands

    app.command(
        observe_commands.tree,
        help_epilogue=_examples(
            "foundation tree", "foundation tree --node shop --json", "foundation tree --cluster"
        ),
    )
    app.command(
        observe_commands.top,
        help_epilogue=_examples(
            "foundation top",
            "foundation top --node shop --interval 0.2",
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


def snapshot_of(node: str | None, cookie_file: Path | None) -> Any:
    """Return a full snapshot of one node.

    Raises:
        Usage, NodeError: there is no such file or node, or it does not answer.
    """
    import asyncio
    import logging

    from foundation.runtime import directory, inspect

    logging.getLogger("foundation").setLevel(logging.ERROR)  # the error below says it better
    entry = directory.find(node)
    return asyncio.run(inspect.look(entry, read_cookie(cookie_file)))
