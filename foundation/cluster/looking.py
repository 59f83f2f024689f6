"""What an agent tells those who ask from outside: ``foundation doctor`` of another machine.

Only who has proved the cookie can ask. Nobody becomes a member by asking.
"""

from __future__ import annotations

import json
from typing import Any

from foundation.cluster.agent import PROTOCOL, Agent
from foundation.cluster.describe import describe

QUESTION = b"\xc1foundation look 1"  # 0xc1 begins nothing else that agents say (msgpack)
MOST_MEMBERS = 1000  # named in an answer


def answer(agent: Agent) -> bytes:
    """Return what *agent* says of itself."""
    found = describe(agent)
    expected, lease, takeover = agent.admission.terms()
    told = {
        "cluster": found["cluster"],
        "node": found["node"],
        "settled": found["settled"],
        "versions": list(PROTOCOL),
        "terms": {"expected_size": expected, "lease": lease, "takeover": takeover},
        "refused": agent.refused,
        "members": {each["name"]: each["address"] for each in found["members"][:MOST_MEMBERS]},
    }
    return QUESTION + json.dumps(told).encode()


def parse(told: bytes) -> dict[str, Any]:
    """Return what an agent has said.

    Raises:
        ValueError: it is nothing that an agent says.
    """
    if not told.startswith(QUESTION):
        raise ValueError("not an answer")
    found = json.loads(told[len(QUESTION) :])
    shapes = {
        "cluster": str,
        "node": str,
        "settled": bool,
        "versions": list,
        "terms": dict,
        "refused": str,
        "members": dict,
    }
    if not isinstance(found, dict) or any(
        not isinstance(found.get(key), kind) for key, kind in shapes.items()
    ):
        raise ValueError("not an answer of this version")
    return found
