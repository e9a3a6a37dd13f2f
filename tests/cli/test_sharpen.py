"""``pancli sharpen`` as a user meets it: files, exit codes, streams, signals."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import time

import numpy as np
import pytest
import rasterio
import torch
from rasterio.enums import ColorInterp
from safetensors.torch import save

from pancli.cli import batch, progress, showing, train
from pancli.cli.app import _catch_signals
from pancli.hashing import file_sha256
from pancli.raster.spec import DTYPES
from tests.benchmarks import scale
from tests.disks import bar
from tests.networks.made import weights_file
from tests.programs import Program, pancli, start
from tests.scenes import make_scene, read, write


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
        *("sharpen", scene.pan, *singles, f"{scene.ms},band=4", out, "--method", "exp"),
        *("-b", "3", "-b", "1,2"),
    )
    assert result.exit_code == 0
    with rasterio.open(out) as dataset:
        assert dataset.descriptions == ("band 4", "B2", "B0")


def test_what_was_moved_is_told_in_one_line(tmp_path):
    scene = make_scene(tmp_path, dtype="float32")
    blurred = sum(0.25 * np.roll(scene.ms_image, (i, j), (1, 2)) for i in (0, 1) for j in (0, 1))
    write(scene.ms, blurred.astype(np.float32), scene.ms_transform)  # lies half an ms pixel too low

    def moved(asked):
        out = tmp_path / f"to-{asked}.tif"
        result = pancli("sharpen", scene.pan, scene.ms, out, "--method", "gsa", "--coregister", asked)
        assert result.exit_code == 0
        return result.stdout.split(" on cpu")[1]

    assert moved("none") == "\n"
    assert re.fullmatch(r", MS moved by -[12]\.\d+,-[12]\.\d+ PAN pixels\n", moved("auto"))
    assert re.fullmatch(r", PAN moved by [12]\.\d+,[12]\.\d+ PAN pixels\n", moved("pan"))


def test_a_crisp_pan_is_asked_for(scene, tmp_path):
    out = tmp_path / "out.tif"
    assert pancli("sharpen", scene.pan, scene.ms, out, "--method", "gsa", "--crisp-pan").exit_code == 0
    with rasterio.open(out) as dataset:
        assert json.loads(dataset.tags()["PANCLI_OPTIONS"])["crisp_pan"] is True
        assert 1.0 <= float(dataset.tags()["PANCLI_PAN_CRISPER"]) <= 2.0


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


def test_the_name_of_a_method_with_rounds_is_answered_with_how_to_ask_for_it(scene, tmp_path):
    result = pancli("sharpen", *scene.args(), tmp_path / "out.tif", "--method", "gsa+bp2")
    assert result.exit_code == 2
    assert result.stderr == "pancli: --method gsa+bp2: gsa+bp2 is gsa with --back-project 2\n"
    other = pancli("sharpen", *scene.args(), tmp_path / "out.tif", "--method", "sharper+bp2")
    assert "--method sharper+bp2: not known; known are" in other.stderr


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("Byte", "uint8"), ("UInt16", "uint16"), ("FLOAT32", "float32"), ("int8", "int8"), ("Int64", "int64")],
)
def test_types_go_by_gdals_names_too(scene, tmp_path, name, dtype):
    out = tmp_path / "out.tif"
    result = pancli("sharpen", *scene.args(), out, "--method", "exp", "-t", name)
    assert result.exit_code == 0, result.stderr
    with rasterio.open(out) as dataset:
        assert set(dataset.dtypes) == {dtype}


@pytest.mark.parametrize("dtype", ["int64", "uint64"])
@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("nodata", ["0", "none"])
def test_whole_numbers_of_64_bits_are_as_those_of_32(scene, tmp_path, dtype, driver, nodata):
    images = []
    for kind in ("uint32", dtype):
        out = tmp_path / f"{kind}.tif"
        options = ("--method", "gsa", "-t", kind, "--of", driver, "--nodata", nodata)
        result = pancli("sharpen", scene.pan, scene.ms, out, *options)
        assert (result.exit_code, "warning" in result.stderr) == (0, False), result.stderr
        with rasterio.open(out) as dataset:
            assert dataset.dtypes[0] == kind
            images.append(dataset.read(masked=True).filled(0))
    assert (images[0] == images[1]).all()


def test_the_types_are_told():
    told = " ".join(pancli("sharpen", "--help").stdout.split())
    assert all(dtype in told for dtype in (*DTYPES, "Byte"))


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


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize(
    ("option", "says"),
    [("FOO=BAR", "support creation option FOO"), ("COMPRESS=SQUEEZE", "SQUEEZE"), ("NBITS=40", "for uint16")],
)
def test_creation_options_are_refused_with_the_plan(scene, tmp_path, driver, option, says):
    result = pancli(
        "sharpen", scene.pan, scene.ms, tmp_path / "a.tif", "--dry-run", "--of", driver, "--co", option
    )
    assert (result.exit_code, result.stdout) == (1, "")
    assert says in result.stderr
    assert len(result.stderr.splitlines()) == 1


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
        (
            ["--pan", "{pan}", "--ms", "{ms}", "-o", "{out}", "-overwrite"],
            2,
            "-overwrite is --overwrite here",
        ),
        (["{pan}", "{ms}", "{out}", "-of", "COG"], 2, "-of is --of here"),
        (["{pan}", "{ms}", "{out}", "-ot", "Byte"], 2, "-ot is --dtype here"),
        (["{pan}", "{ms}", "{out}", "--nodata", "white"], 2, "--nodata"),
        (["{pan}", "{ms}", "{out}", "--bidx", "0"], 2, "--bidx"),
        (["{pan}", "{ms}", "{out}", "--bidx", "9"], 2, "bands 1 to 4"),
        (["{pan}", "{ms}", "{out}", "--co", "COMPRESS"], 2, "--co"),
        (["{pan}", "{ms}", "{out}", "--coregister", "left"], 2, "--coregister"),
        (["{pan}", "{ms}", "{out}", "--coregister", "0,500"], 1, "--coregister 0,500 moves MS off PAN"),
        (["{pan}", "{ms}", "{out}", "-j", "many"], 2, "--num-threads"),
        (["{pan}", "{ms}", "{out}", "-j", "\u00b2"], 2, "--num-threads"),
        (["{pan}", "{ms}", "{out}", "-j", "9" * 5000], 2, "--num-threads"),
        (["{pan}", "{ms}", "{out}", "--method", "m" * 300 + ".safetensors"], 1, "is too long"),
        (["{pan}", "{ms}", "{out}", "--back-project", "6"], 2, "--back-project 6: must be from 0 to 5"),
        (["{pan}", "{ms}", "{out}", "--adapt-loss", "full"], 2, "--adapt-loss full: says what --adapt"),
        (["{pan}", "{ms}", "{out}", "--back-project", "-1"], 2, "--back-project -1"),
        (["{pan}", "{ms}", "{out}", "--method", "magic"], 2, "magic"),
        (["{pan}", "{ms}", "{out}", "--device", "abacus"], 2, "--device abacus"),
        (["{pan}", "{ms}", "{out}", "--no-such-option"], 2, "no-such-option"),
        (["missing.tif", "{ms}", "{out}"], 1, "missing.tif: no such file"),
        (["{pan}", "missing.tif", "{out}"], 1, "missing.tif: no such file"),
        (["{pan}", "{ms}", "{folder}"], 1, "is a directory"),
        (["{pan}", "{ms}", "{folder}/new/"], 1, "new/: names a folder; name a file in it"),
        (["{pan}", "{ms}", "{folder}/no/out.tif"], 1, "does not exist"),
        (["{pan}", "{ms}", "{ms}"], 1, "--overwrite"),
        (["{ms}", "{pan}", "{out}"], 1, "4 bands but must have 1"),
        (["{pan}", "{pan}", "{out}"], 1, "at least 1.5"),
        (["{pan}", "{ms}", "{out}", "--co", "COMPRESS=MAGIC"], 1, "--co"),
        (["{pan}", "{ms}", "{out}", "--bbox", "1", "2", "3", "4"], 1, "does not meet"),
        (["{pan}", "{ms}", "{out}", "--bbox", "3", "2", "1", "4"], 2, "order is west south east north"),
        (["{pan}", "{ms}", "{out}", "--bbox", "nan", "2", "1", "4"], 2, "four finite numbers"),
        (["{pan}", "{ms}", "{out}", "--co", "COMPRESS=JPEG"], 1, "COMPRESS=JPEG: is for uint8"),
        (["{pan}", "{ms}", "-"], 1, "-: outputs are files, not streams"),
        (["-", "{ms}", "{out}"], 1, "-: is no file; a pipe cannot be read"),
        (["{pan}", "{ms},band=x", "{out}"], 1, "no such file; bands are picked as FILE,band=N"),
        (["{pan}", "{ms}", "{out}", "--aoi", "none.geojson"], 1, "no such file"),
    ],
)
def test_refusals_are_one_line_with_the_right_code(scene, tmp_path, args, code, says):
    out = tmp_path / "out.tif"
    names = {"pan": scene.pan, "ms": scene.ms, "out": out, "folder": tmp_path}
    result = pancli("sharpen", *(arg.format(**names) for arg in args))
    assert result.exit_code == code
    assert says in result.stderr
    assert isinstance(result.exception, SystemExit)
    assert result.stdout == ""
    if code == 1:
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


def test_names_that_are_no_text_are_refused_in_one_line(scene, tmp_path):
    shutil.copyfile(scene.ms, os.fsencode(tmp_path) + b"/bad\xff.tif")
    for name in (b"bad\xff.tif", b"missing\xff.tif"):
        program = Program("sharpen", scene.pan, tmp_path / os.fsdecode(name), tmp_path / "o.tif")
        code, _, errors = program.communicate(timeout=60)
        assert code == 1
        assert len(errors.strip().splitlines()) == 1
        assert "its name is not UTF-8" in errors


def test_a_device_or_a_pipe_is_not_replaced(scene, tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    result = pancli("sharpen", scene.pan, scene.ms, pipe, "--method", "brovey", "--overwrite")
    assert result.exit_code == 1
    assert "is a device, pipe or socket" in result.stderr
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_fewer_bits_need_no_predictor(scene, tmp_path):
    out = tmp_path / "out.tif"
    result = pancli("sharpen", scene.pan, scene.ms, out, "--method", "exp", "--co", "NBITS=11")
    assert result.exit_code == 0, result.stderr
    with rasterio.open(out) as dataset:
        assert dataset.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "11"


def test_what_fewer_bits_cannot_hold_is_clipped_and_told(scene, tmp_path):
    out = tmp_path / "out.tif"
    options = ("--method", "exp", "--co", "NBITS=10", "--overwrite")
    result = pancli("sharpen", scene.pan, scene.ms, out, *options)
    assert result.exit_code == 0, result.stderr
    assert "do not fit into 10 bits and were clipped" in result.stderr
    whole = tmp_path / "whole.tif"
    assert pancli("sharpen", scene.pan, scene.ms, whole, "--method", "exp").exit_code == 0
    assert (read(out) == read(whole).clip(0, 1023)).all()
    result = pancli("sharpen", scene.pan, scene.ms, out, *options, "--nodata", "1024")
    assert (result.exit_code, "--co NBITS=10: cannot hold nodata 1024" in result.stderr) == (1, True)
    result = pancli("sharpen", scene.pan, scene.ms, out, *options, "--nodata", "1023")
    assert result.exit_code == 0, result.stderr
    with rasterio.open(out) as dataset:
        assert dataset.read(masked=True).max() == 1022


def test_what_is_clipped_is_told(scene, tmp_path):
    for dtype, told in (("uint8", True), ("int16", False)):
        result = pancli(
            "sharpen", scene.pan, scene.ms, tmp_path / f"{dtype}.tif", "--method", "exp", "-t", dtype
        )
        assert result.exit_code == 0
        assert ("100% of the numbers do not fit into uint8 and were clipped" in result.stderr) == told


@pytest.mark.parametrize(("rows", "told"), [(4, True), (1, False)])
def test_a_tenth_of_clipped_numbers_is_told_and_a_few_are_not(scene, tmp_path, rows, told):
    image = scene.ms_image // 8
    image[:, :rows, : 12 * rows] = 1000
    write(scene.ms, image, scene.ms_transform)
    result = pancli("sharpen", scene.pan, scene.ms, tmp_path / "out.tif", "--method", "exp", "-t", "uint8")
    assert result.exit_code == 0
    assert ("of the numbers do not fit into uint8" in result.stderr) == told


@pytest.mark.parametrize(("scale", "told"), [(4000, True), (40, False)])
def test_what_is_rounded_away_is_told(scene, tmp_path, scale, told):
    write(scene.ms, (scene.ms_image / scale).astype("float32"), scene.ms_transform)
    for dtype in ("uint16", None):
        asked = () if dtype is None else ("-t", dtype)
        out = tmp_path / f"{dtype}.tif"
        result = pancli("sharpen", scene.pan, scene.ms, out, "--method", "gsa", *asked)
        assert result.exit_code == 0, result.stderr
        assert ("rounding to uint16 leaves no more than" in result.stderr) == (told and dtype is not None)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
def test_whole_numbers_that_are_few_and_one_number_everywhere_are_not_rounded_away(scene, tmp_path, dtype):
    images = {"uint16": scene.ms_image // 512, "float32": np.full(scene.ms_image.shape, 0.3)}
    write(scene.ms, images[dtype].astype(dtype), scene.ms_transform)
    result = pancli("sharpen", scene.pan, scene.ms, tmp_path / "out.tif", "--method", "exp", "-t", "uint8")
    assert result.exit_code == 0, result.stderr
    assert "leaves no more than" not in result.stderr


def test_an_output_without_a_valid_pixel_is_told(scene, tmp_path):
    write(tmp_path / "none.tif", 0 * scene.ms_image, scene.ms_transform, nodata=0)
    result = pancli("sharpen", scene.pan, tmp_path / "none.tif", tmp_path / "out.tif", "--method", "exp")
    assert result.exit_code == 0
    assert "no pixel is valid in PAN and in MS" in result.stderr


@pytest.mark.parametrize(("grey", "code"), [(True, 0), (False, 1)])
def test_colour_tables_are_no_brightness(scene, tmp_path, grey, code):
    path, out = tmp_path / "ms.tif", tmp_path / "out.tif"
    indices = (scene.ms_image[:1] / 8).astype("uint8")
    write(path, indices, scene.ms_transform, photometric="PALETTE")
    table = {i: (i, i, i, 255) if grey else (i, 255 - i, 7, 255) for i in range(256)}
    with rasterio.open(path, "r+") as dataset:
        dataset.write_colormap(1, table)
    result = pancli("sharpen", scene.pan, path, out, "--method", "exp")
    assert result.exit_code == code
    if grey:
        with rasterio.open(out) as dataset:
            assert dataset.colorinterp[0] == ColorInterp.gray
    else:
        assert "band 1 has a colour table" in result.stderr


def test_masks_of_several_bands_leave_gdal_silent(tmp_path):
    """Its threads read a header that writing a mask had freed, one time in four."""
    generator = np.random.default_rng(0)
    scene = make_scene(tmp_path, size=(600, 600), dtype="float32")
    write(scene.pan, generator.random((600, 600)).astype("float32"), scene.pan_transform)
    code = (
        "import sys\n"
        "from pancli.sharpening import SharpenOptions, sharpen\n"
        "pan, ms, out = sys.argv[1:]\n"
        "for _ in range(12):\n"
        "    sharpen(pan, [ms], out, SharpenOptions(method='exp', overwrite=True))\n"
    )
    command = (sys.executable, "-c", code, scene.pan, scene.ms, tmp_path / "out.tif")
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


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


def test_what_lies_where_one_may_not_go_is_told_in_one_line(scene, tmp_path, monkeypatch):
    closed, out = bar(tmp_path / "closed", monkeypatch), tmp_path / "out.tif"
    (tmp_path / "list.csv").write_text(f"pan,ms,out\n{scene.pan},{scene.ms},{out}\n")
    pair = ("sharpen", *scene.args())
    for command in (
        ("sharpen", closed / "a.tif", scene.ms, out),
        (*pair, closed / "a.tif"),
        (*pair, out, "--quicklook", closed / "a.png"),
        (*pair, out, "--method", closed / "a.safetensors"),
        ("batch", closed / "a.csv"),
        ("batch", tmp_path / "list.csv", "--aoi", closed / "a.json"),
    ):
        result = pancli(*command)
        assert result.exit_code == 1
        assert f"{closed}/a." in result.stderr
        assert "no such" not in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
    assert not out.exists()


@pytest.mark.parametrize("before", [signal.SIG_DFL, signal.SIG_IGN])
def test_a_terminal_that_goes_away_is_an_interrupt_unless_nohup_has_it_ignored(before, monkeypatch):
    caught = {signal.SIGHUP: before}
    monkeypatch.setattr(signal, "getsignal", caught.get)
    monkeypatch.setattr(signal, "signal", caught.__setitem__)
    _catch_signals()
    assert caught[signal.SIGTERM] is not signal.SIG_DFL
    assert caught[signal.SIGHUP] is (before if before is signal.SIG_IGN else caught[signal.SIGTERM])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_leave_nothing_and_exit_130(tmp_path, number, large_pair):
    folder = tmp_path / "out"
    folder.mkdir()
    command = ("sharpen", *large_pair, folder / "out.tif", "--method", "gfpca", "--tile", "128")
    process = Program(*command)
    deadline = time.monotonic() + 180
    while not any(folder.iterdir()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(number)
    code, _, errors = process.communicate(timeout=60)
    assert code == 130, errors
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


def test_streams_that_were_closed_are_nobody_who_looks(monkeypatch):
    for stream in ("stdout", "stderr"):
        monkeypatch.setattr(sys, stream, None)  # as Python has it after 2>&-
    with (
        progress.tile_progress("scene", quiet=False) as tile,
        batch._showing(1, sys.stdout, quiet=False) as show,
        train._progress("run", quiet=False) as told,
    ):
        assert tile is not None and show.tile is None and told is not None
        tile("fuse", 1, 2)
        show.line("{}")
    assert showing.wide_console(77).width == 77


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
