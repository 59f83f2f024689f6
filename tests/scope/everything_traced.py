"""A pytest plugin that traces every simulated host from its first moment.

    pytest -p tests.scope.everything_traced tests/otp --foundation-drivers=simulator,interpreter

A trace must change nothing that a user can see, so all tests of the floors below pass under it.
"""

from __future__ import annotations

from typing import Any

from foundation.kernel.values import Ref
from foundation.scope.taps import switch_on
from foundation.scope.tracer import Spec, Tracer
from foundation.testing import cluster_sim, drivers, simulator


def _traced(module: Any) -> None:
    plain = module.install

    def install(kernel: Any) -> None:
        plain(kernel)
        switch_on(Tracer(kernel, Spec(Ref("test", 1, 1), "test", buffer=1000)))

    module.install = install


for _module in (simulator, cluster_sim, drivers):
    _traced(_module)
