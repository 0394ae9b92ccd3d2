"""What the machine offers: cores that this process may use, and bfloat16 arithmetic."""

from __future__ import annotations

import os
from pathlib import Path


def cores() -> int:
    """Logical CPUs this process may run on (a container's share where the platform tells)."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the CPU computes in bfloat16; where it does not, bfloat16 is slower than float32."""
    try:
        flags = cpuinfo.read_text(encoding="ascii", errors="replace")
    except OSError:
        return False  # not Linux: nothing says so
    return "avx512_bf16" in flags or "amx_bf16" in flags
