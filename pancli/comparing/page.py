"""The comparison as one HTML file that needs nothing else: no network, no script, no other file."""

from __future__ import annotations

import math
import os
import secrets
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, PackageLoader, StrictUndefined

from pancli import __version__
from pancli.comparing.bench import Bench
from pancli.comparing.options import BASELINE, CompareOptions
from pancli.comparing.pictures import heat, heat_bar, round_up, stretch
from pancli.comparing.report import HIGHER_IS_BETTER, TITLES, CompareReport, MethodResult
from pancli.comparing.survey import Pixels, Place, Views, cell_means, choose_places, open_views, shrink
from pancli.device import cpu_count
from pancli.errors import OutputError
from pancli.evaluation.figures import exact
from pancli.pictures import false_colour, limits, true_colour
from pancli.raster.image import read_image
from pancli.raster.pair import Pair
from pancli.sensors import find_sensor
from pancli.tiling import Window

_SIDE = 96  # pixels of a place, shown at 200 %
_OVERVIEW = 640  # at most so many pixels along the longer side
_MAP = 192
_TOP_PERCENT = 98  # of the pixels of all maps; what is worse has the same, brightest colour


@dataclass(frozen=True)
class Picture:
    """One picture and its caption."""

    label: str
    note: str
    uri: str


@dataclass(frozen=True)
class Sheet:
    """Pictures side by side, all with one stretch or scale; ``top`` is where the scale ends."""

    title: str
    pictures: tuple[Picture, ...]
    top: float | None = None


@dataclass(frozen=True)
class Close:
    """A place seen close; ``box`` is (left, top, width, height) in percent of the overview."""

    place: Place
    box: tuple[float, float, float, float]
    sheets: tuple[Sheet, ...]


@dataclass(frozen=True)
class Gallery:
    """Everything that is looked at."""

    overview: str
    closes: tuple[Close, ...]
    maps: Sheet


def write_page(path: Path, report: CompareReport, bench: Bench, options: CompareOptions) -> None:
    """Write the page; it appears when complete.

    Args:
        path: The page.
        report: What was found.
        bench: Where the images are that it was found on.
        options: What was asked for.

    Raises:
        PancliError: An image cannot be read, or the page cannot be written.
    """
    gallery = _gallery(report, bench, options) if report.succeeded else None
    environment = Environment(
        loader=PackageLoader("pancli.comparing"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["basename"] = lambda path: Path(path).name
    text = environment.get_template("report.html").render(
        report=report,
        gallery=gallery,
        bar=heat_bar(),
        titles=TITLES,
        higher=HIGHER_IS_BETTER,
        baseline=BASELINE,
        chart=_chart(report),
        every=[key for key in HIGHER_IS_BETTER if key in report.variants],
        command=command_line(report.pan, report.ms, options),
        made=_made(report),
    )
    _write(path, text)


def _write(path: Path, text: str) -> None:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error
    finally:
        temporary.unlink(missing_ok=True)


def command_line(pan: str, ms: Sequence[str], options: CompareOptions) -> str:
    """The command that makes the same comparison.

    >>> command_line("my pan.tif", ["ms.tif"], CompareOptions(methods=["exp"], block=16))
    "pancli compare 'my pan.tif' ms.tif --methods exp --block 16"
    """
    pair = options.pair
    values = {
        "--methods": ",".join(options.methods),
        "--back-project": None if options.back_project is None else f"{options.back_project}",
        "--reduced": options.reduced,
        "--reference": options.reference,
        "--ratio": None if options.ratio is None else exact(options.ratio),
        "--sensor": None if options.sensor == "generic" else options.sensor,
        "--coregister": None if options.shift == "none" else options.shift,
        "--crisp-pan": options.crisp_pan,
        "--bidx": ",".join(map(str, pair.bidx)) or None,
        "--nodata": None if pair.nodata is None else f"{pair.nodata}",
        "--reproject": pair.reproject,
        "--block": None if options.block == CompareOptions.block else f"{options.block}",
        "--peak": None if options.peak is None else exact(options.peak),
        "--device": None if options.device == "auto" else options.device,
    }
    words = ["pancli", "compare", pan, *ms]
    for option, value in values.items():
        if isinstance(value, str):
            words += [option, value]
        elif value:
            words.append(option)
    return shlex.join(words)


def _made(report: CompareReport) -> str:
    devices = {row.device for row in report.succeeded}
    computed = f" on {', '.join(sorted(map(str, devices)))}" if devices else ""
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, pancli {__version__}, torch {version('torch')}{computed}, "
        f"{cpu_count()} CPU cores"
    )


def _chart(report: CompareReport) -> list[dict[str, Any]]:
    """Per method, where its figure lies between the worst and the best, and its share of the longest time."""
    key = report.ranked_by
    rows = [row for row in report.succeeded if key is not None and row.figures.get(key) is not None]
    if key is None or not rows:
        return []
    values = [_value(row, key) for row in rows]
    low, high = min(values), max(values)
    longest = max(row.seconds["total"] for row in rows)
    at = {
        row.method: 100 * (value - low) / ((high - low) or 1) for row, value in zip(rows, values, strict=True)
    }
    return [
        {
            "row": row,
            "value": value,
            "at": at[row.method],
            "baseline": at.get(BASELINE),
            "time": 100 * row.seconds["total"] / longest,
        }
        for row, value in zip(rows, values, strict=True)
    ]


def _value(row: MethodResult, key: str) -> float:
    value = row.figures[key]
    return math.nan if value is None else value


def _gallery(report: CompareReport, bench: Bench, options: CompareOptions) -> Gallery:
    fused = {row.method: bench.fused / f"{row.method}.tif" for row in report.succeeded}
    with open_views(bench.pan, bench.ms, bench.reference, fused, bench.pair) as views:
        camera = _Camera(report, views, options)
        maps = camera.errors() if bench.maps is None else camera.distortions(bench.maps)
        return Gallery(
            overview=camera.overview(),
            closes=tuple(camera.close(place, maps.top) for place in choose_places(views, _SIDE)),
            maps=maps,
        )


class _Camera:
    """Takes the pictures of one comparison."""

    def __init__(self, report: CompareReport, views: Views, options: CompareOptions) -> None:
        self._report, self._views = report, views
        self._upright = views.pair.pan_grid.upright
        sensor = find_sensor(options.sensor)
        names, numbers, _ = views.pair.taken
        self._true = true_colour(sensor, names, numbers)
        self._false = false_colour(sensor, names, numbers)

    def overview(self) -> str:
        """The whole area, from the truth."""
        cells = cell_means(self._views.truth, self._views.area, self._cell(_OVERVIEW))
        valid = np.isfinite(cells[0])
        return self._stretch((cells, valid), limits(cells, valid), self._true)

    def _cell(self, most: int) -> int:
        return math.ceil(max(self._views.area.shape) / most)

    def errors(self) -> Sheet:
        """Where each method is off the truth."""
        views, cell = self._views, self._cell(_MAP)
        maps = {
            method: cell_means(partial(views.error, method), views.area, cell)[0] for method in views.fused
        }
        what = "pixels" if cell == 1 else f"squares of {cell} pixels"
        return self._sheet(f"Error, mean of the bands in units of their standard deviation, {what}", maps)

    def distortions(self, folder: Path) -> Sheet:
        """Where each method is distorted, by its own figures of each block."""
        images = {method: read_image(folder / f"{method}.tif") for method in self._views.fused}
        if len(self._views.pair.bands) > 1:
            what, maps = "1 - QNR", {method: shrink(1 - image[2], _MAP) for method, image in images.items()}
        else:  # one band has no D_lambda, and so no QNR
            what, maps = "D_S", {method: shrink(image[1], _MAP) for method, image in images.items()}
        return self._sheet(f"{what} of blocks of {self._report.block} pixels", maps)

    def _sheet(self, title: str, maps: Mapping[str, npt.NDArray[Any]]) -> Sheet:
        known = np.concatenate([values[np.isfinite(values)] for values in maps.values()])
        top = round_up(float(np.percentile(known, _TOP_PERCENT)) if known.size else 0.0)
        pictures = (
            Picture(method, self._note(method), self._heat((values, np.isfinite(values)), top))
            for method, values in maps.items()
        )
        return Sheet(title, tuple(pictures), top)

    def _note(self, method: str) -> str:
        key = self._report.ranked_by
        row = next(row for row in self._report.rows if row.method == method)
        value = None if key is None else row.figures.get(key)
        return "" if key is None or value is None else f"{TITLES[key]} {value:.4f}"

    def close(self, place: Place, top: float | None) -> Close:
        """One place: colours, and errors where there is a reference."""
        sheets = [self._colours("True colour", place.window, self._true)]
        if self._false:
            sheets.append(self._colours("False colour", place.window, self._false))
        if self._views.reference is not None and top is not None:
            sheets.append(self._close_errors(place.window, top))
        area, at = self._views.area, place.window.relative_to(self._views.area)
        down, across = (part.step > 0 for part in self._upright)
        row = at.row if down else area.height - at.row_stop
        col = at.col if across else area.width - at.col_stop
        box = (col / area.width, row / area.height, at.width / area.width, at.height / area.height)
        left, upper, width, height = (100 * share for share in box)
        return Close(place, (left, upper, width, height), tuple(sheets))

    def _stretch(self, pixels: Pixels, tones: npt.NDArray[np.float64], bands: Sequence[int]) -> str:
        """A picture of (C, h, w) that is no mirror image of the ground."""
        values, valid = pixels
        return stretch(values[:, *self._upright], valid[self._upright], tones, bands)

    def _heat(self, pixels: Pixels, top: float) -> str:
        """The same of one number per pixel, (h, w)."""
        values, valid = pixels
        return heat(values[self._upright], valid[self._upright], top)

    def _colours(self, title: str, window: Window, bands: Sequence[int]) -> Sheet:
        """Every image of a place in one stretch, which is taken from the truth around it."""
        views = self._views
        around = window.grow(window.width).intersect(views.area)
        tone, tones = limits(*views.pan(around)), limits(*views.truth(around))
        pictures = [
            Picture("PAN", "", self._stretch(views.pan(window), tone, (0,))),
            Picture("MS", "enlarged", self._stretch(views.ms(window), tones, bands)),
        ]
        if views.reference is not None:
            pictures.append(Picture("reference", "", self._stretch(views.truth(window), tones, bands)))
        for method, image in views.fused.items():
            pictures.append(
                Picture(method, self._note(method), self._stretch(image.read(window), tones, bands))
            )
        return Sheet(f"{title} ({_spell(views.pair, bands)})", tuple(pictures))

    def _close_errors(self, window: Window, top: float) -> Sheet:
        pictures = []
        for method in self._views.fused:
            values, valid = self._views.error(method, window)
            pictures.append(Picture(method, self._note(method), self._heat((values[0], valid), top)))
        return Sheet("Error, same scale as the maps below", tuple(pictures), top)


def _spell(pair: Pair, bands: Sequence[int]) -> str:
    """What is shown, by name where the file has names."""
    return ", ".join(pair.bands[index].description or f"band {index + 1}" for index in bands)
