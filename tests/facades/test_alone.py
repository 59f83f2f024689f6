"""What the facades say on nodes that can have none of them."""

from __future__ import annotations

from typing import Any

import pytest

import foundation
from foundation import process_manager, service_mesh
from foundation.cluster import api
from foundation.errors import FoundationError
from foundation.otp import GenServer


@pytest.mark.parametrize(
    "what",
    [
        lambda: api.nodes(),
        lambda: service_mesh.discover_services("s"),
        lambda: service_mesh.call("s", 1),
        lambda: service_mesh.register("s"),
        lambda: service_mesh.breaker_states(),
        lambda: process_manager.lookup("p"),
        lambda: process_manager.start_singleton(GenServer, name="p"),
    ],
)
def test_a_node_of_one_process_is_told_what_keeps_it_out(what: Any) -> None:
    async def ask() -> str:
        try:
            result = what()
            if hasattr(result, "__await__"):
                await result
        except FoundationError as error:
            return str(error)
        return ""

    with foundation.start(hosts=0) as node:
        text = node.run(ask)
    assert "hosts=0" in text
    assert "stock=True" in text
