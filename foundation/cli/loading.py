"""From ``module:App`` to the class that ``foundation run`` runs."""

from __future__ import annotations

import importlib
import os
import sys
import traceback
from typing import Any

from foundation.cli.arguments import Usage
from foundation.errors import NodeError


def load(target: str) -> Any:
    """Return the class that ``module:App`` names.

    Raises:
        Usage: there is no such module or class, or it cannot be run.
        NodeError: the module failed while it was imported.
    """
    module_name, colon, attribute = target.partition(":")
    if not colon or not module_name or not attribute:
        raise Usage(f"what to run must be 'module:App', got {target!r}")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and module_name.startswith(error.name):
            raise Usage(
                f"there is no module {error.name!r} here ({os.getcwd()}) or installed"
            ) from None
        text = f"module {module_name!r} needs {error.name!r}, which is not installed"
        raise Usage(text) from None
    except Exception as error:
        raise NodeError(_failure(module_name, error)) from None
    for part in attribute.split("."):
        if not hasattr(found, part):
            raise Usage(f"module {module_name!r} has no {attribute!r}")
        found = getattr(found, part)
    if not (isinstance(found, list) or (isinstance(found, type) and hasattr(found, "spec"))):
        raise Usage(f"{target!r} must be a Supervisor or GenServer class, got {found!r}")
    return found


def _failure(module: str, error: Exception) -> str:
    """Return a headline, and the traceback without the frames that are not the user's."""
    told = traceback.TracebackException.from_exception(error)
    each: traceback.TracebackException | None = told
    while each is not None:
        users = [frame for frame in each.stack if not _of_import(frame.filename)]
        each.stack = traceback.StackSummary.from_list(users)
        each = each.__cause__ or each.__context__
    what = f"module {module!r} cannot be imported: {type(error).__name__}"
    return "\n".join([what, "".join(told.format()).rstrip()])


def _of_import(file: str) -> bool:
    return file.startswith("<frozen importlib") or file in (__file__, importlib.__file__)
