"""Where to compute."""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from pancli.errors import DeviceError, UsageError

CPU = torch.device("cpu")

_HEAP = ((-8, 1), (-3, 2**30), (-1, 2**28))  # of mallopt: one arena, for blocks of up to 1 GB, 256 MB kept


def find_device(name: str) -> torch.device:
    """The device of that name: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.

    Raises:
        UsageError: Not a device pancli knows, or CUDA where there is none.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name == "cpu":
        return CPU
    if not re.fullmatch(r"cuda(:\d{1,9})?", name):
        raise UsageError(f"--device {name}: must be auto, cpu, cuda or cuda:N")
    count = device_count()
    number = int(name.partition(":")[2] or 0)
    if number >= count:
        raise UsageError(f"--device {name}: this machine has {count} CUDA devices; use --device cpu or auto")
    return torch.device("cuda", number)


def device_count() -> int:
    """CUDA devices of this machine."""
    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def cpu_count() -> int:
    """CPUs that this process may use: taskset, or a cluster's scheduler, may have kept some from it."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def reuse_memory() -> bool:
    """Have this process keep the memory of one tile's features for the next tile's, where a CPU computes.

    glibc hands blocks of more than 32 MB back to the system and fetches new ones, which the system fills with
    zeros: that took a fifth of bandset's time. Now it keeps up to 256 MB, in one place for all
    threads. Of other C libraries nothing is asked.

    Returns:
        Whether it does.
    """
    with suppress(OSError, AttributeError):
        mallopt = ctypes.CDLL(None).mallopt
        return all(mallopt(*option) == 1 for option in _HEAP)
    return False


@contextmanager
def shortage_told(device: torch.device) -> Iterator[None]:
    """Turn a lack of memory that smaller tiles are no help against into a refusal.

    Raises:
        DeviceError: The device has not enough memory for what is done inside.
    """
    try:
        yield
    except torch.OutOfMemoryError as error:
        reason = str(error).partition(" GPU ")[0].strip().splitlines() or ["out of memory"]
        raise DeviceError(
            f"{device}: not enough memory ({reason[0]}); end what else runs there, or use --device cpu"
        ) from error
