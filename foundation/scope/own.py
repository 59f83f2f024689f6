"""Which processes are Foundation's own, rather than the application's."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from foundation.kernel.process import FunctionProcess, Process
from foundation.kernel.values import Pid

if TYPE_CHECKING:
    from foundation.kernel.kernel import Kernel

NAMES = "foundation."  # what the names of its processes begin with
ROOT = "foundation.root"  # whose children are the application, and what is named as above
# What runs this belongs to whom its parent belongs to.
BY_PARENT = tuple(f"foundation.{name}." for name in ("cli", "kernel", "otp", "testing"))


def is_own(process: Process, kernel: Kernel) -> bool:
    """Whether *process* is a part of Foundation.

    It is when it is called so; or runs code of Foundation that applications do not list in their
    own trees; or, where applications list it too (supervisors, agents, registries), when its
    parent is.
    """
    seen: list[Process] = []
    while True:
        name = process.name
        if name is not None:
            return _is_own_name(name)
        module = f"{_module(process)}."
        if not module.startswith(NAMES):
            return False
        if not module.startswith(BY_PARENT):
            return True
        parent = next(iter(process.get_extra("ancestors", ())), None)
        if isinstance(parent, str):
            return parent != ROOT and _is_own_name(parent)
        found = kernel.procs.get(parent) if type(parent) is Pid else None
        if found is None or found in seen:
            return False
        seen.append(process)
        process = found


def _is_own_name(name: Any) -> bool:
    return isinstance(name, str) and name.startswith(NAMES)


def _module(process: Process) -> str:
    """Return the module of the code that *process* runs, or is about to."""
    code = code_of(process)
    while isinstance(code, functools.partial):
        code = code.func
    return str(getattr(process if code is None else code, "__module__", None) or "")


def code_of(process: Process) -> Any:
    """Return what *process* runs: a function, a server, or the class that it is about to be of."""
    if isinstance(process, FunctionProcess):
        return process.function
    start = getattr(process, "start_spec", None)
    return start[0] if start else getattr(process, "server", None)
