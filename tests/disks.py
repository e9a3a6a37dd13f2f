"""Disks that are full, and folders that are closed."""

import errno
import os
import resource
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest


@contextmanager
def small_files(limit: int) -> Iterator[None]:
    """No file may grow beyond so many bytes: the kernel refuses, as it does when the disk is full."""
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, before)


def bar(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that may not be entered; its mode would do, but not where root runs the tests."""
    stat, lstat, access = os.stat, os.lstat, os.access

    def is_inside(path: Any) -> bool:
        return not isinstance(path, int) and folder in Path(os.fsdecode(path)).parents

    def barred(of: Any) -> Any:
        def ask(path: Any, *args: Any, **options: Any) -> Any:
            if is_inside(path):
                raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
            return of(path, *args, **options)

        return ask

    folder.mkdir(exist_ok=True)
    monkeypatch.setattr(os, "stat", barred(stat))
    monkeypatch.setattr(os, "lstat", barred(lstat))
    monkeypatch.setattr(os, "access", lambda path, mode: not is_inside(path) and access(path, mode))
    return folder
