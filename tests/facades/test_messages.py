"""Which functions of facades are messages, too; the reference page names the others."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest

import foundation
from foundation import channels, process_manager, service_mesh
from foundation.facade import Request

PAGE = Path(foundation.__file__).parents[1] / "docs" / "reference" / "facades.md"
OTHERWISE = {"call": "CallService"}


@pytest.mark.parametrize("package", [channels, process_manager, service_mesh])
def test_a_function_is_a_message_or_is_named_as_an_exception(package: ModuleType) -> None:
    messages = importlib.import_module(f"{package.__name__}.messages")
    text = PAGE.read_text().partition("No messages are:")[2].partition("## ")[0]
    excepted = []
    for name in package.__all__:
        function = getattr(package, name)
        if not inspect.isfunction(function) or name == "specs" or function.__name__ != name:
            continue
        message = OTHERWISE.get(name, "".join(word.title() for word in name.split("_")))
        if not issubclass(getattr(messages, message, object), Request):
            excepted.append(name)
    short = package.__name__.rpartition(".")[2]
    assert excepted
    assert [n for n in excepted if f"`{short}.{n}`" not in text and f"`{n}`" not in text] == []
