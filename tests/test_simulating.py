"""Simulated scenes as files: what is on disk, where it lies, and that it can be made again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from pancli import simulating
from pancli.errors import OutputError, UsageError
from pancli.raster.grid import Grid, place
from pancli.simulating import SimulateOptions, simulate, simulate_files
from tests.far import far_away
from tests.scenes import read

SAMPLES = Path(__file__).parent.parent / "samples"
SMALL = SimulateOptions(size=64, seed=3)


def write(folder, options, count=1):
    return list(simulate_files(folder, options, count))


def open_grid(path):
    with rasterio.open(path) as dataset:
        return Grid.of(dataset)


@pytest.mark.parametrize(("size", "ratio", "low"), [(64, 4.0, 16), (64, 29.9 / 14.99, 33), (50, 3.0, 17)])
def test_files_place_ms_on_pan_where_the_pair_has_it(tmp_path, size, ratio, low):
    (scene,) = write(tmp_path, SimulateOptions(size=size, ratio=ratio, bands=3))
    pan, ms = open_grid(tmp_path / "pan.tif"), open_grid(tmp_path / "ms.tif")
    assert pan.crs.to_epsg() == 32633
    assert pan.pixel_size == (0.5, 0.5)
    assert pan == open_grid(tmp_path / "reference.tif")
    assert ms.shape == (low, low)
    placement, warnings = place(pan, ms)
    assert warnings == []
    for read_axis, axis in zip(placement.axes, scene.pair.placement.axes, strict=True):
        assert read_axis.scale == pytest.approx(axis.scale, rel=1e-9)
        assert read_axis.offset == pytest.approx(axis.offset, abs=1e-6)


def test_files_hold_the_pair_and_its_names(tmp_path):
    (scene,) = write(tmp_path, SMALL)
    np.testing.assert_array_equal(read(tmp_path / "pan.tif"), scene.pair.pan)
    np.testing.assert_array_equal(read(tmp_path / "ms.tif"), scene.pair.ms)
    np.testing.assert_allclose(read(tmp_path / "reference.tif"), scene.pair.reference, atol=0.5)
    for name in ("ms.tif", "reference.tif"):
        with rasterio.open(tmp_path / name) as dataset:
            assert dataset.descriptions == ("blue", "green", "red", "nir")
            assert dataset.dtypes == ("uint16",) * 4
            assert [c.name for c in dataset.colorinterp] == ["blue", "green", "red", "undefined"]
            assert dataset.tags(4)["wavelength"] == "830"
    with rasterio.open(tmp_path / "pan.tif") as dataset:
        assert dataset.colorinterp == (ColorInterp.gray,)


def test_the_file_says_how_it_was_made(tmp_path):
    (scene,) = write(tmp_path, SMALL)
    with rasterio.open(tmp_path / "ms.tif") as dataset:
        told = json.loads(dataset.tags()["PANCLI_SIMULATED"])
    assert told["seed"] == 3
    assert told["ratio"] == 4.0
    assert told["sensor"] == "generic"
    assert tuple(told["instrument"]["ms_gains"]) == scene.pair.instrument.ms_gains


def test_the_same_options_make_the_same_files(tmp_path):
    for name in ("a", "b"):
        write(tmp_path / name, SMALL)
    write(tmp_path / "c", SimulateOptions(size=64, seed=4))
    for name in ("pan.tif", "ms.tif", "reference.tif"):
        files = [(tmp_path / folder / name).read_bytes() for folder in "abc"]
        assert files[0] == files[1]
        assert files[0] != files[2]


def test_several_scenes_are_those_of_their_seeds(tmp_path):
    scenes = write(tmp_path, SMALL, count=2)
    assert [scene.folder.name for scene in scenes] == ["seed-3", "seed-4"]
    alone = simulate(SimulateOptions(size=64, seed=0), 4)
    np.testing.assert_array_equal(read(tmp_path / "seed-4" / "ms.tif"), alone.ms)


def test_bytes_count_to_255_and_floats_are_reflectance(tmp_path):
    (byte,) = write(tmp_path / "byte", SimulateOptions(size=64, dtype="uint8"))
    (real,) = write(tmp_path / "float", SimulateOptions(size=64, dtype="float32"))
    write(tmp_path / "word", SimulateOptions(size=64))
    with rasterio.open(tmp_path / "byte" / "ms.tif") as dataset:
        assert dataset.dtypes == ("uint8",) * 4
        np.testing.assert_array_equal(dataset.read(), byte.pair.ms)
    assert byte.pair.peak == 255
    reflectance, numbers = read(tmp_path / "float" / "ms.tif"), read(tmp_path / "word" / "ms.tif")
    for band in range(4):
        scale = real.pair.instrument.full_scale[band + 1] / 2047  # pan is first
        np.testing.assert_allclose(reflectance[band], numbers[band] * scale, rtol=1e-5)


def test_a_sensor_gives_its_bits_and_random_gives_a_shift(tmp_path):
    (eight,) = write(tmp_path / "l", SimulateOptions(size=64, sensor="landsat7"))
    assert eight.pair.peak == 255
    (moved,) = write(tmp_path / "r", SimulateOptions(size=64, sensor="random", bands=5))
    assert moved.pair.instrument.shift != (0.0, 0.0)
    assert moved.pair.ms.shape[0] == 5


def test_an_existing_file_refuses_before_anything_is_made_and_survives(tmp_path):
    write(tmp_path, SMALL)
    (tmp_path / "pan.tif").unlink()
    before = (tmp_path / "ms.tif").read_bytes()
    with pytest.raises(OutputError, match=r"ms\.tif: exists already; use --overwrite"):
        write(tmp_path, SimulateOptions(size=64, seed=9))
    assert not (tmp_path / "pan.tif").exists()
    assert (tmp_path / "ms.tif").read_bytes() == before
    write(tmp_path, SimulateOptions(size=64, seed=9, overwrite=True))
    assert (tmp_path / "ms.tif").read_bytes() != before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["ms.tif", "pan.tif", "reference.tif"]


def test_a_refusal_leaves_no_empty_folders(tmp_path):
    (tmp_path / "seed-2").write_text("mine")
    with pytest.raises(OutputError, match="seed-2: is a file, not a folder"):
        list(simulate_files(tmp_path, SimulateOptions(size=32, seed=1), 3))
    assert [path.name for path in tmp_path.iterdir()] == ["seed-2"]
    next(iter(simulate_files(tmp_path / "b", SimulateOptions(size=32), 1000)))
    assert len(list((tmp_path / "b").iterdir())) == 1


def test_a_folder_that_cannot_be_made_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot create folder"):
        write(tmp_path / "file" / "scene", SMALL)


def test_files_of_a_scene_drawn_far_away_are_the_same(tmp_path, monkeypatch):
    (here,) = write(tmp_path / "here", SMALL)
    with far_away() as far:
        monkeypatch.setattr(simulating, "find_device", {"far": far}.get)
        (there,) = write(tmp_path / "there", replace(SMALL, device="far"))
        assert there.pair.pan.device == far
    for name in ("pan.tif", "ms.tif", "reference.tif"):
        assert np.array_equal(read(here.folder / name), read(there.folder / name))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"size": 8}, "--size 8 is out of range"),
        ({"size": 5000}, "--size 5000"),
        ({"bands": 0}, "--bands 0"),
        ({"ratio": 1.2}, "--ratio 1.2"),
        ({"ratio": float("nan")}, "--ratio nan"),
        ({"size": 64, "ratio": 20.0}, "--ratio 20"),
        ({"seed": -1}, "--seed -1"),
        ({"dtype": "int16"}, "--dtype int16"),
        ({"sensor": "sputnik"}, "sputnik"),
        ({"device": "tpu"}, "--device tpu"),
    ],
)
def test_options_out_of_range_name_themselves(changes, words):
    with pytest.raises(UsageError, match=words):
        SimulateOptions(**changes)


def test_no_scenes_is_refused(tmp_path):
    with pytest.raises(UsageError, match="--count 0"):
        write(tmp_path, SMALL, count=0)


def test_the_samples_are_what_their_command_makes():
    with rasterio.open(SAMPLES / "ms.tif") as dataset:
        told = json.loads(dataset.tags()["PANCLI_SIMULATED"])
    assert f"--seed {told['seed']}" in (SAMPLES / "README.md").read_text()
    pair = simulate(SimulateOptions(seed=told["seed"]), told["seed"])
    for name in ("pan", "ms", "reference"):
        # Another processor's FFT may round another way; a changed simulation moves every pixel.
        off = np.abs(read(SAMPLES / f"{name}.tif") - np.rint(getattr(pair, name).numpy()))
        assert (off > 0).mean() < 1e-3
