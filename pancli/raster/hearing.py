"""What GDAL warns of and goes on: rasterio hands it to the loggers."""

from __future__ import annotations

import logging
import math
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager


class _Ears(logging.Filter):
    """Notes what rasterio logs of GDAL's warnings, for those who listen in the thread that they come in.

    A program may let errors only through, or disable loggers: its handlers then get no more than it lets
    through, but the warnings come as far as this. Only ``logging.disable`` stops them before.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._loggers = [logging.getLogger(f"rasterio.{name}") for name in ("_env", "_err")]
        self._listening: list[tuple[int, list[str]]] = []
        self._before: dict[str, tuple[int, bool, float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            told = record.getMessage().partition(":")[2].strip() or record.getMessage()
            for thread, messages in tuple(self._listening):
                if thread == record.thread:
                    messages.append(told)
        return record.levelno >= self._before[record.name][2]

    @contextmanager
    def listen(self) -> Iterator[list[str]]:
        messages: list[str] = []
        with self._lock:
            if not self._listening:
                self._begin()
            self._listening.append((threading.get_ident(), messages))
        try:
            yield messages
        finally:
            with self._lock:
                self._listening = [one for one in self._listening if one[1] is not messages]
                if not self._listening:
                    self._end()

    def _begin(self) -> None:
        for logger in self._loggers:
            passing = math.inf if logger.disabled else logger.getEffectiveLevel()
            self._before[logger.name] = logger.level, logger.disabled, passing
            logger.addFilter(self)
            if passing > logging.WARNING:
                logger.setLevel(logging.WARNING)
                logger.disabled = False

    def _end(self) -> None:
        for logger in self._loggers:
            logger.removeFilter(self)
            level, disabled, passing = self._before[logger.name]
            if passing > logging.WARNING:
                logger.setLevel(level)
                logger.disabled = disabled


_EARS = _Ears()


def hearing() -> AbstractContextManager[list[str]]:
    """What GDAL warns of in this thread inside the block; it goes on to whoever else listens."""
    return _EARS.listen()
