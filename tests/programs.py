"""``pancli`` as it is typed: in this process, or in processes of their own.

These are forked of one that has imported what takes each program seconds; begun anew where that matters.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from typer.testing import CliRunner, Result

from pancli.cli.app import build

FORKS = get_context("forkserver")
FORKS.set_forkserver_preload(["pancli.cli.app", "pancli.sharpening.run", "pancli.batch.run"])
"""Processes begun by it have all of pancli that batches need."""


def pancli(*args: object, stdin: str | bytes | None = None) -> Result:
    """What comes of it in this process; ``args`` are what comes after ``pancli``."""
    return CliRunner().invoke(build(), [str(arg) for arg in args], input=stdin)


def start(*args: object, **how: Any) -> subprocess.Popen[str]:
    """It in a new process, which inherits nothing of this one but what :class:`subprocess.Popen` is told."""
    command = [sys.executable, "-m", "pancli", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **how)


class Program:
    """A program that was begun, to be waited for and sent signals as those of :mod:`subprocess` are.

    Args:
        args: What comes after ``pancli``.
        apart: Whether signals to its group reach it, and processes that it starts, alone.
    """

    def __init__(self, *args: object, apart: bool = False) -> None:
        self._folder = TemporaryDirectory()
        told = [Path(self._folder.name, name) for name in ("out", "err")]
        self._process = FORKS.Process(target=_run, args=([str(arg) for arg in args], told, apart))
        self._process.start()
        assert self._process.pid is not None
        self.pid = self._process.pid
        self._told = told

    def poll(self) -> int | None:
        """Its exit code, the negative number of the signal that killed it, or None while it runs."""
        return self._process.exitcode

    def send_signal(self, number: signal.Signals) -> None:
        """As Popen: one that has ended gets none."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def communicate(self, timeout: float) -> tuple[int, str, str]:
        """Its exit code, and what it said on stdout and stderr.

        Raises:
            TimeoutError: It still runs.
        """
        self._process.join(timeout)
        if (code := self._process.exitcode) is None:
            raise TimeoutError
        out, err = (path.read_text() for path in self._told)
        self._folder.cleanup()
        return code, out, err


def _run(args: list[str], told: list[Path], apart: bool) -> None:
    if apart:
        os.setsid()
    for number, path in enumerate(told, start=1):
        with path.open("wb") as file:
            os.dup2(file.fileno(), number)
    from pancli.cli.app import main

    sys.argv = ["pancli", *args]
    main()
