"""What is made of the entries of a key, and kept."""

from __future__ import annotations

from typing import Any

import pytest

from foundation.cluster import registry as reg
from foundation.errors import UnknownDistributedRegistry
from foundation.kernel.ops import current
from tests.cluster.registry.regsim import cluster, declare


@pytest.mark.parametrize("registry", ["names", "topics"])
def test_what_is_derived_is_made_again_exactly_when_an_entry_of_its_key_changes(
    registry: str,
) -> None:
    made: list[Any] = []

    def total(key: Any, entries: list[Any]) -> tuple[Any, list[int]]:
        made.append(key)
        return key, [entry.value for entry in entries]

    async def body() -> None:
        def read() -> Any:
            assert reg.derive(registry, "k", total) == ("k", reg.values(registry, "k"))
            return reg.derive(registry, "k", total, kernel=current().kernel)

        assert read() == ("k", [])
        made.clear()
        for step, expected in (
            (lambda: reg.register(registry, "k", 1), ["k"]),
            (lambda: reg.register(registry, "other", 1), []),
            (lambda: reg.update_value(registry, "k", 2), ["k"]),
            (lambda: reg.unregister(registry, "other"), []),
        ):
            await step()
            assert read() is read()
            assert made == expected
            made.clear()
        await reg.unregister(registry, "k")
        assert read() == ("k", [])
        for i in range(50):  # a function made for each call leaves nothing behind
            reg.derive(registry, "other", lambda key, entries, i=i: i)
        index = current().kernel.tables["distributed registries"].by_name[registry]
        assert index._derived == {}
        await reg.register(registry, "k", 1)
        for i in range(50):
            assert reg.derive(registry, "k", lambda key, entries, i=i: i) == i
        assert len(index._derived["k"]) == 8
        with pytest.raises(UnknownDistributedRegistry):
            reg.derive("nowhere", "k", total)

    with cluster(10) as c:
        declare(c, name="topics", keys="duplicate")
        c.run("a", body)
