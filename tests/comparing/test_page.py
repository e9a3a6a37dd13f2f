from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from io import BytesIO

import numpy as np
import pytest
import rasterio
from affine import Affine
from PIL import Image

from pancli.comparing import CompareOptions, compare
from pancli.comparing.page import command_line
from pancli.errors import OutputError
from pancli.raster.pair import PairOptions
from tests.scenes import make_scene, write

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """What a browser would load and show; refuses tags that do not close."""

    def __init__(self, text):
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.tags: list[str] = []
        self.words: list[str] = []
        self.captions: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append(tag)
        self.sources += [found[name] for name in ("src", "href", "srcset", "data", "action") if name in found]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.words.append(data)
        if "figcaption" in self.open and data.strip():
            self.captions.append(data)


def make(scene, folder, **options):
    """A comparison and its page."""
    chosen = {"methods": ["exp", "gsa", "brovey"], "sensor": "quickbird", "block": 8, **options}
    report = compare(str(scene.pan), [str(scene.ms)], CompareOptions(report=folder, **chosen))
    assert [path.name for path in folder.iterdir()] == ["index.html"]
    text = (folder / "index.html").read_text()
    return report, text, Page(text)


@pytest.mark.parametrize("options", [{}, {"reduced": True}])
def test_the_page_needs_nothing_else(scene, tmp_path, options):
    _, text, page = make(scene, tmp_path / "report", **options)
    assert page.sources
    for source in page.sources:
        assert base64.b64decode(source.removeprefix("data:image/png;base64,"), validate=True)[1:4] == b"PNG"
    assert not re.search(r"https?:|@import|url\(", text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)


def test_it_shows_every_method_in_every_sheet(scene, tmp_path):
    report, _, page = make(scene, tmp_path / "report")
    # two sheets per place, and the maps
    sheets = page.text.count("True colour (") + page.text.count("False colour (") + 1
    assert page.text.count("True colour (") == page.text.count("False colour (") >= 1
    for row in report.rows:
        assert page.captions.count(row.method) == sheets
        assert f"{row.figures['rqnr']:.4f}" in page.text
    assert page.captions.count("PAN") == page.captions.count("MS") == sheets - 1
    assert "reference" not in page.captions
    assert "HQNR can put plain interpolation (exp) above" in page.text
    assert "1 - QNR of blocks of 8 pixels" in page.text


def test_with_a_reference_it_shows_it_and_the_errors(scene, tmp_path):
    report, _, page = make(scene, tmp_path / "report", reduced=True)
    assert page.captions.count("reference") == page.captions.count("PAN") > 0
    assert "Error, mean of the bands in units of their standard deviation, pixels" in page.text
    assert "reduced resolution (Wald's protocol)" in page.text
    assert f"{report.rows[0].figures['q2n']:.4f}" in page.text
    assert "1 - QNR" not in page.text


def test_it_marks_the_best_and_not_the_baseline(scene, tmp_path):
    report, text, _ = make(scene, tmp_path / "report")
    rows = dict(re.findall(r"<td>([\w-]+)</td>(.*?)</tr>", text, re.DOTALL))
    shown = [report.best[key] for key in report.shown]
    for method in ("gsa", "brovey"):
        # the short table and the one with every figure
        assert rows[method].count('class="best"') >= shown.count(method)
    assert 'class="best"' not in rows["exp"]
    assert '<tr class="baseline"><td>exp</td>' in text


def test_failures_are_told_in_a_box_and_in_the_table(scene, tmp_path):
    report, _, page = make(scene, tmp_path / "report", methods=["gdal", "gsa"], coregister=(0.5, 0.0))
    assert report.rows[1].error is not None
    assert "1 of 2 methods failed." in page.text
    assert f"failed: {report.rows[1].error}" in page.text
    assert "gdal" not in page.captions


def test_it_is_written_even_if_all_failed(scene, tmp_path):
    _, _, page = make(scene, tmp_path / "report", methods=["gdal"], coregister=(0.5, 0.0))
    assert "1 of 1 methods failed." in page.text
    assert "This pair" not in page.text
    assert "Ratio 4 × 4." in page.text
    assert page.sources == []


def test_names_are_not_markup(tmp_path):
    scene = make_scene(tmp_path / "<b>&amp;", names=("<i>blue", "green", "red", "nir"))
    _, text, page = make(scene, tmp_path / "report", methods=["exp"])
    assert "<i>blue" in page.text
    assert "<i>blue" not in text


def test_pictures_are_no_mirror_image_of_the_ground(tmp_path):
    scene = make_scene(tmp_path / "scene", size=(192, 192))
    pan = scene.pan_image.copy()
    pan[10:90, 100:180] += np.random.default_rng(1).integers(0, 800, (80, 80), np.uint16)  # a place to show
    write(scene.pan, pan, scene.pan_transform)

    def seen(folder):
        _, text, page = make(scene, tmp_path / folder, methods=["exp"])
        places = re.findall(r"left:([\d.]+)%;top:([\d.]+)%;width", text)
        images = (base64.b64decode(source.partition(",")[2]) for source in page.sources)
        return places, [np.asarray(Image.open(BytesIO(image)), np.int16) for image in images]

    places, pictures = seen("north")
    for path in (scene.pan, scene.ms):
        with rasterio.open(path) as dataset:
            image, corner = dataset.read(), Affine.translation(dataset.width, dataset.height)
            turned = dataset.transform * corner * Affine.scale(-1)
        write(path, np.ascontiguousarray(image[:, ::-1, ::-1]), turned)
    found_places, found = seen("south")
    assert places == found_places
    assert len(pictures) == len(found)
    assert pictures[0].std() > 10
    for north, south in zip(pictures, found, strict=True):
        assert np.abs(north - south).max() <= 1


def test_masked_scenes_have_pictures_too(scene, tmp_path):
    image = scene.pan_image.astype("float32")
    image[:, 100:] = np.nan
    write(scene.pan, image, scene.pan_transform)
    _, _, page = make(scene, tmp_path / "report")
    assert page.captions.count("gsa") >= 3


def test_one_band_makes_a_grey_picture_and_no_false_colour(tmp_path):
    scene = make_scene(tmp_path / "scene", bands=1)
    _, _, page = make(scene, tmp_path / "report", methods=["exp", "brovey"], sensor="generic")
    assert "True colour (band 1)" in page.text
    assert "False colour" not in page.text


@pytest.mark.parametrize("reduced", [False, True])
@pytest.mark.parametrize("bidx", [(), (4, 3, 2, 1)])
def test_colours_are_the_sensors_however_bands_were_picked(scene, tmp_path, reduced, bidx):
    picked = "" if bidx else ",band=4,band=3,band=2,band=1"
    options = CompareOptions(
        ["exp"], reduced=reduced, sensor="ikonos", pair=PairOptions(bidx=bidx), block=8, report=tmp_path / "r"
    )
    compare(str(scene.pan), [f"{scene.ms}{picked}"], options)
    page = Page((tmp_path / "r" / "index.html").read_text())
    assert page.text.count("True colour (band 3, band 2, band 1)") == page.text.count("True colour (") > 0
    assert "False colour (band 4, band 3, band 2)" in page.text


def test_an_older_page_is_kept_unless_it_may_be_replaced(scene, tmp_path):
    page = tmp_path / "report" / "index.html"
    page.parent.mkdir()
    page.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        make(scene, page.parent)
    assert page.read_text() == "mine"
    make(scene, page.parent, methods=["exp"], overwrite=True)
    assert page.read_text() != "mine"


def test_the_command_makes_the_same_comparison():
    options = CompareOptions(
        methods=["gsa", "classical"],
        sensor="ikonos",
        reference="the truth.tif",
        pair=PairOptions(nodata=float("nan"), bidx=(3, 1), reproject=True),
        coregister=(-0.5, 1.25),
        block=16,
        peak=2047.0,
        device="cpu",
    )
    assert command_line("pan.tif", ["my ms.tif", "b.tif"], options) == (
        "pancli compare pan.tif 'my ms.tif' b.tif --methods gsa,classical --reference 'the truth.tif' "
        "--sensor ikonos --coregister -0.5,1.25 --bidx 3,1 --nodata nan --reproject --block 16 --peak 2047 "
        "--device cpu"
    )
    reduced = CompareOptions(reduced=True, ratio=2.5)
    assert command_line("p", ["m"], reduced) == "pancli compare p m --methods all --reduced --ratio 2.5"
    laid = CompareOptions(methods=["exp"], coregister="pan", crisp_pan=True)
    assert command_line("p", ["m"], laid) == "pancli compare p m --methods exp --coregister pan --crisp-pan"


def test_the_command_has_every_digit_it_was_given():
    shifted = CompareOptions(methods=["exp"], peak=1048575.0, coregister=(0.1234567, -12345678.5))
    assert command_line("p", ["m"], shifted).endswith("--coregister 0.1234567,-12345678.5 --peak 1048575")
    reduced = CompareOptions(methods=["exp"], reduced=True, ratio=2.0000001)
    assert command_line("p", ["m"], reduced).endswith("--reduced --ratio 2.0000001")


def test_of_one_band_the_map_is_of_what_it_has(tmp_path):
    scene = make_scene(tmp_path, bands=1)
    options = CompareOptions(methods=["exp", "gsa"], block=8, report=tmp_path / "report")
    report = compare(str(scene.pan), [str(scene.ms)], options)
    assert not [warning for warning in report.warnings if "--map" in warning]
    page = Page((tmp_path / "report" / "index.html").read_text())
    assert "D_S of blocks of 8 pixels" in page.text
    assert "QNR of blocks" not in page.text
