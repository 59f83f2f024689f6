"""Sending a class or function itself, to a host that cannot import it."""

from __future__ import annotations

import sys
from typing import Any

import cloudpickle


class ByValue:
    """Stands in a message for a class or function, and arrives as that."""

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def shipped(by_value: ByValue) -> bytes:
    """Return the class or function as bytes, with what it uses of its module."""
    value = by_value.value
    module = sys.modules.get(value.__module__)
    if module is None or value.__module__ in cloudpickle.list_registry_pickle_by_value():
        return cloudpickle.dumps(value)  # type: ignore[no-any-return]
    cloudpickle.register_pickle_by_value(module)
    try:
        return cloudpickle.dumps(value)  # type: ignore[no-any-return]
    finally:
        cloudpickle.unregister_pickle_by_value(module)
