"""Scenes that are made once, and again only when they would be another image."""

import json
import os
import shutil
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from pancli.batch import BatchTerms, Entry, check_batch, plan_batch, run_batch
from pancli.batch import record as record_module
from pancli.batch import scene as scene_module
from pancli.batch.record import _SAME_IMAGE, record_of
from pancli.batch.scene import make_scene
from pancli.errors import InputError, OutputError, UsageError, WeightsError
from pancli.methods.network import NetworkMethod
from pancli.raster.pair import Pair, PairOptions
from pancli.sharpening import SharpenOptions, sharpen
from pancli.sharpening.product import INPUTS_TAG
from tests.disks import bar
from tests.networks.made import weights_file
from tests.scenes import make_scene as make_files
from tests.scenes import read, write

GSA = SharpenOptions(method="gsa", device="cpu")


@pytest.fixture
def entry(tmp_path):
    files = make_files(tmp_path / "scene", size=(64, 64))
    return Entry(str(files.pan), (str(files.ms),), str(tmp_path / "out.tif"), 1)


def make(entry, options=GSA, *, resume=True):
    return make_scene(entry, options, resume=resume)


def rewrite(path, change=None):
    """The same file anew, with other pixels where that is asked for."""
    with rasterio.open(path) as dataset:
        image, transform, names = dataset.read(), dataset.transform, dataset.descriptions
    write(Path(path), image if change is None else change(image), transform, names=names)


def test_a_name_too_long_is_told_in_one_line(entry):
    long = replace(entry, output=f"{entry.output}{'a' * 300}.tif")
    for resume in (False, True):
        result = make_scene(long, GSA, resume=resume)
        assert (result.status, result.trace) == ("failed", None)
        assert "long" in str(result.error)


def test_a_folder_that_may_not_be_entered_is_told_in_one_line(entry, tmp_path, monkeypatch):
    folder = bar(tmp_path / "closed", monkeypatch)
    closed = [replace(entry, **{name: f"{folder}/a.tif"}) for name in ("output", "pan")]
    for barred in (*closed, replace(entry, ms=(f"{folder}/a.tif",))):
        for resume in (False, True):
            result = make_scene(barred, GSA, resume=resume)
            assert (result.status, result.trace) == ("failed", None)
            assert f"{folder}/" in str(result.error)
            assert "no such file" not in str(result.error)


def test_a_scene_is_what_sharpen_makes_of_it(entry, tmp_path):
    result = make(entry, resume=False)
    report = sharpen(entry.pan, list(entry.ms), tmp_path / "alone.tif", GSA)
    assert result.status == "done" and result.error is None
    assert (read(entry.output) == read(tmp_path / "alone.tif")).all()
    told = result.as_dict()
    assert set(told) == set(report.as_dict()) | {"status", "line", "pan", "ms"}
    assert told["output"] == entry.output and told["seconds"]["total"] >= told["seconds"]["fuse"]


@pytest.mark.parametrize(("asked", "used"), [("generic", "landsat8"), ("ikonos", "ikonos")])
def test_the_sensor_a_scene_is_of_is_taken_where_none_is_asked_for(entry, asked, used):
    known = replace(entry, sensor="landsat8")
    assert make(known, replace(GSA, sensor=asked)).status == "done"
    with rasterio.open(entry.output) as dataset:
        assert json.loads(dataset.tags()["PANCLI_OPTIONS"])["sensor"] == used
    assert make(entry, replace(GSA, sensor=used)).status == "skipped"  # a list that names it is the same


def test_what_is_done_is_skipped_and_left_as_it_is(entry):
    make(entry)
    before = Path(entry.output).stat()
    result = make(entry)
    assert (result.status, result.report) == ("skipped", None)
    assert (Path(entry.output).stat().st_ino, Path(entry.output).stat().st_mtime_ns) == (
        before.st_ino,
        before.st_mtime_ns,
    )


def test_pictures_and_items_stand_beside_every_output_and_are_made_of_old_ones_too(entry, monkeypatch):
    output = Path(entry.output)
    assert make(entry).status == "done"
    with_both = replace(GSA, quicklook=True, stac=True)
    monkeypatch.setattr(scene_module, "sharpen", None)  # the image is not made again
    assert make(entry, with_both).status == "skipped"
    item = json.loads(output.with_suffix(".json").read_text())
    assert {asset["href"] for asset in item["assets"].values()} == {"./out.tif", "./out.png"}
    old = output.with_suffix(".png").read_bytes()
    monkeypatch.undo()
    assert make(entry, replace(with_both, overwrite=True), resume=False).status == "done"
    assert output.with_suffix(".png").read_bytes() == old


def test_an_item_names_the_picture_whichever_was_asked_for_first(entry, monkeypatch):
    item, picture = (Path(entry.output).with_suffix(suffix) for suffix in (".json", ".png"))
    with_item, with_picture = replace(GSA, stac=True), replace(GSA, quicklook=True)
    for first, then in ((with_item, with_picture), (with_picture, with_item)):
        assert make(entry, replace(first, overwrite=True), resume=False).status == "done"
        with monkeypatch.context() as patch:
            patch.setattr(scene_module, "sharpen", None)
            assert make(entry, then).status == "skipped"
            assert json.loads(item.read_text())["assets"]["quicklook"]["href"] == "./out.png"
            before = [path.stat().st_mtime_ns for path in (item, picture)]
            assert make(entry, replace(with_item, quicklook=True)).status == "skipped"
        assert [path.stat().st_mtime_ns for path in (item, picture)] == before  # nothing is left to do
        item.unlink()
        picture.unlink()


def test_a_picture_made_of_an_old_output_has_the_colours_of_one_made_with_it(tmp_path):
    """Bands that were picked and have no names are known to a sensor by their places in MS."""
    files = make_files(tmp_path / "scene", size=(64, 64), bands=8, names=())
    picked = f"{files.ms},band=3,band=5,band=8,band=2"
    entry = Entry(str(files.pan), (picked,), str(tmp_path / "out.tif"), 1)
    asked, picture = replace(GSA, sensor="worldview2", quicklook=True), tmp_path / "out.png"
    assert make(entry, asked).status == "done"
    with_it = picture.read_bytes()
    picture.unlink()
    assert make(entry, asked).status == "skipped"
    assert picture.read_bytes() == with_it
    with rasterio.open(entry.output) as dataset:
        assert [dataset.tags(band)["PANCLI_BAND"] for band in dataset.indexes] == ["3/8", "5/8", "8/8", "2/8"]


def test_no_file_that_a_batch_did_not_make_is_replaced_beside_an_output_either(entry):
    item = Path(entry.output).with_suffix(".json")
    assert make(entry).status == "done"
    item.write_text("mine")
    other = replace(GSA, stac=True, method="exp")
    assert "exists already" in make(entry, other).error
    assert item.read_text() == "mine"
    assert make(entry, replace(other, overwrite=True)).status == "done"
    assert json.loads(item.read_text())["type"] == "Feature"


def test_what_stood_beside_an_output_goes_with_it(entry):
    """Else a catalogue would have the item of another image."""
    item, picture = (Path(entry.output).with_suffix(suffix) for suffix in (".json", ".png"))
    assert make(entry, replace(GSA, stac=True, quicklook=True)).status == "done"
    before = item.read_text(), picture.read_bytes()
    assert "gsa fused" in before[0]
    assert make(entry, replace(GSA, method="exp")).status == "done"  # nobody asks for them
    assert "exp fused" in item.read_text()
    assert picture.read_bytes() != before[1]
    again = make(entry, replace(GSA, overwrite=True), resume=False)
    assert again.status == "done"
    assert "gsa fused" in item.read_text()
    assert picture.read_bytes() == before[1]


@pytest.mark.parametrize("left", [b"", b"half"])
def test_a_picture_without_its_image_is_what_a_kill_left(entry, left):
    output, both = Path(entry.output), replace(GSA, stac=True, quicklook=True)
    assert make(entry, both).status == "done"
    whole = output.read_bytes()
    if left:
        output.write_bytes(whole[:-1000])
    else:
        output.unlink()
    assert make(entry, both).status == "done"
    assert output.read_bytes() == whole


def test_a_picture_of_somebody_else_is_not_what_a_kill_left(entry):
    picture = Path(entry.output).with_suffix(".png")
    picture.write_bytes(b"mine")
    assert "exists already" in make(entry, replace(GSA, quicklook=True)).error
    assert picture.read_bytes() == b"mine"
    assert not Path(entry.output).exists()


def test_an_item_that_is_older_than_its_output_does_not_pass_for_its_own(entry):
    output = Path(entry.output)
    item = output.with_suffix(".json")
    assert make(entry, replace(GSA, stac=True)).status == "done"
    old = item.read_bytes()
    os.utime(item, ns=(1, 1))
    assert make(entry, replace(GSA, stac=True)).status == "skipped"
    assert item.stat().st_mtime_ns > 1
    assert json.loads(old)["id"] == json.loads(item.read_text())["id"]


@pytest.mark.parametrize("which", ["pan", "ms"])
def test_an_input_that_changed_is_sharpened_again_and_one_rewritten_is_not(entry, which):
    make(entry)
    path = entry.pan if which == "pan" else entry.ms[0]
    rewrite(path)
    assert make(entry).status == "skipped"
    rewrite(path, lambda image: image + 100 * (np.arange(image.shape[-1]) % 3 == 0).astype(image.dtype))
    old = read(entry.output)
    assert make(entry).status == "done"
    assert (read(entry.output) != old).any()
    assert make(entry).status == "skipped"


def test_every_option_that_makes_another_image_is_in_the_record(entry, tmp_path):
    """An option that is added to SharpenOptions must be named here, one way or the other."""
    area = tmp_path / "area.geojson"
    area.write_text("{}")
    other: dict[str, Any] = {
        "method": "brovey",
        "precision": "bfloat16",
        "pair": PairOptions(nodata=0.0),
        "aoi": area,
        "bbox": (0.0, 0.0, 1.0, 1.0),
        "dtype": "float32",
        "driver": "COG",
        "creation": {"COMPRESS": "LZW"},
        "sensor": "ikonos",
        "coregister": (1.0, 0.0),
        "crisp_pan": True,
        "adapt": 1.0,
        "adapt_loss": "full",
        "back_project": 1,
        "extent": "none",
    }
    assert set(other) | _SAME_IMAGE == {field.name for field in fields(SharpenOptions)}
    changes = {name: {name: value} for name, value in other.items()}
    changes["adapt_loss"]["adapt"] = other["adapt"]  # without, there is nothing to learn
    records = {record_of(entry, replace(GSA, **change)) for change in changes.values()}
    assert len(records | {record_of(entry, GSA)}) == len(other) + 1
    same: dict[str, Any] = {"device": "auto", "threads": 1, "tile": 64, "max_memory": 512, "overwrite": True}
    assert record_of(entry, replace(GSA, **same)) == record_of(entry, GSA)
    before = record_of(entry, replace(GSA, aoi=area))
    area.write_text('{"other": 1}')
    assert record_of(entry, replace(GSA, aoi=area)) != before


def test_weights_are_known_by_their_contents(entry, tmp_path):
    def of(path):
        return record_of(entry, replace(GSA, method=str(path)))

    for folder in "abc":
        (tmp_path / folder).mkdir()
    first = weights_file(tmp_path / "a")
    copy = shutil.copy(first, tmp_path / "b" / "renamed.safetensors")
    assert of(first) == of(copy) != of(weights_file(tmp_path / "c", "another"))


def test_another_version_makes_another_image(entry, monkeypatch):
    before = record_of(entry, GSA)
    monkeypatch.setattr(record_module, "__version__", "0.0.0")
    assert record_of(entry, GSA) != before


def test_order_and_roles_of_inputs_are_in_the_record(entry, tmp_path):
    other = shutil.copy(entry.ms[0], tmp_path / "other.tif")
    records = {
        record_of(replace(entry, pan=pan, ms=ms), GSA)
        for pan, ms in [
            (entry.pan, (entry.ms[0],)),
            (entry.pan, (entry.ms[0], str(other))),
            (entry.pan, (str(other), entry.ms[0])),
            (entry.ms[0], (entry.pan,)),
            (entry.pan, (f"{entry.ms[0]},band=1",)),
        ]
    }
    assert len(records) == 5


def test_a_damaged_output_of_a_batch_is_made_again(entry):
    make(entry)
    whole = Path(entry.output).read_bytes()
    for damaged in (whole[: len(whole) // 2], whole[:-3000] + bytes(50) + whole[-2950:]):
        Path(entry.output).write_bytes(damaged)
        assert make(entry).status == "done"
        assert Path(entry.output).read_bytes() == whole


@pytest.mark.parametrize("content", ["of sharpen", "no raster", ""])
def test_a_file_that_no_batch_made_is_never_taken_or_replaced_unasked(entry, content):
    output = Path(entry.output)
    if content == "of sharpen":
        sharpen(entry.pan, list(entry.ms), output, GSA)
    else:
        output.write_text(content)
    before = output.read_bytes()
    result = make(entry)
    assert result.failed and "exists already; use --overwrite" in str(result.error)
    assert output.read_bytes() == before
    assert make(entry, replace(GSA, overwrite=True)).status == "done"
    assert make(entry, replace(GSA, overwrite=True)).status == "skipped"


def test_without_resume_existence_is_a_refusal_and_overwrite_makes_anew(entry):
    make(entry)
    result = make(entry, resume=False)
    assert result.failed and "exists already" in str(result.error)
    before = Path(entry.output).stat().st_ino
    assert make(entry, replace(GSA, overwrite=True), resume=False).status == "done"
    assert Path(entry.output).stat().st_ino != before


def test_the_record_in_the_tags_is_that_of_the_inputs(entry):
    make(entry)
    with rasterio.open(entry.output) as dataset:
        assert dataset.tags()[INPUTS_TAG] == record_of(entry, GSA)


def test_a_result_that_another_process_made_meanwhile_is_good(entry, monkeypatch):
    def slower(*args, **kwargs):
        sharpen(*args, **kwargs)
        raise OutputError(f"{entry.output}: appeared while it was being made")

    monkeypatch.setattr(scene_module, "sharpen", slower)
    assert make(entry).status == "skipped"


def test_one_scene_that_fails_leaves_the_others_alone(entry, tmp_path, monkeypatch):
    bad = replace(entry, pan=str(tmp_path / "none.tif"), output=str(tmp_path / "bad.tif"), line=2)
    last = replace(entry, output=str(tmp_path / "last.tif"), line=3)
    results = list(run_batch([entry, bad, last], GSA))
    assert [r.status for r in results] == ["done", "failed", "done"]
    assert str(results[1].error).endswith("none.tif: no such file") and results[1].trace is None
    assert not Path(bad.output).exists()
    options = replace(GSA, overwrite=True)
    first = list(run_batch([bad, entry], options, BatchTerms(keep_going=False)))
    assert [r.status for r in first] == ["failed"]

    def buggy(*_args, **_kwargs):
        raise TypeError("oh no")

    monkeypatch.setattr(scene_module, "sharpen", buggy)
    result = make(entry, options, resume=False)
    assert result.error == "unexpected TypeError: oh no" and "in buggy" in result.as_dict()["trace"]


def test_an_interrupt_is_no_failure(entry, monkeypatch):
    def interrupted(*_args, **_kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(scene_module, "sharpen", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make(entry)


def test_the_network_is_loaded_once(entry, tmp_path, monkeypatch):
    loads = []
    load = NetworkMethod.load

    def counted(*args):
        loads.append(args)
        return load(*args)

    monkeypatch.setattr(NetworkMethod, "load", counted)
    weights = weights_file(tmp_path)
    options = replace(GSA, method=str(weights))
    entries = [replace(entry, output=str(tmp_path / f"{n}.tif")) for n in range(3)]
    assert [r.status for r in run_batch(entries, options)] == ["done"] * 3
    assert len(loads) == 1
    weights.unlink()
    weights_file(tmp_path, "another")  # other weights under the same name are loaded
    results = list(run_batch(entries, options, BatchTerms(resume=True)))
    assert [(r.report or {})["method"] for r in results] == ["another"] * 3
    assert len(loads) == 2


@pytest.mark.parametrize(("coregister", "unknown"), [("auto", "shift"), ("pan", "pan_shift")])
def test_a_plan_reads_no_pixels_and_writes_nothing(tmp_path, monkeypatch, coregister, unknown):
    files = make_files(tmp_path / "scene", size=(512, 512))  # enough for a shift to be measured
    entry = Entry(str(files.pan), (str(files.ms),), str(tmp_path / "out.tif"))
    make(entry)
    entries = [entry, replace(entry, output=str(tmp_path / "new.tif"), pan="none.tif")]
    before = sorted(tmp_path.iterdir())

    def read_pixels(*_args, **_kwargs):
        raise AssertionError

    for reads in ("read_pan", "read_ms"):
        monkeypatch.setattr(Pair, reads, read_pixels)
    options = replace(GSA, coregister=coregister, crisp_pan=True)
    planned, failed = plan_batch(entries, options, BatchTerms(resume=True))
    assert planned.status == "planned" and (told := planned.report or {})["exists"]
    assert {name for name in ("shift", "pan_shift") if told[name] is None} == {unknown}
    assert failed.error == "none.tif: no such file"
    assert "exists already" in str(next(plan_batch(entries, options)).error)
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"method": "magic"}, UsageError, "--method magic: not known"),
        ({"method": "none.safetensors"}, WeightsError, "no such weights file"),
        ({"method": "gdal", "coregister": "auto"}, UsageError, "--coregister"),
        ({"method": "gdal", "crisp_pan": True}, UsageError, "--crisp-pan"),
        ({"adapt": 1.0}, UsageError, "--adapt is for networks"),
        ({"precision": "bfloat16"}, UsageError, "--precision bfloat16 is for networks"),
        ({"sensor": "eyes"}, UsageError, "eyes"),
        ({"device": "abacus"}, UsageError, "--device abacus"),
        ({"aoi": Path("none.geojson")}, InputError, "none.geojson: no such file"),
    ],
)
def test_what_is_wrong_with_all_scenes_is_refused_before_any(entry, change, kind, says):
    with pytest.raises(kind, match=says):
        check_batch([entry], replace(GSA, **change))


def test_less_than_one_process_is_refused():
    with pytest.raises(UsageError, match="--jobs 0"):
        BatchTerms(jobs=0)
