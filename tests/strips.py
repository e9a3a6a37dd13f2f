"""Wide files in strips, and what is read of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.scenes import Scene, make_scene, write

_COUNTER = Path("/proc/self/io")
COUNTED = pytest.mark.skipif(not _COUNTER.exists(), reason="nothing counts what is read")


def bytes_read() -> int:
    """By this process so far, from files."""
    return int(_COUNTER.read_text().split()[1])


def in_strips(folder: Path, height: int, width: int) -> Scene:
    """Noise in one band, at ratio 4, in files whose strips are a row each."""
    generator, scene = np.random.default_rng(0), make_scene(folder, size=(64, 64))
    for path, shape, transform in (
        (scene.pan, (1, height, width), scene.pan_transform),
        (scene.ms, (1, height // 4, width // 4), scene.ms_transform),
    ):
        write(path, generator.integers(1, 4000, shape, "uint16"), transform, compress="lzw", blockysize=1)
    return scene
