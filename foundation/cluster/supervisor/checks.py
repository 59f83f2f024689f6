"""What the functions of the distributed supervisor refuse at the call."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from foundation.cluster.supervisor.ids import is_text


def is_name(name: Any) -> bool:
    """Whether *name* can be that of a distributed supervisor."""
    return type(name) is str and name != "" and is_text(name)


def check_name(name: Any) -> None:
    """Raise unless *name* can be that of a distributed supervisor.

    Raises:
        TypeError: it is no str.
        ValueError: it is empty, or no text.
    """
    if type(name) is not str:
        raise TypeError(f"the name of a distributed supervisor must be a str, got {name!r}")
    if not is_name(name):
        raise ValueError(
            f"the name of a distributed supervisor must be text, and not empty; got {name!r}"
        )


def check_timeout(timeout: Any, what: str = "timeout") -> None:
    """Raise unless *timeout*, the argument *what*, is a finite number of seconds above 0.

    Raises:
        TypeError: it is no number.
        ValueError: it is 0 or less, infinite or NaN.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)):
        raise TypeError(f"{what} must be a number of seconds, got {timeout!r}")
    if not 0 < timeout < math.inf:
        raise ValueError(f"{what} must be a finite number of seconds above 0, got {timeout!r}")


def check_node(node: Any) -> None:
    """Raise TypeError or ValueError unless *node* can be the name of a node."""
    if not isinstance(node, str):
        raise TypeError(f"a node is given by its name, a str; got {node!r}")
    if not node or not is_text(node):
        raise ValueError(f"{node!r} is not the name of a node")


def nodes_of(names: Iterable[str], what: str) -> list[str]:
    """Return the names of nodes *names*, given as the argument *what*, as a list.

    Raises:
        TypeError: it is a single str, or something in it is none.
        ValueError: something in it is no name of a node.
    """
    if isinstance(names, (str, bytes)) or not isinstance(names, Iterable):
        raise TypeError(f"{what} must be a list of names of nodes, got {names!r}")
    found = list(names)
    for name in found:
        check_node(name)
    return found
