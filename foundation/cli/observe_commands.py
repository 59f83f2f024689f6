"""``foundation cluster``, ``tree``, ``top`` and ``dashboard``: what there is in a cluster.

In all of them ``--node`` is the node to ask, ``--cluster`` the name of the cluster, and ``--only``
what of it to show.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, Any

import cyclopts

from foundation.errors import NodeError

JSON = Annotated[bool, cyclopts.Parameter(name="--json", negative="")]
FLAG = Annotated[bool, cyclopts.Parameter(negative="")]
FIRST_LOOKS = 0.5  # seconds between the two looks that a rate needs


def cluster(
    *,
    node: str | None = None,
    cluster: str | None = None,
    cookie_file: Path | None = None,
    as_json: JSON = False,
) -> int:
    """Print the members of the cluster that runs on this machine, and who was lost lately.

    Ends with exit code 1 when the node is not part of one.

    Args:
        node: ask this node of this machine; by default any of the cluster.
        cluster: its name, when nodes of several clusters run on this machine.
        cookie_file: a file with the shared secret, when it is not this user's.
        as_json: print JSON.
    """
    from foundation.cli.arguments import read_cookie
    from foundation.cli.views import cluster_lines

    _quiet()
    found = asyncio.run(_cluster(node, cluster, read_cookie(cookie_file)))
    if found is None:
        raise NodeError("that node is not part of a cluster; see foundation run --cluster")
    print(json.dumps(found) if as_json else "\n".join(cluster_lines(found)))
    return 0


async def _cluster(node: str | None, cluster: str | None, cookie: Any) -> Any:
    from foundation.observer.watch import find

    async with await find(node, cluster, cookie) as watch:
        return await watch.cluster()


def tree(
    *,
    node: str | None = None,
    cluster: str | None = None,
    only: tuple[str, ...] = (),
    cookie_file: Path | None = None,
    as_json: JSON = False,
) -> int:
    """Print the supervision trees of all nodes of the cluster; of large ones the first branches.

    Distributed children (singletons, replicas, partitions) are below their supervisor's server on
    the node that runs them.

    Args:
        node: ask this node of this machine; by default any of the cluster.
        cluster: its name, when nodes of several clusters run on this machine.
        only: show only this node; may be given several times.
        cookie_file: a file with the shared secret, when it is not this user's.
        as_json: print JSON.
    """
    from foundation.cli.arguments import read_cookie
    from foundation.observer import text

    _quiet()
    picture = asyncio.run(_trees(node, cluster, read_cookie(cookie_file), only))
    if as_json:
        print(json.dumps({name: picture[name] for name in ("tree", "tree_more", "missing")}))
    else:
        print("\n".join(text.tree_lines(picture)))
    return 0


async def _trees(
    node: str | None, cluster: str | None, cookie: Any, only: tuple[str, ...]
) -> Any:
    from foundation.observer.watch import find

    async with await find(node, cluster, cookie, only=only) as watch:
        picture = await watch.look()
        if any(row["hidden"] for row in picture["tree"]):
            picture = await watch.look()  # now it is known how many rows each host may have
        return picture


def top(
    *,
    node: str | None = None,
    cluster: str | None = None,
    only: tuple[str, ...] = (),
    section: str | None = None,
    cookie_file: Path | None = None,
    once: FLAG = False,
    interval: float = 1.0,
    as_json: JSON = False,
) -> int:
    """Show nodes, hosts, processes, trees, singletons, services, channels, health and advice.

    Of the whole cluster, as one of its nodes on this machine sees it. Live where the output is a
    terminal and rich is installed, until Ctrl-C or q; otherwise once. When live, the keys 1 to 9
    choose a section, a shows all but the trees.

    Args:
        node: ask this node of this machine; by default any of the cluster.
        cluster: its name, when nodes of several clusters run on this machine.
        only: show only this node; may be given several times.
        section: nodes, hosts, processes, tree, distributed (singletons, replicas and partitions),
            services, channels, health or advice; all but tree by default.
        cookie_file: a file with the shared secret, when it is not this user's.
        once: print once and end.
        interval: seconds between looks.
        as_json: print once, as JSON: everything, whatever the section.
    """
    from foundation.cli.arguments import Usage, read_cookie
    from foundation.observer import text

    if not interval > 0:
        raise Usage(f"--interval must be greater than 0, got {interval}")
    if section is not None and section not in text.SECTIONS:
        raise Usage(f"--section must be one of {', '.join(text.SECTIONS)}, got {section!r}")
    cookie = read_cookie(cookie_file)
    if not as_json and not once and sys.stdout.isatty() and _has_rich():
        try:
            asyncio.run(_live(node, cluster, cookie, only, interval, section))
        except KeyboardInterrupt:
            pass
        return 0
    _quiet()
    picture = asyncio.run(_look_twice(node, cluster, cookie, only))
    print(json.dumps(picture) if as_json else "\n".join(text.lines(picture, section)))
    return 0


def dashboard(
    *,
    node: str | None = None,
    cluster: str | None = None,
    only: tuple[str, ...] = (),
    port: int = 4000,
    bind: str = "127.0.0.1",
    allow_host: tuple[str, ...] = (),
    cookie_file: Path | None = None,
    interval: float = 1.0,
) -> int:
    """Serve what `foundation top` shows as a web page, until Ctrl-C.

    The page only shows; it changes nothing. It has no log-in: whoever reaches the port can read
    it, so it listens on loopback unless told otherwise. Also serves /health (200 or 503, JSON)
    and, where the health monitor runs, /metrics (Prometheus).

    Args:
        node: ask this node of this machine; by default any of the cluster.
        cluster: its name, when nodes of several clusters run on this machine.
        only: show only this node; may be given several times.
        port: to listen at; 0 takes a free one.
        bind: address to listen at; others than loopback need --allow-host.
        allow_host: a further name or address in the browser's address line; may be given several
            times. Requests under other names are refused.
        cookie_file: a file with the shared secret, when it is not this user's.
        interval: seconds between looks.
    """
    from foundation.cli.arguments import Usage, read_cookie

    if not interval > 0:
        raise Usage(f"--interval must be greater than 0, got {interval}")
    if not 0 <= port <= 65535:
        raise Usage(f"--port must be 0 to 65535, got {port}")
    try:
        from foundation.observer.web.serve import is_loopback, serve
    except ImportError as error:
        raise NodeError(
            f"the dashboard needs the 'dashboard' extra ({error.name} is missing): "
            "pip install foundation-otp[dashboard]"
        ) from None
    if not is_loopback(bind) and not allow_host:
        raise Usage(
            f"--bind {bind} lets other machines read the page, which has no log-in; name the hosts "
            "under which it may be asked for with --allow-host NAME"
        )
    _quiet()
    cookie = read_cookie(cookie_file)

    def ready(url: str) -> None:
        print(f"dashboard: {url}", flush=True)

    asyncio.run(
        serve(
            node, cluster, cookie, only=only, bind=bind, port=port, hosts=allow_host,
            interval=interval, ready=ready,
        )
    )  # fmt: skip
    return 0


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None


def _quiet() -> None:
    logging.getLogger("foundation").setLevel(logging.ERROR)  # our own errors say it better


async def _look_twice(
    node: str | None, cluster: str | None, cookie: Any, only: tuple[str, ...]
) -> Any:
    """Look twice, so that there are rates; return the picture."""
    import time

    from foundation.observer.history import History
    from foundation.observer.watch import find

    history = History()
    async with await find(node, cluster, cookie, only=only) as watch:
        history.add(await watch.look(), time.monotonic())
        await asyncio.sleep(FIRST_LOOKS)
        return history.add(await watch.look(), time.monotonic())


async def _live(
    node: str | None,
    cluster: str | None,
    cookie: Any,
    only: tuple[str, ...],
    interval: float,
    section: str | None,
) -> None:
    from foundation.observer.live import live
    from foundation.observer.watch import find

    _quiet()
    async with await find(node, cluster, cookie, only=only) as watch:
        await live(watch, interval, section)
