"""What is said about a service: a mapping that cannot be changed.

It travels as bytes that are decoded where somebody looks into it. So hosts that only pass it on,
as the control host does, neither need the classes of the values nor run their code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from foundation.errors import CodecError
from foundation.kernel.codec import dumps, loads
from foundation.kernel.isolation import isolate


class Metadata(Mapping[str, Any]):
    """A read-only mapping of strings to immutable values.

    All readers in a host share one, so a value that could be changed is refused: give a tuple
    for a list, a frozenset for a set, a frozen dataclass for a plain one.

    Raises:
        TypeError: *items* is no mapping, a key is not a string, or a value is mutable.
        Unsendable: a value cannot be sent.
    """

    __immutable__ = True
    __slots__ = ("_data", "_items")

    def __init__(self, items: Mapping[str, Any] = {}) -> None:
        self._items: dict[str, Any] | None = dict(checked("metadata", items))
        self._data = dumps(self._items)

    @classmethod
    def sealed(cls, data: bytes) -> Metadata:
        """Return the metadata of which *data* are the bytes."""
        made = cls.__new__(cls)
        made._items = None
        made._data = data
        return made

    def __reduce__(self) -> Any:
        return Metadata.sealed, (self._data,)

    def _open(self) -> dict[str, Any]:
        if self._items is None:
            self._items = dict(loads(self._data))  # type: ignore[call-overload]
        return self._items

    def __getitem__(self, key: str) -> Any:
        return self._open()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._open())

    def __len__(self) -> int:
        return len(self._open())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Metadata):
            return self._data == other._data or self._open() == other._open()
        return self._open() == other if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash(frozenset(self._open().items()))

    def __repr__(self) -> str:
        try:
            return repr(self._open())
        except CodecError as error:
            return f"<{len(self._data)} bytes of metadata that cannot be read here: {error}>"

    def has(self, wanted: Mapping[str, Any]) -> bool:
        """Whether all items of *wanted* are among these; False when they cannot be read here."""
        try:
            items = self._open()
        except CodecError:
            return False
        return all(key in items and items[key] == value for key, value in wanted.items())


def checked(what: str, items: Any) -> Mapping[str, Any]:
    """Return *items*, a mapping of strings to immutable values.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(items, Mapping):
        raise TypeError(f"{what} must be a mapping, as {{'zone': 'eu'}}, got {items!r}")
    for key, value in items.items():
        if not isinstance(key, str):
            raise TypeError(f"{what} must have strings as keys, got {key!r}")
        if isolate(value) is not value:
            raise TypeError(
                f"{what} must have immutable values, since readers share them; {key!r} has "
                f"{value!r}: give a tuple, a frozenset or a frozen dataclass"
            )
    return items
