"""What is to be made: names, shards, and batches that would destroy their own files."""

import os
import shutil
from itertools import chain
from pathlib import Path

import pytest
import rasterio.shutil
from hypothesis import given
from hypothesis import strategies as st

from pancli.batch.entries import Entry, Naming, Shard, check_outputs
from pancli.errors import UsageError
from pancli.sharpening import SharpenOptions


def entries(count):
    return [Entry(f"p{n}", (f"m{n}",), f"o{n}", n) for n in range(count)]


@given(count=st.integers(0, 60), shards=st.integers(1, 12))
def test_every_entry_is_in_exactly_one_shard_in_order(count, shards):
    whole = entries(count)
    parts = [Shard.parse(f"{index}/{shards}").take(whole) for index in range(shards)]
    places = [[whole.index(entry) for entry in part] for part in parts]
    assert sorted(chain.from_iterable(places)) == list(range(count))
    assert all(place == sorted(place) for place in places)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    "text",
    [
        "3/3",
        "1",
        "0/0",
        "-1/3",
        "a/b",
        "1/3/5",
        "0.5/2",
        "",
        "١/3",
        pytest.param("9" * 5000 + "/3", id="digits"),
    ],
)
def test_a_shard_is_one_of_those_there_are(text):
    with pytest.raises(UsageError, match="--shard"):
        Shard.parse(text)


def test_outputs_are_named_after_pan_its_folder_or_the_scene():
    naming = Naming(Path("out"), "{folder}-{stem}_fused.tif")
    assert naming.name("a/b/scene.x.tif,band=2") == "out/b-scene.x_fused.tif"
    assert naming.name("a/b/scene.tif", "LC08") == "out/b-LC08_fused.tif"
    assert Naming(Path("out")).name("zip+file://x.zip!inner/p.tif") == "out/p.tif"
    assert Naming().name("a.tif") is None


@pytest.mark.parametrize("template", ["{stem}/x.tif", "{name}.tif", "", "{}.tif", "../{stem}.tif"])
def test_templates_name_files_by_what_is_known(template):
    with pytest.raises(UsageError, match="--out-name"):
        Naming(Path("out"), template)


def test_the_same_output_twice_is_refused_however_it_is_written(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "sub").mkdir()
    for other in (f"{tmp_path}/sub/../o.tif", f"{tmp_path}/link/o.tif", os.path.relpath(tmp_path / "o.tif")):
        pair = [Entry("a", ("b",), f"{tmp_path}/o.tif", 3), Entry("c", ("d",), other, 7)]
        with pytest.raises(UsageError, match="made twice: by line 3 and by line 7"):
            check_outputs(pair, SharpenOptions())


@pytest.mark.parametrize("output", [".", "/", "./", "..", "new/", "new/."])
@pytest.mark.parametrize("asked", [{}, {"stac": True}, {"quicklook": True}])
def test_an_output_that_is_a_folders_name_is_refused(output, asked):
    with pytest.raises(UsageError, match=r"line 1.*folder"):
        check_outputs([Entry("p.tif", ("m.tif",), output, 1)], SharpenOptions(**asked))


@pytest.mark.parametrize(("name", "why"), [("o.png", "is to be a GeoTIFF"), ("o\udcff.tif", "is not UTF-8")])
def test_an_output_that_no_geotiff_can_be_called_is_refused_before_any_is_made(name, why):
    good = Entry("p.tif", ("m.tif",), "a.tif", 1)
    with pytest.raises(UsageError, match=rf"^{name}: .*{why}.*\(line 2\)$"):
        check_outputs([good, Entry("p.tif", ("m.tif",), name, 2)], SharpenOptions())


@pytest.mark.parametrize("ms", [("m.tif", "o.tif"), ("./o.tif,band=2",)])
def test_an_output_that_another_scene_needs_is_refused(ms):
    with pytest.raises(UsageError, match=r"input \(line 2\) and an output \(line 1\)"):
        check_outputs(
            [Entry("p.tif", ("m.tif",), "o.tif", 1), Entry("q.tif", ms, "r.tif", 2)], SharpenOptions()
        )
    check_outputs(
        [Entry("p.tif", ("m.tif",), "o.tif", 1), Entry("p.tif", ("m.tif",), "r.tif", 2)], SharpenOptions()
    )


def test_an_output_that_another_scene_is_made_of_is_refused(scene, tmp_path):
    output, vrt = tmp_path / "o.tif", tmp_path / "o.vrt"
    shutil.copy(scene.ms, output)
    rasterio.shutil.copy(output, vrt, driver="VRT")
    for ms in (str(vrt), f"vrt://{output}?bands=1,2", f"{output}.msk"):
        entries = [Entry("p.tif", ("m.tif",), str(output), 1), Entry("q.tif", (ms,), "r.tif", 2)]
        with pytest.raises(UsageError, match=r"input \(line 2\) and an output \(line 1\)"):
            check_outputs(entries, SharpenOptions(overwrite=True))


@pytest.mark.parametrize("asked", [{"stac": True}, {"quicklook": True}])
def test_what_is_beside_two_outputs_may_not_clash_either(asked):
    entries = [Entry("a.tif", ("m.tif",), "o.tif", 1), Entry("b.tif", ("n.tif",), "o.tiff", 2)]
    check_outputs(entries, SharpenOptions())
    with pytest.raises(UsageError, match=r"o\.(json|png) is to be made twice"):
        check_outputs(entries, SharpenOptions(**asked))
