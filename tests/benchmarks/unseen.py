"""Methods on sensors no weights were trained on, as they come and with back-projection; prints tables.

    python -m tests.benchmarks.unseen --data DATA --out FOLDER [--methods exp,gsa,mtf-glp-hpm,gcpnet,bandset]
        [--back-project 2] [--only truth|full] [--coregister pan] [--crisp-pan] [--report]

DATA holds ikonos, worldview2, worldview3, quickbird and (in folders) melbourne: ``pan.tif``, ``ms.tif``,
which are reduced by Wald's protocol and compared at full resolution too; rgbn (four-band images, of which a
pan is made); gaofen2-reduced and reduced-8bit (``pan.tif``, ``ms.tif`` and the truth, ``gt.tif``, in
folders); gaofen2-full and rotterdam (pairs in folders), at full resolution alone. What is not there is left
out. A figure is the mean over a set.

Every method is measured as it comes and with rounds of back-projection. FOLDER gets ``unseen-truth.csv`` and
``unseen-full.csv``, a row for every method and pair, and with --report a page with pictures of the first pair
of each set. Nothing may be chosen by what this prints.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
import torch

from pancli.comparing import CompareOptions, compare
from pancli.comparing.report import CompareReport, csv_columns
from pancli.evaluation.report import append_row, check_csv
from pancli.sensors import GENERIC
from tests.benchmarks.hyperspectral import RATIO, make_pair
from tests.scenes import write

_SENSORS = {"ikonos": "IKONOS", "worldview2": "WorldView-2", "worldview3": "WorldView-3"}
_FOUR = ",band=1,band=2,band=3,band=4"  # the fourth is tagged alpha
_QUICKBIRD = (2.0, -2.5)  # down, right: where pan is to be moved, in its pixels, as pancli check finds
_AGAINST_TRUTH = (("psnr", 2), ("sam", 2), ("ergas", 2))
_WITHOUT = (("hqnr", 3), ("rqnr", 3), ("consistency_ergas", 2))
_Figures = dict[str, dict[str, float | None]]  # of every method, by key


@dataclass(frozen=True)
class Trial:
    """One pair, compared in one way.

    Attributes:
        group: The row of the table.
        pan: As ``pancli compare`` takes it.
        ms: Likewise.
        sensor: Whose MTF is assumed.
        reference: The truth; None where there is none, or ms is.
        reduced: Whether the pair is reduced first.
    """

    group: str
    pan: str
    ms: str
    sensor: str = GENERIC.name
    reference: str | None = None
    reduced: bool = False

    @property
    def judged(self) -> bool:
        """Whether there is a truth."""
        return self.reduced or self.reference is not None


def trials(data: Path, scratch: Path) -> Iterator[Trial]:
    """Everything there is, the same set's one after the other.

    Args:
        data: As said at the top.
        scratch: For files that have to be made first.
    """
    pairs = [(title, data / name, name, data / name / "pan.tif") for name, title in _SENSORS.items()]
    if (data / "quickbird").is_dir():
        moved = _move(data / "quickbird" / "pan.tif", scratch / "quickbird.tif")
        pairs.append(("QuickBird, registered", data / "quickbird", "quickbird", moved))
        pairs.append(
            ("QuickBird, as delivered", data / "quickbird", "quickbird", data / "quickbird" / "pan.tif")
        )
    for folder in _folders(data / "melbourne"):
        pairs.append(("Melbourne, as delivered", folder, GENERIC.name, folder / "pan.tif"))
    pairs = [pair for pair in pairs if pair[1].is_dir()]
    for title, folder, sensor, placed in pairs:
        yield Trial(title, f"{placed}", f"{folder / 'ms.tif'}", sensor, reduced=True)
    for image in sorted((data / "rgbn").glob("*.tif")):
        pan, ms, truth = _observe(image, scratch)
        yield Trial("RGBN, pan made", f"{pan}", f"{ms}", reference=f"{truth}")
    for name, group, sensor, bands in (
        ("gaofen2-reduced", "GaoFen-2 with truth", "gaofen2", ""),
        ("reduced-8bit", "8 bit with truth", GENERIC.name, _FOUR),
    ):
        for folder in _folders(data / name):
            files = folder / "pan.tif", f"{folder / 'ms.tif'}{bands}", f"{folder / 'gt.tif'}{bands}"
            yield Trial(group, f"{files[0]}", files[1], sensor, files[2])
    for title, folder, sensor, placed in pairs:
        yield Trial(title, f"{placed}", f"{folder / 'ms.tif'}", sensor)
    for name, title, sensor in (
        ("gaofen2-full", "GaoFen-2", "gaofen2"),
        ("rotterdam", "Rotterdam", "generic"),
    ):
        for folder in _folders(data / name):
            yield Trial(title, f"{folder / 'pan.tif'}", f"{folder / 'ms.tif'}", sensor)


def _folders(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if (path / "pan.tif").is_file())


def _move(pan: Path, out: Path) -> Path:
    """The same image, placed where ms says it is."""
    with rasterio.open(pan) as image:
        transform = image.transform @ rasterio.Affine.translation(_QUICKBIRD[1], _QUICKBIRD[0])
        return write(out, image.read(), transform, image.crs)


def _observe(image: Path, scratch: Path) -> tuple[Path, Path, Path]:
    """Pan, ms and truth of four bands: pan is their mean, ms what the generic sensor leaves of them."""
    with rasterio.open(image) as opened:
        bands, transform, crs = opened.read(), opened.transform, opened.crs
    pair = make_pair(torch.from_numpy(bands[:4].astype(np.float32)), slice(None), GENERIC.ms_gains[0])
    pan, ms, truth = (part.numpy().round().astype(np.uint8) for part in (pair.pan, pair.ms, pair.truth))
    coarse = transform @ rasterio.Affine.scale(RATIO)
    made = [scratch / f"{image.stem}-{role}.tif" for role in ("pan", "ms", "truth")]
    write(made[0], pan, transform, crs)
    write(made[1], ms, coarse, crs)
    write(made[2], truth, transform, crs)
    return made[0], made[1], made[2]


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default="exp,gsa,mtf-glp-hpm,gcpnet,bandset")
    parser.add_argument("--back-project", type=int, default=2)
    parser.add_argument("--only", choices=("truth", "full"))
    parser.add_argument("--coregister", choices=("none", "pan"), default="none")
    parser.add_argument("--crisp-pan", action="store_true")
    parser.add_argument("--report", action="store_true")
    asked = parser.parse_args(arguments)
    asked.out.mkdir(parents=True, exist_ok=True)
    planned = list(trials(asked.data, asked.out))
    for kind, figures in (("truth", _AGAINST_TRUTH), ("full", _WITHOUT)):
        if asked.only in (None, kind):
            chosen = [trial for trial in planned if trial.judged == (kind == "truth")]
            table = asked.out / f"unseen-{kind}.csv"
            check_csv(table, csv_columns("reference" if kind == "truth" else "full"))
            _print(_run(chosen, asked, table), figures)


def _run(trials: Sequence[Trial], asked: argparse.Namespace, table: Path) -> dict[str, list[_Figures]]:
    """The figures of every method, pair after pair, by set."""
    found: dict[str, list[_Figures]] = {}
    for trial in trials:
        page = asked.report and trial.group not in found
        report = _compare(trial, asked, asked.out if page else None)
        for row in report.as_rows():
            append_row(table, row)
        found.setdefault(trial.group, []).append({row.method: row.figures for row in report.rows})
        print(f"<!-- {trial.group}: {trial.pan} -->", flush=True)
    return found


def _compare(trial: Trial, asked: argparse.Namespace, out: Path | None) -> CompareReport:
    """Every method as it comes and with rounds; a page is written where there is somewhere for it."""
    page = None if out is None else out / f"{trial.group} {'truth' if trial.judged else 'full'}"
    options = CompareOptions(
        methods=asked.methods.split(","),
        reduced=trial.reduced,
        reference=trial.reference,
        sensor=trial.sensor,
        back_project=asked.back_project,
        coregister=asked.coregister,
        crisp_pan=asked.crisp_pan,
        report=page,
        overwrite=True,
    )
    return compare(trial.pan, [trial.ms], options)


def _print(groups: dict[str, list[_Figures]], figures: tuple[tuple[str, int], ...]) -> None:
    methods = list(dict.fromkeys(method for values in groups.values() for one in values for method in one))
    titles = [f"{group}, {len(values)}" for group, values in groups.items()]
    print(f"\n{' / '.join(key for key, _ in figures)}\n\n| method | {' | '.join(titles)} |")
    print("|---" * (len(titles) + 1) + "|")
    for method in methods:
        cells = [
            " / ".join(_mean([one[method].get(key) for one in values], digits) for key, digits in figures)
            for values in groups.values()
        ]
        print(f"| {method} | {' | '.join(cells)} |")


def _mean(values: Sequence[float | None], digits: int) -> str:
    """Of all pairs; a figure that one of them lacks is not a figure of the set."""
    known = [value for value in values if value is not None]
    return f"{sum(known) / len(known):.{digits}f}" if len(known) == len(values) else "-"


if __name__ == "__main__":
    main()
