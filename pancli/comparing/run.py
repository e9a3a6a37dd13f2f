"""One method after the other: sharpen, measure, and go on whatever came of it."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from pancli.checking import PairReport, check_pair
from pancli.comparing.bench import Bench, every_band
from pancli.comparing.options import CompareOptions, Entrant
from pancli.comparing.report import CompareReport, MethodResult, rank
from pancli.degrading import degrade_pair
from pancli.degrading.reduction import plan_reduction
from pancli.errors import OutputError, PairError, PancliError
from pancli.evaluation import evaluate
from pancli.evaluation.images import meeting
from pancli.evaluation.run import check_block
from pancli.progress import Progress
from pancli.raster.aligned import open_aligned
from pancli.raster.commit import prepare_folder
from pancli.raster.names import Name, as_texts, spare_inputs
from pancli.raster.pair import PairOptions, open_pair
from pancli.raster.spec import PAIR_FILES
from pancli.sharpening import SharpenReport, sharpen

PAGE = "index.html"
_EXTRA = ("matplotlib", "jinja2")
_SHARPENING = 60  # of a method's 100 parts of progress; measuring has the rest


@dataclass
class _Findings:
    """What adds up over methods."""

    variants: dict[str, str] = field(default_factory=dict)
    shape: tuple[int, int] | None = None
    peak: float | None = None
    measured: list[str] = field(default_factory=list)
    warned: dict[str, list[str]] = field(default_factory=dict)

    def warn(self, method: str, warnings: Sequence[str]) -> None:
        """Note what is to be known of a method that was measured."""
        self.measured.append(method)
        for warning in dict.fromkeys(warnings):
            self.warned.setdefault(warning, []).append(method)

    def warnings(self, known: Sequence[str]) -> list[str]:
        """Each once, with the methods it is of where it is not of all, or known without any."""
        return [
            text if text in known or methods == self.measured else f"{', '.join(methods)}: {text}"
            for text, methods in self.warned.items()
        ]


def compare(
    pan: Name, ms: Sequence[Name], options: CompareOptions | None = None, progress: Progress | None = None
) -> CompareReport:
    """Sharpen one pair with several methods, one after the other, and measure each result.

    A method that fails becomes a row that says why.

    Args:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same, stacked in this order.
        options: What is asked for.
        progress: Called as work is done.

    Raises:
        PancliError: What no method could do anything about; nothing was sharpened then.
    """
    options, pan, ms = options or CompareOptions(), os.fspath(pan), as_texts(ms)
    if options.report is not None:
        _check_extra()
    check = check_pair(pan, ms, options.pair, options.sensor)
    if check.refusal is not None:
        raise PairError(check.refusal)
    _check_measuring(pan, ms, options)
    given = [] if options.reference is None else [options.reference]
    _prepare_folders([pan, *ms, *given], options)
    with _set_up(pan, ms, options) as (bench, warnings):
        rows, findings = _run(bench, options, progress or (lambda *_: None))
        report = _report((pan, tuple(ms)), rows, findings, options, check, warnings)
        if options.report is not None:
            from pancli.comparing.page import write_page

            write_page(options.report / PAGE, report, bench, options)
    return report


def _check_extra() -> None:
    for name in _EXTRA:
        if importlib.util.find_spec(name) is None:
            raise OutputError(f"--report needs {name}, which is not installed: pip install jinja2 matplotlib")


def _check_measuring(pan: str, ms: Sequence[str], options: CompareOptions) -> None:
    """Refuse now what each method would be refused for after it has sharpened."""
    with open_pair(pan, ms, options.pair) as pair:
        area = plan_reduction(pair, options.ratio).reference if options.reduced else pair.overlap()
        check_block(area, options.block)
        if options.reference is not None:
            role, nodata = "the reference", options.pair.nodata
            with open_aligned(options.reference, role, pair.pan_grid, nodata) as image:
                meeting(role, image, len(pair.bands), area)


def _prepare_folders(inputs: Sequence[str], options: CompareOptions) -> None:
    if options.keep is not None:
        names = [f"{entrant.label}.tif" for entrant in options.entrants()]
        names += PAIR_FILES if options.reduced else ()
        spare_inputs([options.keep / name for name in names], inputs)
        prepare_folder(options.keep, names, overwrite=options.overwrite)
    if options.report is not None:
        prepare_folder(options.report, [PAGE], overwrite=options.overwrite)


@contextmanager
def _set_up(pan: str, ms: Sequence[str], options: CompareOptions) -> Iterator[tuple[Bench, tuple[str, ...]]]:
    """What is to be sharpened, in a folder that goes with the context, and warnings about it.

    The folder lies where the user lets us write, because the system's own for such files may be small,
    or memory.
    """
    home = options.keep or options.report
    with tempfile.TemporaryDirectory(prefix=".pancli-compare-", dir=home) as name:
        scratch = Path(name)
        maps = None
        if options.report is not None and not options.reduced and options.reference is None:
            maps = scratch / "maps"
            maps.mkdir()
        fused = options.keep or scratch
        cleared = options.keep is None and options.report is None
        if not options.reduced:
            yield Bench(pan, tuple(ms), options.reference, options.pair, fused, maps, cleared), ()
            return
        reduced = degrade_pair(pan, ms, fused, options.degrading())
        new_pan, new_ms, reference = (fused / file for file in PAIR_FILES)
        # Bands, nodata and reprojection were settled on the way: the reduced files say what is so.
        bench = Bench(
            pan=str(new_pan),
            ms=(every_band(new_ms, reduced.bands),),
            reference=every_band(reference, reduced.bands),
            pair=PairOptions(),
            fused=fused,
            maps=maps,
            cleared=cleared,
        )
        yield bench, reduced.warnings


def _run(bench: Bench, options: CompareOptions, progress: Progress) -> tuple[list[MethodResult], _Findings]:
    findings, rows = _Findings(), []
    entrants = options.entrants()
    for number, entrant in enumerate(entrants):
        step = _Step(progress, entrant.label, 100 * number, 100 * len(entrants))
        try:
            rows.append(_run_entrant(entrant, bench, options, findings, step))
        except PancliError as error:
            rows.append(MethodResult(entrant.label, error=str(error)))
    return rows, findings


@dataclass(frozen=True)
class _Step:
    """One entrant's share of everything there is to do."""

    progress: Progress
    label: str
    start: int
    total: int

    def sharpening(self, _stage: str, done: int, total: int) -> None:
        """The first part of it."""
        self._tell(_SHARPENING * done / total if total else 0)

    def measuring(self, _stage: str, done: int, total: int) -> None:
        """The rest."""
        self._tell(_SHARPENING + (100 - _SHARPENING) * done / total)

    def _tell(self, share: float) -> None:
        self.progress(self.label, self.start + int(share), self.total)


def _run_entrant(
    entrant: Entrant, bench: Bench, options: CompareOptions, findings: _Findings, step: _Step
) -> MethodResult:
    out = bench.fused / f"{entrant.label}.tif"
    made = sharpen(bench.pan, bench.ms, out, options.sharpening(entrant, bench.pair), step.sharpening)
    map_path = None if bench.maps is None else bench.maps / out.name
    asked = options.measuring(bench.pair, map_path)
    try:
        image = every_band(out, made.bands)
        measured = evaluate(image, bench.pan, bench.ms, bench.reference, asked, step.measuring)
    finally:
        if bench.cleared:
            out.unlink()
    findings.variants = {key: figure.variant for key, figure in measured.figures.items()}
    findings.warn(entrant.label, (*made.warnings, *measured.warnings))
    findings.shape, findings.peak = measured.shapes["evaluated"], measured.peak
    return _row(entrant, made, {key: figure.value for key, figure in measured.figures.items()})


def _row(entrant: Entrant, made: SharpenReport, figures: dict[str, float | None]) -> MethodResult:
    return MethodResult(
        method=entrant.label,
        seconds={stage: made.seconds[stage] for stage in ("fit", "fuse", "total")},
        megapixels_per_second=made.megapixels_per_second,
        device=made.device,
        figures=figures,
    )


def _report(
    named: tuple[str, tuple[str, ...]],
    rows: list[MethodResult],
    findings: _Findings,
    options: CompareOptions,
    check: PairReport,
    warnings: Sequence[str],
) -> CompareReport:
    mode = options.mode
    ordered, key = rank(rows, mode)
    told = [*check.warnings, *warnings]
    told += findings.warnings(told)
    if options.coregister not in ("none", "pan") and mode == "full":
        told.append(
            "MS is moved for sharpening, but figures that compare with MS take it where it lies: "
            "they rank methods, and all of them are worse than they should be"
        )
    return CompareReport(
        mode=mode,
        pan=named[0],
        ms=named[1],
        reference=options.reference,
        shape=findings.shape,
        rows=ordered,
        ranked_by=key,
        variants=findings.variants,
        check=check,
        sensor=options.sensor,
        block=options.block,
        peak=findings.peak,
        coregister=options.shift,
        crisp_pan=options.crisp_pan,
        warnings=tuple(dict.fromkeys(told)),
    )
