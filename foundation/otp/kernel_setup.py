"""What floor 4 needs in the kernel of every host, before it meets other hosts."""

from __future__ import annotations

from foundation.kernel.kernel import Kernel
from foundation.otp import partition_table, registry_host


def install(kernel: Kernel) -> None:
    """Make *kernel* keep its replicas of the tables of registries and partitions. Idempotent."""
    registry_host.install(kernel)
    partition_table.install(kernel)
