"""Discovery by a directory."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from foundation.cluster.discovery import Advertisement, Loopback, StaticList
from foundation.cluster.discovery.rendezvous import cluster_folder
from foundation.runtime.directory import birth

A = Advertisement("shop", "a", "127.0.0.1:5001")
B = Advertisement("shop", "b", "127.0.0.1:5002")


async def started(directory: Path | None, me: Advertisement) -> Loopback:
    strategy = Loopback(directory)
    await strategy.start(me, lambda addresses: None)
    return strategy


def names(directory: Path) -> list[str]:
    return sorted(each.name for each in directory.rglob("*") if each.is_file())


def test_files_are_private_and_withdrawn(tmp_path: Path) -> None:
    async def body() -> None:
        a = await started(tmp_path / "r", A)
        assert names(tmp_path) == [f"a-{os.getpid()}.json"]
        for path in (tmp_path / "r", tmp_path / "r" / "shop"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
        (file,) = (tmp_path / "r" / "shop").iterdir()
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = json.loads(file.read_text())
        assert content["address"] == A.address
        assert content["os_pid"] == os.getpid()
        await a.close()
        assert names(tmp_path) == []

    asyncio.run(body())


def test_clusters_are_kept_apart(tmp_path: Path) -> None:
    other = Advertisement("../shop", "b", "127.0.0.1:5002")
    dots = Advertisement("..", "c", "127.0.0.1:5003")

    async def body() -> None:
        nodes = [await started(tmp_path / "r", me) for me in (A, other, dots)]
        assert [await node.discover() for node in nodes] == [
            [A.address],
            [other.address],
            [dots.address],
        ]
        assert len(list((tmp_path / "r").iterdir())) == 3
        for node in nodes:
            await node.close()

    asyncio.run(body())


def test_names_of_any_kind_become_files(tmp_path: Path) -> None:
    long = "n" * 1000
    odd = ["a/b", "..", ".", "ä", " ", long + "1", long + "2", "A%2FB"]

    async def body() -> None:
        nodes = []
        for n, name in enumerate(odd):
            nodes.append(await started(tmp_path / "r", Advertisement(long, name, f"x:{n + 1}")))
        assert sorted(await nodes[0].discover()) == [f"x:{n + 1}" for n in range(len(odd))]
        for node in nodes:
            await node.close()
        assert names(tmp_path) == []

    asyncio.run(body())


def test_files_of_ended_processes_are_removed(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    life = birth(child.pid)

    async def body() -> None:
        a = await started(tmp_path / "r", A)
        place = tmp_path / "r" / "shop"
        note = {"node": "b", "address": B.address, "os_pid": child.pid, "birth": life}
        (place / f"b-{child.pid}.json").write_text(json.dumps(note))
        (place / "reused.json").write_text(json.dumps({**note, "birth": "1"}))
        assert await a.discover() == [A.address, B.address]
        assert names(tmp_path) == [f"a-{os.getpid()}.json", f"b-{child.pid}.json"]
        child.communicate(b"\n")
        assert await a.discover() == [A.address]
        assert names(tmp_path) == [f"a-{os.getpid()}.json"]
        await a.close()

    try:
        asyncio.run(body())
    finally:
        child.kill()
        child.communicate()


def test_nodes_in_two_processes_find_each_other(tmp_path: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from foundation.cluster.discovery import Advertisement, Loopback\n"
        "async def body():\n"
        "    b = Loopback(sys.argv[1])\n"
        "    await b.start(Advertisement('shop', 'b', '127.0.0.1:5002'), print)\n"
        "    print(*await b.discover(), flush=True)\n"
        "    input()\n"
        "asyncio.run(body())\n"  # ends without close, as after kill -9
    )

    async def body() -> None:
        a = await started(tmp_path / "r", A)
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", script, str(tmp_path / "r")),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
        )
        try:
            assert child.stdout is not None
            line = await asyncio.wait_for(child.stdout.readline(), 20)
            assert line.decode().split() == [A.address, B.address]
            assert await a.discover() == [A.address, B.address]
        finally:
            child.kill()
            await child.communicate()
        assert await a.discover() == [A.address]
        await a.close()

    asyncio.run(body())


def test_a_deleted_directory_is_made_again(tmp_path: Path) -> None:
    async def body() -> None:
        a, b = await started(tmp_path / "r", A), await started(tmp_path / "r", B)
        shutil.rmtree(tmp_path / "r")
        assert await a.discover() == [A.address]
        assert await b.discover() == [A.address, B.address]
        await a.close()
        await b.close()
        assert names(tmp_path) == []

    asyncio.run(body())


@pytest.mark.parametrize("level", ["r", "r/shop"])
@pytest.mark.parametrize("kind", ["open", "link", "file"])
def test_a_place_that_is_not_private_is_refused(tmp_path: Path, level: str, kind: str) -> None:
    path = tmp_path / level
    path.parent.mkdir(mode=0o700, exist_ok=True)
    if kind == "open":
        path.mkdir()
        path.chmod(0o755)
    elif kind == "link":
        (tmp_path / "target").mkdir(mode=0o700)
        path.symlink_to(tmp_path / "target")
    else:
        path.write_text("")
    with pytest.raises(OSError, match="exists" if kind == "file" else "of this user alone"):
        asyncio.run(started(tmp_path / "r", A))


def test_the_default_is_the_directory_of_the_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert cluster_folder("shop", None) == tmp_path / "foundation" / "rendezvous" / "shop"
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    expected = tmp_path / f"foundation-{os.getuid()}" / "rendezvous" / "shop"
    assert cluster_folder("shop", None) == expected


def test_arguments_are_checked() -> None:
    with pytest.raises(ValueError, match=r"Loopback\.directory"):
        Loopback("")
    with pytest.raises(ValueError, match=r"Loopback\.directory"):
        Loopback(7)  # type: ignore[arg-type]


def test_a_static_list_is_checked_and_completed() -> None:
    assert StaticList(["B:1", "::1", "c"], port=9).addresses == ("b:1", "[::1]:9", "c:9")
    with pytest.raises(ValueError, match=r"StaticList\.addresses.*'c' has no port"):
        StaticList(["b:1", "c"])
    with pytest.raises(ValueError, match="must be a list"):
        StaticList("b:1")
    with pytest.raises(ValueError, match="a port is"):
        StaticList(["b:1"], port=0)
