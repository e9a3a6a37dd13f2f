"""Fixtures of many tests. What they are made with is imported when they are: a GPU machine may lack GDAL."""

from __future__ import annotations

import signal
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.scenes import Scene

with suppress(ImportError):  # as GDAL
    from hypothesis import settings

    settings.register_profile("pancli", deadline=None)  # no test fails because a machine is busy
    settings.load_profile("pancli")


# What started the tests, as nohup or a script's &, may have these ignored, and programs that tests start
# and interrupt would inherit that. A handler they do not.
for _number in (signal.SIGINT, signal.SIGHUP):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, lambda *_: None)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A 160 x 192, 4-band, ratio 4 scene in UTM."""
    from tests.scenes import make_scene

    return make_scene(tmp_path / "scene")


@pytest.fixture(scope="session")
def large_pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Pan and ms, 2048 x 2048, for what has to take a while; to be read only."""
    from tests.benchmarks.scale import make_pair

    return make_pair(tmp_path_factory.mktemp("large"), 2048)
