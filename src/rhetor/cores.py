"""Core dumps: whether the kernel may write the memory of this process to the disk."""

from __future__ import annotations

import resource


def forbid_cores() -> None:
    """Have the kernel write no core dump of this process, nor of those that it starts, unless they raise the
    limit again.

    A limit of 1 byte, and not 0, also stops the kernel from passing the dump to a program: core(5),
    `do_coredump` in fs/coredump.c.
    """
    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (1 if most == resource.RLIM_INFINITY else min(1, most), most))
