"""A device without enough memory, played on the CPU: tiles are halved until they fit."""

from __future__ import annotations

import gc
import math
import weakref
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, ClassVar

import numpy as np
import pytest
import rasterio
import torch
from affine import Affine
from rasterio.io import MemoryFile

import pancli.raster.env as env
import pancli.sharpening.plan as planning
from pancli.encoding import Encoding
from pancli.errors import DeviceError
from pancli.methods.network import NetworkMethod
from pancli.networks.protocol import Network
from pancli.scene import TiledScene
from pancli.sharpening import SharpenOptions, plan_sharpening, sharpen
from pancli.sharpening.memory import each_tile
from pancli.tiling import Window
from tests.programs import pancli
from tests.scenes import UTM, make_scene, read
from tests.strips import COUNTED, bytes_read, in_strips

SIZE = (192, 256)
FULL = "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 1.00 GiB of which"


@COUNTED
def test_files_in_strips_are_not_decoded_anew_for_every_tile(tmp_path, monkeypatch):
    monkeypatch.setattr(env, "GDAL_CACHE_BYTES", 3 * 2**20)
    scene = in_strips(tmp_path, 256, 8192)
    size, read = scene.pan.stat().st_size + scene.ms.stat().st_size, {}
    for megabytes in (1024, 11):  # tiles and no strips
        options = SharpenOptions(method="exp", tile=256, max_memory=megabytes, device="cpu")
        before = bytes_read()
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / f"{megabytes}.tif", options)
        read[megabytes] = (bytes_read() - before) / size
    assert read[1024] < 5 < 10 < read[11]


def test_strips_take_memory_where_they_are_wider_than_a_tile(tmp_path):
    def told(width, **layout):
        scene = make_scene(tmp_path, size=(64, 64))
        transform = scene.pan_transform * Affine.scale(64 / width, 1 / 64)
        with MemoryFile() as memory:
            profile = {"driver": "GTiff", "height": 4096, "width": width, "count": 1, "dtype": "uint16"}
            with memory.open(**profile, transform=transform, crs=UTM, sparse_ok=True, **layout):
                pass
            options = SharpenOptions(method="exp", device="cpu")
            with plan_sharpening(memory.name, [str(scene.ms)], tmp_path / "out.tif", options) as plan:
                return plan.memory_mb

    tiled = told(65536, tiled=True, blockxsize=512, blockysize=512)
    assert told(4096) == tiled
    assert told(65536, blockysize=4) == pytest.approx(tiled + 65536 * 520 * 2 / 2**20, abs=1)


@pytest.fixture
def scene(tmp_path):
    return make_scene(tmp_path / "scene", size=SIZE, ms_offset=(-3.3, -1.7), ms_size=(50, 66))


def pair_and_options(scene, folder, name, method, **more):
    options = SharpenOptions(method=method, dtype="float32", device="cpu", **more)
    return str(scene.pan), [str(scene.ms)], folder / f"{name}.tif", options


class Device:
    """One that holds no more than ``limit`` pixels at a stage, once it was asked ``after`` times."""

    STAGES: ClassVar[dict[str, tuple[Any, str, Callable[..., int]]]] = {
        "load": (TiledScene, "_assemble", lambda _, tile, *rest: tile.window.size),
        "fuse": (Network, "forward", lambda _, inputs, *rest: inputs.pan[0, 0].numel()),
        "statistics": (Network, "statistics", lambda _, stage, inputs, *rest: inputs.pan[0, 0].numel()),
        "encode": (Encoding, "__call__", lambda _, fused, valid: valid.numel()),
    }

    def __init__(self, patch, stage, limit=math.inf, after=0):
        owner, name, size = self.STAGES[stage]
        original = getattr(owner, name)
        self.asked: list[int] = []
        self.refused: list[int] = []

        def held(*args):
            self.asked.append(size(*args))
            if len(self.asked) > after and self.asked[-1] > limit:
                self.refused.append(self.asked[-1])
                raise torch.OutOfMemoryError(FULL)
            return original(*args)

        patch.setattr(owner, name, held)


def undisturbed(scene, folder, monkeypatch, stage, method, tile=64):
    """The image that tiles of a side make, in both passes, and how many pixels a stage saw at most."""
    with monkeypatch.context() as patch:
        patch.setattr(planning, "FIT_TILE", 64)
        device = Device(patch, stage)
        sharpen(*pair_and_options(scene, folder, "right", method, tile=tile))
    return read(folder / "right.tif"), max(device.asked)


@pytest.mark.parametrize(
    ("method", "stage", "side"),
    [("bandset", "fuse", 128), ("pnn", "fuse", 64), ("bandset", "encode", 64), ("gsa", "encode", 64)],
)
def test_tiles_are_halved_until_they_fit_and_the_image_is_that_of_such_tiles(
    scene, tmp_path, monkeypatch, method, stage, side
):
    right, limit = undisturbed(scene, tmp_path, monkeypatch, stage, method, side)
    monkeypatch.setattr(planning, "FIT_TILE", 64)
    device = Device(monkeypatch, stage, limit)
    report = sharpen(*pair_and_options(scene, tmp_path, "fused", method, tile=256))
    assert len(device.refused) == {128: 1, 64: 2}[side]  # what did not fit was not tried again
    assert report.tile == side
    said = f"tiles of 256 pixels; they had {side} in the end (--tile {side} begins so)"
    assert report.warnings == (f"cpu: not enough memory for {said}",)
    rounding = 1e-6 * np.ptp(right) if method == "bandset" else 0  # what its larger tiles had made is used
    assert np.abs(read(tmp_path / "fused.tif") - right).max() <= rounding


def test_what_was_fused_before_stays_and_the_rest_goes_on_in_smaller_tiles(scene, tmp_path, monkeypatch):
    right, limit = undisturbed(scene, tmp_path, monkeypatch, "fuse", "pnn")
    device = Device(monkeypatch, "fuse", limit, after=1)
    counted: list[tuple[str, int, int]] = []
    pan, ms, out, options = pair_and_options(scene, tmp_path, "fused", "pnn", tile=128)
    report = sharpen(pan, ms, out, options, lambda *told: counted.append(told))
    assert (len(device.refused), report.tile) == (1, 64)
    assert np.abs(read(tmp_path / "fused.tif") - right).max() < 1e-4 * np.ptp(right)
    fused = [told[1:] for told in counted if told[0] == "fuse"]
    assert fused[0] == (1, 4)  # one of four tiles was done
    assert fused[1] == (2, 9)  # the other three became four, two and two
    assert fused[-1] == (9, 9)


@pytest.mark.parametrize("method", ["bandset", "gcpnet"])
def test_statistics_are_gathered_on_tiles_that_fit(scene, tmp_path, monkeypatch, method):
    right, limit = undisturbed(scene, tmp_path, monkeypatch, "statistics", method, tile=256)
    device = Device(monkeypatch, "statistics", limit)
    asked = {"tile": 256, "max_memory": 4096}
    report = sharpen(*pair_and_options(scene, tmp_path, "fused", method, **asked))
    assert len(device.refused) == 3
    assert report.warnings == ("cpu: not enough memory for statistics on tiles of 512 pixels; they had 64",)
    assert np.array_equal(read(tmp_path / "fused.tif"), right)


@pytest.mark.parametrize("method", ["brovey", "gsa"])
def test_tiles_that_cannot_even_be_loaded_are_halved_in_both_passes(scene, tmp_path, monkeypatch, method):
    """The reading thread puts tiles on the device, some ahead."""
    right, limit = undisturbed(scene, tmp_path, monkeypatch, "load", method)
    Device(monkeypatch, "load", limit)
    report = sharpen(*pair_and_options(scene, tmp_path, "fused", method, tile=256))
    assert len(report.warnings) == 2
    assert np.array_equal(read(tmp_path / "fused.tif"), right)


@pytest.mark.parametrize("stage", ["load", "statistics", "fuse", "encode"])
def test_when_the_smallest_do_not_fit_it_says_so_and_leaves_nothing(scene, tmp_path, monkeypatch, stage):
    folder = tmp_path / "out"
    folder.mkdir()
    Device(monkeypatch, stage, 64)
    with pytest.raises(DeviceError, match="cpu: not enough memory for gcpnet with tiles of 64 pixels"):
        sharpen(*pair_and_options(scene, folder, "fused", "gcpnet"))
    assert list(folder.iterdir()) == []


def test_a_network_that_does_not_fit_is_one_line_and_exit_code_one(scene, tmp_path, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError(FULL)

    monkeypatch.setattr(NetworkMethod, "load", full)
    command = [
        "sharpen",
        *scene.args(),
        str(tmp_path / "out.tif"),
        "--method",
        "gcpnet",
        "--precision",
        "float32",
    ]
    done = pancli(*command, "--device", "cpu")
    assert done.exit_code == 1
    assert done.stderr == (
        "pancli: cpu: not enough memory (CUDA out of memory. Tried to allocate 2.00 GiB.); "
        "end what else runs there, or use --device cpu\n"
    )
    assert not (tmp_path / "out.tif").exists()


def test_what_a_failed_attempt_held_is_let_go_before_the_next(scene, tmp_path, monkeypatch):
    """Tiles read ahead lie on the device: kept by the exception, they would take the room of smaller ones."""
    alive: list[weakref.ref[torch.Tensor]] = []
    kept: list[int] = []
    original = TiledScene.load

    def load(self, tile):
        if tile.core.height <= 64:
            kept.append(sum(reference() is not None for reference in alive))
            alive.clear()
        elif tile.core.col > 0 and len(alive) == 1:
            alive.append(alive[0])  # the second tile does not fit, those after it do
            raise torch.OutOfMemoryError(FULL)
        image = original(self, tile)
        assert image is not None
        if tile.core.height > 64:
            alive.append(weakref.ref(image.pan))
        return image

    with plan_sharpening(*pair_and_options(scene, tmp_path, "plan", "exp", tile=96)) as plan:
        monkeypatch.setattr(TiledScene, "load", load)
        gc.disable()
        try:
            done = [step.side for step in each_tile(plan, lambda image: image.tile, nullcontext)]
        finally:
            gc.enable()
    assert done[-1] == 64
    assert kept[0] == 0


def test_what_a_failed_attempt_counted_is_not_counted_again(scene, tmp_path, monkeypatch):
    beyond, calls = Encoding.beyond, []

    def fails_once(self, fused, valid):
        calls.append(fused.shape)
        if len(calls) == 1:
            raise torch.OutOfMemoryError(FULL)
        return beyond(self, fused, valid)

    monkeypatch.setattr(Encoding, "beyond", fails_once)
    options = SharpenOptions(method="exp", dtype="int8", tile=200)  # too narrow for all there is
    report = sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "out.tif", options)
    assert len(calls) > 2
    assert [told for told in report.warnings if told.startswith("100% of the numbers")]


def test_whatever_fails_every_pixel_is_done_once_with_its_whole_margin(scene, tmp_path):
    generator = np.random.default_rng(5)
    with plan_sharpening(*pair_and_options(scene, tmp_path, "plan", "mtf-glp", tile=200)) as plan:
        margin = plan.scene.margin(plan.method.radius(plan.scene.info))
        assert margin > 0
        for _ in range(6):

            def work(image):
                if max(image.tile.core.shape) > 64 and generator.random() < 0.3:
                    raise torch.OutOfMemoryError(FULL)
                return image.tile

            times = np.zeros(SIZE, int)
            for step in each_tile(plan, work, nullcontext):
                tile = step.result
                assert tile is not None
                times[tile.core.slices_in(Window(0, 0, *SIZE))] += 1
                assert tile.window == tile.core.grow(margin).intersect(plan.scene.bounds)
                assert max(tile.core.shape) <= step.side
            assert (times == 1).all()


def test_nothing_is_said_of_memory_where_it_suffices(scene, tmp_path):
    report = sharpen(*pair_and_options(scene, tmp_path, "fused", "gsa", tile=128))
    assert (report.tile, report.warnings) == (128, ())
    with rasterio.open(tmp_path / "fused.tif") as dataset:
        assert dataset.shape == SIZE
