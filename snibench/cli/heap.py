"""The C library's heap, set so that training does not grow it by half."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

# PyTorch asks glibc for aligned memory, which cuts splinters off each block. A splinter that lands in a cache of small
# blocks (a thread's, or a fast bin) is never joined with its neighbours again, and the heap falls to pieces. Without
# these caches, and with one arena, it does not (docs/performance.md). glibc reads them when a process begins only.
TUNABLES = "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0:glibc.malloc.arena_max=1"


def with_compact_heap() -> None:
    """Start this very command again, in the same process, with ``TUNABLES``; returns where that does not apply.

    Source: the tunables are those of "Memory Allocation Tunables" in the GNU C Library's manual.

    It applies on glibc alone, and not where ``GLIBC_TUNABLES`` is set: whoever sets it, to anything, decides.
    """
    if "GLIBC_TUNABLES" in os.environ or not on_glibc():
        return
    with suppress(OSError):  # then with the heap as it is
        os.execve(sys.executable, sys.orig_argv, os.environ | {"GLIBC_TUNABLES": TUNABLES})


def on_glibc() -> bool:
    """Whether the C library of this process is glibc."""
    try:
        return (os.confstr("CS_GNU_LIBC_VERSION") or "").startswith("glibc")
    except (AttributeError, ValueError, OSError):  # another system, or another C library
        return False
