"""``pancli sharpen`` as a user meets it: files, exit codes, streams, signals."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
import torch
from safetensors.torch import save
from typer.testing import CliRunner

from pancli.cli.app import build
from pancli.hashing import file_sha256
from tests.benchmarks import scale
from tests.networks.made import weights_file
from tests.scenes import read, write

RUNNER = CliRunner()


def pancli(*args):
    return RUNNER.invoke(build(), [str(a) for a in args])


def start(*args, **kwargs):
    command = [sys.executable, "-m", "pancli", *map(str, args)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)


def test_positions_and_options_mean_the_same(scene, tmp_path):
    outs = [tmp_path / f"{i}.tif" for i in range(3)]
    common = ("--method", "gsa", "-q")
    assert pancli("sharpen", scene.pan, scene.ms, outs[0], *common).exit_code == 0
    assert pancli("sharpen", "--pan", scene.pan, "--ms", scene.ms, "-o", outs[1], *common).exit_code == 0
    assert pancli("sharpen", "-o", outs[2], scene.pan, scene.ms, *common).exit_code == 0
    assert (read(outs[0]) == read(outs[1])).all()
    assert (read(outs[0]) == read(outs[2])).all()


def test_bands_come_from_several_files_in_order(scene, tmp_path):
    singles = [
        write(tmp_path / f"b{i}.tif", scene.ms_image[i], scene.ms_transform, names=[f"B{i}"]) for i in (2, 0)
    ]
    out = tmp_path / "out.tif"
    result = pancli(
        "sharpen", scene.pan, *singles, f"{scene.ms},band=4", out, "--method", "exp", "-b", "3,1,2"
    )
    assert result.exit_code == 0
    with rasterio.open(out) as dataset:
        assert dataset.descriptions == ("band 4", "B2", "B0")


def test_stdout_carries_one_json_object_and_stderr_plain_progress(scene, tmp_path):
    out = tmp_path / "out.tif"
    result = pancli("sharpen", scene.pan, scene.ms, out, "--method", "gsa", "--json", "--tile", "64")
    report = json.loads(result.stdout)
    assert set(report) >= {"output", "method", "width", "height", "seconds", "mpix_per_s", "shift"}
    assert report["output"] == str(out)
    assert report["shift"]["applied"] is False
    assert "gsa: fuse 100 %" in result.stderr
    assert result.stderr.count("%") <= 11


def test_quiet_is_quiet(scene, tmp_path):
    result = pancli("sharpen", scene.pan, scene.ms, tmp_path / "out.tif", "--method", "exp", "-q")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


def test_back_projection_is_done_and_told(scene, tmp_path):
    outs = {n: tmp_path / f"{n}.tif" for n in (None, 0, 2)}
    for rounds, out in outs.items():
        asked = () if rounds is None else ("--back-project", rounds)
        result = pancli("sharpen", scene.pan, scene.ms, out, "--method", "gsa", "--json", *asked)
        assert json.loads(result.stdout)["method"] == ("gsa+bp2" if rounds else "gsa")
    assert (read(outs[None]) == read(outs[0])).all()
    assert (read(outs[2]) != read(outs[0])).any()
    with rasterio.open(outs[2]) as dataset:
        assert dataset.tags()["PANCLI_METHOD"] == "gsa+bp2"


def test_a_dry_run_writes_nothing(scene, tmp_path):
    out = tmp_path / "out.tif"
    result = pancli("sharpen", scene.pan, scene.ms, out, "--dry-run")
    assert result.exit_code == 0
    assert json.loads(result.stdout)["tiles"]["count"] == 1
    assert not out.exists()


def test_the_output_is_as_asked(scene, tmp_path):
    out = tmp_path / "out.tif"
    args = ("--method", "brovey", "-t", "float32", "--co", "COMPRESS=LZW", "--co", "BLOCKXSIZE=256")
    assert pancli("sharpen", scene.pan, scene.ms, out, *args, "--nodata", "nan", "-j", "1").exit_code == 0
    with rasterio.open(out) as dataset:
        assert dataset.dtypes[0] == "float32"
        assert dataset.compression.name == "lzw"
        assert dataset.block_shapes[0] == (512, 256)
        assert np.isnan(dataset.nodata)


def test_a_cog_passes_the_outside_judge(scene, tmp_path):
    from rio_cogeo.cogeo import cog_validate

    out = tmp_path / "out.tif"
    assert pancli("sharpen", scene.pan, scene.ms, out, "--method", "gsa", "--of", "COG").exit_code == 0
    assert cog_validate(out, strict=True, quiet=True)[0]


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["{pan}"], 2, "OUT is missing"),
        (["{pan}", "{out}"], 2, "MS is missing"),
        ([], 2, "PAN is missing"),
        (["--pan", "{pan}", "--ms", "{ms}", "-o", "{out}", "extra.tif"], 2, "one file too many"),
        (["{pan}", "{ms}", "{out}", "--nodata", "white"], 2, "--nodata"),
        (["{pan}", "{ms}", "{out}", "--bidx", "0"], 2, "--bidx"),
        (["{pan}", "{ms}", "{out}", "--bidx", "9"], 2, "bands 1 to 4"),
        (["{pan}", "{ms}", "{out}", "--co", "COMPRESS"], 2, "--co"),
        (["{pan}", "{ms}", "{out}", "--coregister", "left"], 2, "--coregister"),
        (["{pan}", "{ms}", "{out}", "-j", "many"], 2, "--num-threads"),
        (["{pan}", "{ms}", "{out}", "--back-project", "6"], 2, "--back-project 6: must be from 0 to 5"),
        (["{pan}", "{ms}", "{out}", "--back-project", "-1"], 2, "--back-project -1"),
        (["{pan}", "{ms}", "{out}", "--method", "magic"], 2, "magic"),
        (["{pan}", "{ms}", "{out}", "--device", "abacus"], 2, "--device abacus"),
        (["{pan}", "{ms}", "{out}", "--no-such-option"], 2, "no-such-option"),
        (["missing.tif", "{ms}", "{out}"], 1, "missing.tif: no such file"),
        (["{pan}", "missing.tif", "{out}"], 1, "missing.tif: no such file"),
        (["{pan}", "{ms}", "{folder}"], 1, "is a directory"),
        (["{pan}", "{ms}", "{folder}/no/out.tif"], 1, "does not exist"),
        (["{pan}", "{ms}", "{ms}"], 1, "--overwrite"),
        (["{ms}", "{pan}", "{out}"], 1, "4 bands but must have 1"),
        (["{pan}", "{pan}", "{out}"], 1, "at least 1.5"),
        (["{pan}", "{ms}", "{out}", "--co", "COMPRESS=MAGIC"], 1, "--co"),
        (["{pan}", "{ms}", "{out}", "--bbox", "1", "2", "3", "4"], 1, "does not meet"),
        (["{pan}", "{ms}", "{out}", "--aoi", "none.geojson"], 1, "no such file"),
    ],
)
def test_refusals_are_one_line_with_the_right_code(scene, tmp_path, args, code, says):
    out = tmp_path / "out.tif"
    names = {"pan": scene.pan, "ms": scene.ms, "out": out, "folder": tmp_path}
    result = pancli("sharpen", *(arg.format(**names) for arg in args))
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_weights_of_ones_own_are_a_method_by_their_path(scene, tmp_path):
    weights, out = weights_file(tmp_path), tmp_path / "out.tif"
    result = pancli("sharpen", scene.pan, scene.ms, out, "--method", weights)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith(f"{out}: mine, ")
    with rasterio.open(out) as dataset:
        tags = dataset.tags()
    assert (tags["PANCLI_METHOD"], tags["PANCLI_WEIGHTS_SHA256"]) == ("mine", file_sha256(weights))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "none.safetensors: no such weights file"),
        (b"PK", "none.safetensors: is not a safetensors file"),
        (save({"a": torch.zeros(2)}), "none.safetensors: has no card; only weights made by pancli train"),
    ],
)
def test_weights_that_are_none_are_refused(scene, tmp_path, content, says):
    weights, out = tmp_path / "none.safetensors", tmp_path / "out.tif"
    if content is not None:
        weights.write_bytes(content)
    result = pancli("sharpen", scene.pan, scene.ms, out, "--method", weights)
    assert result.exit_code == 1
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_corrupt_input_is_named_and_leaves_nothing(scene, tmp_path):
    data = scene.ms.read_bytes()
    scene.ms.write_bytes(data[: 2 * len(data) // 3])
    folder = tmp_path / "out"
    folder.mkdir()
    result = pancli("sharpen", scene.pan, scene.ms, folder / "out.tif", "--method", "gsa")
    assert result.exit_code == 1
    assert "ms.tif" in result.stderr
    assert list(folder.iterdir()) == []


def test_pairs_without_georeferencing_are_sharpened_with_a_warning(scene, tmp_path):
    import warnings

    for name, keep, says in (("bare", False, "common corners"), ("local", True, "geotransforms alone")):
        folder = tmp_path / name
        folder.mkdir()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            pan = write(folder / "pan.tif", scene.pan_image, scene.pan_transform if keep else None, crs=None)
            ms = write(folder / "ms.tif", scene.ms_image, scene.ms_transform if keep else None, crs=None)
        result = pancli("sharpen", pan, ms, folder / "out.tif", "--method", "gsa", "-q")
        assert result.exit_code == 0
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
            assert says in result.stderr
            with rasterio.open(folder / "out.tif") as dataset:
                assert dataset.crs is None
                assert dataset.transform == (scene.pan_transform if keep else rasterio.Affine.identity())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_nothing_and_exit_130(tmp_path, number, large_pair):
    folder = tmp_path / "out"
    folder.mkdir()
    process = start("sharpen", *large_pair, folder / "out.tif", "--method", "gfpca", "--tile", "128")
    deadline = time.monotonic() + 180
    while not any(folder.iterdir()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert list(folder.iterdir()) == []


def test_help_is_quick_and_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['pancli', '--help']\n"
        "from pancli.cli.app import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "heavy = {'torch', 'rasterio', 'numpy', 'rich', 'shapely', 'pyproj'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "sharpen" in done.stdout
    assert done.stdout.strip().endswith("HEAVY []")


def test_version_and_methods():
    assert pancli("--version").stdout.startswith("pancli ")
    rows = json.loads(pancli("methods", "--json").stdout)
    assert {"gcpnet", "gsa", "gdal", "cnmf"} <= {row["name"] for row in rows}
    table = pancli("methods").stdout
    assert "gsa" in table


def test_a_closed_pipe_is_no_traceback():
    with start("methods", "--json", env=os.environ | {"PYTHONUNBUFFERED": "1"}) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


@pytest.mark.slow
def test_memory_does_not_grow_with_the_scene(tmp_path):
    """Peak resident size of a process that sharpens 4096 and 12288 pixels square.

    Half a byte kept of every pixel would be seen.
    """
    peaks = [scale.run(tmp_path, side, "gsa", COMPRESS="NONE")["peak_mb"] for side in (4096, 12288)]
    assert peaks[1] < 1.15 * peaks[0]


def test_a_picture_and_a_stac_item_come_with_the_output(scene, tmp_path):
    out, png = tmp_path / "out.tif", tmp_path / "look.png"
    done = pancli("sharpen", *scene.args(), out, "--method", "exp", "--quicklook", png, "--stac")
    assert done.exit_code == 0
    assert "datetime is null" in done.stderr
    assert png.read_bytes()[1:4] == b"PNG"
    assert json.loads((tmp_path / "out.json").read_text())["assets"]["quicklook"]["href"] == "./look.png"
    again = pancli("sharpen", *scene.args(), tmp_path / "b.tif", "--method", "exp", "--quicklook", png)
    assert again.exit_code == 1
    assert "look.png" in again.stderr
    wrong = pancli("sharpen", *scene.args(), tmp_path / "b.tif", "--quicklook", tmp_path / "look.jpg")
    assert wrong.exit_code == 2
    assert "--quicklook" in wrong.stderr


@pytest.mark.parametrize("nodata", [float("-inf"), float("nan")])
def test_json_can_tell_of_nodata_that_is_no_number(scene, tmp_path, nodata):
    write(scene.ms, scene.ms_image.astype(np.float32), scene.ms_transform, nodata=nodata)
    out = tmp_path / "out.tif"
    checked = json.loads(pancli("check", scene.pan, scene.ms, "--json").stdout)
    planned = json.loads(pancli("sharpen", scene.pan, scene.ms, out, "--dry-run").stdout)
    assert pancli("sharpen", scene.pan, scene.ms, out, "--method", "exp", "--stac", "-q").exit_code == 0
    item = json.loads(out.with_suffix(".json").read_text())
    said = (checked["bands"][1]["nodata"], planned["nodata"], item["assets"]["image"]["bands"][0]["nodata"])
    assert said == (str(nodata),) * 3
