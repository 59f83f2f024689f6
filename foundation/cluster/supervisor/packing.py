"""Specs of children as bytes, which only the hosts that run them decode."""

from __future__ import annotations

import sys
from collections import OrderedDict
from typing import Any

import cloudpickle

from foundation.errors import CodecError, InvalidChildSpec, Unsendable
from foundation.kernel.codec import dumps, loads, unsendable
from foundation.otp.child_spec import ChildSpec

_KEEP = 512  # decoded specs
MAX_SPEC = 8 * 1024 * 1024  # bytes of one spec, which every agent keeps


def pack_spec(spec: ChildSpec, ship: bool = False) -> bytes:
    """Return *spec* as bytes.

    Args:
        spec: of the child.
        ship: have the class (or start function), with everything else of its module that it
            uses, travel by value to nodes that cannot import it; these must have
            ``ClusterConfig(accept_code=True)``.

    Raises:
        Unsendable: an argument of it cannot travel, or it has more than ``MAX_SPEC`` bytes.
    """
    data = _pack(spec, ship)
    if len(data) > MAX_SPEC:
        raise Unsendable(
            f"the spec of the child {spec.id!r:.100} takes {len(data):,} bytes, and may take "
            f"{MAX_SPEC:,}, since every node keeps it; pass large data by a path or a key, and "
            "have the child's init fetch it"
        )
    return data


def _pack(spec: ChildSpec, ship: bool) -> bytes:
    if not ship:
        return dumps(spec)
    module = sys.modules.get(spec.start[0].__module__)
    if module is None or module.__name__ == "__main__":
        return _by_value(spec)
    cloudpickle.register_pickle_by_value(module)
    try:
        return _by_value(spec)
    finally:
        cloudpickle.unregister_pickle_by_value(module)


def _by_value(spec: ChildSpec) -> bytes:
    try:
        return dumps(cloudpickle.dumps(spec, 5))
    except Exception as error:
        raise unsendable(spec, error) from error


class Unpacker:
    """Decodes specs, and keeps the latest: a child is started again from the same bytes.

    Args:
        node: name of this node, for errors.
        accept_code: whether specs with shipped classes are taken.
    """

    def __init__(self, node: str, accept_code: bool) -> None:
        self._node = node
        self._accept_code = accept_code
        self._known: OrderedDict[bytes, ChildSpec] = OrderedDict()

    def unpack(self, data: bytes, shipped: bool) -> ChildSpec:
        """Return the spec that *data* is of.

        Raises:
            InvalidChildSpec: it cannot be had on this node; the text says why, and what to do.
        """
        spec = self._known.get(data)
        if spec is None:
            spec = self._known[data] = self._decode(data, shipped)
            if len(self._known) > _KEEP:
                self._known.popitem(last=False)
        return spec

    def _decode(self, data: bytes, shipped: bool) -> ChildSpec:
        if shipped and not self._accept_code:
            raise InvalidChildSpec(
                f"node {self._node!r} takes no code from other nodes; start it with "
                "ClusterConfig(accept_code=True), or install the child's module there"
            )
        try:
            spec: Any = loads(data)
            if shipped:
                spec = cloudpickle.loads(spec)
        except (CodecError, Exception) as error:
            cause = error.__cause__ or error
            raise InvalidChildSpec(
                f"node {self._node!r} cannot import what the child runs "
                f"({type(cause).__name__}: {cause}); install the same code there, or start the "
                "child with ship=True and that node with ClusterConfig(accept_code=True)"
            ) from error
        if not isinstance(spec, ChildSpec):
            raise InvalidChildSpec(f"not a child spec: {spec!r}")
        return spec
