from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenes import Scene, make_scene


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A 160 x 192, 4-band, ratio 4 scene in UTM."""
    return make_scene(tmp_path / "scene")
