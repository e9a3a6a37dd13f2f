"""Images in, figures out: every tile once, sums added up, figures at the end."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch

from pancli.device import find_device, shortage_told
from pancli.errors import PairError
from pancli.evaluation.figures import Figure, against_reference_figures, exact, no_reference_figures
from pancli.evaluation.images import Images, open_images
from pancli.evaluation.maps import DistortionMap
from pancli.evaluation.measure import (
    AgainstReferenceSums,
    NoReferenceSums,
    margin,
    measure_against_reference,
    measure_blocks,
    measure_no_reference,
)
from pancli.evaluation.options import EvaluateOptions
from pancli.evaluation.profiles import WHOLE_PROFILES, WholeProfile
from pancli.evaluation.report import EvaluationReport
from pancli.fill import untold_fill
from pancli.metrics.profiles import PROFILES
from pancli.metrics.reference import peak_in_doubt
from pancli.progress import Progress
from pancli.raster.commit import check_output, check_tiff_name
from pancli.raster.env import strips_env
from pancli.raster.names import Name, as_texts, spare_inputs
from pancli.tiling import Window

_FULL_SCALE_8_BIT = 255.0
_UNLIKE = 5.0  # times another's deviation: Q of the two is at most 0.38, and 0.15 where means are as unlike
_ROUNDING = 1e-12  # of a mean: deviations as small are of float64 arithmetic


@dataclass(frozen=True)
class _Sums:
    alone: NoReferenceSums
    against: AgainstReferenceSums | None

    def __add__(self, other: _Sums) -> _Sums:
        against = None
        if self.against is not None and other.against is not None:
            against = self.against + other.against
        return _Sums(self.alone + other.alone, against)


def evaluate(
    fused: Name,
    pan: Name,
    ms: Sequence[Name],
    reference: Name | None = None,
    options: EvaluateOptions | None = None,
    progress: Progress | None = None,
) -> EvaluationReport:
    """Measure a fused image against what it was made of, and against a reference where there is one.

    Args:
        fused: Path, URI, or ``path,band=N``; on pan's pixels.
        pan: The same, one band.
        ms: One or more of the same, stacked in this order.
        reference: What the fused image should be, on the same pixels; or None.
        options: What is asked for.
        progress: Called as tiles are done.

    Raises:
        PancliError: Anything a user can cause.
    """
    options = options or EvaluateOptions()
    if options.map_path is not None:
        check_tiff_name(options.map_path)
        check_output(options.map_path, overwrite=options.overwrite)
        spare_inputs([options.map_path], [fused, pan, *ms, *([] if reference is None else [reference])])
    with (
        shortage_told(find_device(options.device)),
        torch.inference_mode(),
        open_images(fused, pan, ms, reference, options) as images,
    ):
        measure = _MEASURES[options.profile]
        measured = measure(images, options, progress or (lambda *_: None))
        files = {"fused": os.fspath(fused), "pan": os.fspath(pan), "ms": " ".join(as_texts(ms))}
        if reference is not None:
            files["reference"] = os.fspath(reference)
        return _report(images, measured, options, files)


def _untold_fill(images: Images) -> list[str]:
    pair, whole = images.pair, images.area == images.pair.pan_grid.window
    frame = "its frame" if whole else "the frame of what is measured"
    return untold_fill(pair, pair.untagged, pair.placement, images.area, frame)


@dataclass(frozen=True)
class _Measured:
    """Figures, valid pixels, valid blocks, and what the user should know."""

    figures: dict[str, Figure]
    pixels: int
    blocks: int
    peak: float | None
    warnings: tuple[str, ...]


def _measure(images: Images, options: EvaluateOptions, progress: Progress) -> _Measured:
    check_block(images.area, options.block)
    peak = _find_peak(images, options)
    local = DistortionMap(images.area, options.block) if options.map_path else None
    sums = _add_up(images, options, peak, local, progress)
    _check_content(images, sums)
    figures = _figures(images, sums, options, peak)
    if local is not None and options.map_path is not None:
        local.write(options.map_path, images.pair.pan_grid, overwrite=options.overwrite)
    doubts = () if sums.against is None else _peak_doubts(sums.against.highest, peak)
    warnings = (*_negatives(sums.alone), *_unlike_units(sums.alone), *doubts)
    return _Measured(figures, sums.alone.moments.count, sums.alone.khan.count, peak, warnings)


def _measure_whole(
    profile: WholeProfile, images: Images, options: EvaluateOptions, _progress: Progress
) -> _Measured:
    peak = _find_peak(images, options)
    figures = profile(images, options, peak)
    warnings: list[str] = []
    if images.reference is not None and "--peak" in PROFILES[options.profile].takes:
        warnings = _peak_doubts(float(images.reference.read(images.area)[0].max()), peak)
    blocks = _whole_blocks(images.area, options.block)
    return _Measured(figures, images.area.size, blocks, peak, tuple(warnings))


def _whole_blocks(area: Window, block: int) -> int:
    return (area.height // block) * (area.width // block)


_MEASURES: dict[str, Callable[[Images, EvaluateOptions, Progress], _Measured]] = {
    "pancli": _measure,
    **{name: partial(_measure_whole, profile) for name, profile in WHOLE_PROFILES.items()},
}


def check_block(area: Window, block: int) -> None:
    """Refuse images that hold no block.

    Args:
        area: What they have in common.
        block: Side of a block.

    Raises:
        PairError: There is none.
    """
    height, width = area.shape
    if min(height, width) < block:
        raise PairError(
            f"the images have {width} x {height} pixels in common, less than one block of {block} x {block}; "
            "use a smaller --block"
        )


def _find_peak(images: Images, options: EvaluateOptions) -> float | None:
    """The largest digital number there can be, where something says so."""
    if options.peak is not None:
        return options.peak
    bits = images.info.sensor.bits
    if (images.reference or images.fused).dtype == "uint8":
        return _FULL_SCALE_8_BIT
    return None if bits is None else 2.0**bits - 1


def _add_up(
    images: Images,
    options: EvaluateOptions,
    peak: float | None,
    local: DistortionMap | None,
    progress: Progress,
) -> _Sums:
    size = max(options.tile // options.block, 1) * options.block
    beside = margin(images.info, options.block)
    total: _Sums | None = None
    with strips_env(images.strip_bytes(size + 2 * images.scene.margin(beside))):
        for done, count, image in images.tiles(size, beside):
            blocks = measure_blocks(image, images.info, options.block)
            if local is not None:
                local.add(image.tile.core, blocks)
            against = None
            if image.reference is not None:
                against = measure_against_reference(image, image.reference, options.block, peak)
            sums = _Sums(measure_no_reference(image, blocks, images.info, images.area), against)
            total = sums if total is None else total + sums
            progress("measure", done, count)
    if total is None:
        raise PairError(
            "no pixel is valid in all images at once; do their masks leave anything? is --nodata right?"
        )
    # What varies by less than numbers are exact to does not vary.
    alone, against = total.alone, total.against
    alone = replace(alone, moments=alone.moments.without_rounding(_ROUNDING))
    if against is not None:
        against = replace(against, moments=against.moments.without_rounding(_ROUNDING))
    return _Sums(alone, against)


def _check_content(images: Images, sums: _Sums) -> None:
    """A constant image has no quality: most likely it is the wrong file."""
    moments = sums.alone.moments
    spread = moments.scatter.diagonal()
    said = f"over all its {moments.count} valid pixels; there is nothing to measure"
    if bool((spread[:-1] == 0).all()):
        raise PairError(f"FUSED {images.fused.path} is constant {said}")
    if float(spread[-1]) == 0:
        raise PairError(f"PAN {images.pair.pan_path} is constant {said}")
    if sums.against is not None and images.reference is not None:
        bands = images.info.bands
        if bool((sums.against.moments.scatter.diagonal()[bands:] == 0).all()):
            raise PairError(f"the reference {images.reference.path} is constant {said}")


def _figures(images: Images, sums: _Sums, options: EvaluateOptions, peak: float | None) -> dict[str, Figure]:
    ratio = images.info.placement.ratio
    figures = no_reference_figures(sums.alone, ratio, options.block, radians=options.radians)
    if sums.against is None:
        return figures
    return figures | against_reference_figures(
        sums.against, ratio, options.block, peak, radians=options.radians
    )


def _report(
    images: Images, measured: _Measured, options: EvaluateOptions, files: dict[str, str]
) -> EvaluationReport:
    shapes = {
        "fused": images.fused.window.shape,
        "pan": images.pair.pan_grid.shape,
        "ms": images.pair.ms_grid.shape,
        "evaluated": images.area.shape,
    }
    if images.reference is not None:
        shapes["reference"] = images.reference.window.shape
    whole = _whole_blocks(images.area, options.block)
    return EvaluationReport(
        figures=measured.figures,
        shapes=shapes,
        bands=images.info.bands,
        valid_pixels=measured.pixels,
        blocks=(measured.blocks, whole),
        sensor=images.info.sensor.name,
        mtf_gains=images.info.gains,
        profile=options.profile,
        block=options.block,
        peak=measured.peak,
        radians=options.radians,
        files=files,
        warnings=(
            *images.pair.warnings,
            *options.doubts(images.pair),
            *_untold_fill(images),
            *_undefined(measured.figures),
            *measured.warnings,
        ),
    )


def _undefined(figures: dict[str, Figure]) -> list[str]:
    return [f"{key} is not defined: {f.note}" for key, f in figures.items() if f.value is None]


def _negatives(sums: NoReferenceSums) -> list[str]:
    if not sums.negative:
        return []
    share = 100 * sums.negative / sums.moments.count
    told = f"{share:.0f}" if share >= 10 else f"{share:.2g}"
    return [f"{told} % of the valid pixels of FUSED are negative, which quality indices do not expect"]


def _unlike_units(sums: NoReferenceSums) -> list[str]:
    *bands, pan = sums.moments.scatter.diagonal().sqrt().tolist()
    if pan > _UNLIKE * max(bands) > 0:
        much = "more than 5 times"
    elif 0 < _UNLIKE * pan < min(bands):
        much = "less than a fifth"
    else:
        return []
    return [
        f"PAN varies {much} as much as any band of FUSED: in units so unlike, d_s is small whatever was "
        "fused, and qnr and hqnr are too high; go by rqnr, or bring PAN to the units of MS"
    ]


def _peak_doubts(highest: float, peak: float | None) -> list[str]:
    where = None if peak is None else peak_in_doubt(highest, peak)
    if peak is None or where is None:
        return []
    return [
        f"the reference goes up to {highest:g}, {where} the peak of {exact(peak)} that PSNR and SSIM "
        "are told; give --peak"
    ]
