"""Sums in, named numbers out: the figures of the ``pancli`` profile, each with its definition's name."""

from __future__ import annotations

import math
from dataclasses import dataclass

from pancli.evaluation.measure import AgainstReferenceSums, NoReferenceSums
from pancli.metrics.correlation import cosine, mean_correlation
from pancli.metrics.no_reference import spatial_distortion, spectral_distortion
from pancli.metrics.reference import ReferenceSums
from pancli.metrics.sums import Mean

_NO_PEAK = "the largest digital number is not known; give --peak, or --sensor"


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    Attributes:
        value: None where it is not defined for these images.
        variant: Which definition, in words.
        note: Why it is not defined.
    """

    value: float | None
    variant: str
    note: str = ""


def exact(number: float) -> str:
    """A number that was asked for, in as few digits as give it back.

    >>> exact(2047.0), exact(1048575.0), exact(2.5)
    ('2047', '1048575', '2.5')
    """
    return f"{number}".removesuffix(".0")


def no_reference_figures(
    sums: NoReferenceSums, ratio: float, block: int, *, radians: bool
) -> dict[str, Figure]:
    """Distortions, QNR and its family, and the consistency with ms.

    Args:
        sums: Of the whole scene.
        ratio: Pan pixels per ms pixel.
        block: Side of the blocks.
        radians: Of SAM, instead of degrees.
    """
    where = f"blocks of {block}"
    spectral, spatial = _distortions(sums, where)
    khan = Figure(
        _less(_scalar(sums.khan)),
        f"1 - Q2n of upsampled ms and of the fused image through the MTF and back, {where}",
        _no_block(sums.khan, block),
    )
    # D_S of R-QNR: Alparone, Garzelli, Vivone, "Spatial consistency for full-scale assessment of
    # pansharpening", IGARSS 2018.
    regression = Figure(
        sums.moments.unexplained(),
        "1 - R2 of pan on the fused bands, with intercept",
        "pan is constant",
    )
    rho = Figure(
        _less(_scalar(sums.correlation)),
        "1 - local correlation with pan, whole windows",
        "no window is fully valid",
    )
    return {
        "qnr": joint_figure(spectral, spatial, "(1 - d_lambda)(1 - d_s)"),
        "d_lambda": spectral,
        "d_s": spatial,
        "hqnr": joint_figure(khan, spatial, "(1 - d_lambda_k)(1 - d_s)"),
        "d_lambda_k": khan,
        "rqnr": joint_figure(khan, regression, "(1 - d_lambda_k)(1 - d_s_r)"),
        "d_s_r": regression,
        "d_rho": rho,
        **_consistency(sums.consistency, ratio, radians=radians),
    }


def _distortions(sums: NoReferenceSums, where: str) -> tuple[Figure, Figure]:
    high, low = sums.high.value, sums.low.value
    spectral = f"Q between bands, of fused and of upsampled ms, {where}"
    spatial = f"Q with pan of fused; of upsampled ms with pan through the bands' mean MTF and back, {where}"
    if high is None or low is None:
        missing = "no block is fully valid; try a smaller --block"
        return Figure(None, spectral, missing), Figure(None, spatial, missing)
    first = Figure(None, spectral, "it takes two bands")
    if len(high) > 2:
        first = Figure(spectral_distortion(high, low), spectral)
    return first, Figure(spatial_distortion(high, low), spatial)


def _consistency(sums: ReferenceSums, ratio: float, *, radians: bool) -> dict[str, Figure]:
    how = "fused through the MTF on the ms grid, against ms"
    unit = "radians" if radians else "degrees"
    missing = "no ms pixel has the MTF's whole footprint on valid pixels"
    if sums.pixels == 0:
        return {
            "consistency_ergas": Figure(None, how, missing),
            "consistency_sam": Figure(None, f"{how}, {unit}", missing),
        }
    return {
        "consistency_ergas": ergas_figure(sums, ratio, how),
        "consistency_sam": sam_figure(sums, f"{how}, {unit}", radians=radians),
    }


def against_reference_figures(
    sums: AgainstReferenceSums, ratio: float, block: int, peak: float | None, *, radians: bool
) -> dict[str, Figure]:
    """PSNR, SSIM, SAM, ERGAS, SCC, Q, Q2n, RMSE, CC.

    Args:
        sums: Of the whole scene.
        ratio: Pan pixels per ms pixel.
        block: Side of the blocks and windows.
        peak: The largest digital number there can be, or None where it is not known.
        radians: Of SAM, instead of degrees.
    """
    no_window = f"no window of {block} x {block} pixels is fully valid"
    similarity = None if sums.ssim is None else _scalar(sums.ssim)
    return {
        "psnr": psnr_figure(sums.errors, peak, "errors pooled over pixels and bands"),
        "ssim": ssim_figure(similarity, peak, "Gaussian 11 x 11, mean of bands"),
        "sam": sam_figure(sums.errors, "radians" if radians else "degrees", radians=radians),
        "ergas": ergas_figure(sums.errors, ratio, f"100 / {ratio:g}"),
        "scc": Figure(cosine(sums.edges), "cosine of Sobel edge strengths, valid neighbourhoods", "no edges"),
        "q": Figure(_scalar(sums.q), f"sliding windows of {block}, mean of bands", no_window),
        "q2n": Figure(_scalar(sums.q2n), f"blocks of {block}, not rounded", _no_block(sums.q2n, block)),
        "rmse": Figure(sums.errors.rmse(), "errors pooled over pixels and bands"),
        "cc": Figure(mean_correlation(sums.moments.covariance), "mean of bands", "a band is constant"),
    }


def psnr_figure(sums: ReferenceSums, peak: float | None, variant: str) -> Figure:
    """PSNR with the peak in its variant; not defined where no peak is known, or without errors."""
    if peak is None:
        return Figure(None, variant, _NO_PEAK)
    value = sums.psnr(peak)
    known = value if math.isfinite(value) else None
    return Figure(known, f"{variant}, peak {exact(peak)}", "the images are equal: it is infinite")


def ssim_figure(value: float | None, peak: float | None, variant: str) -> Figure:
    """SSIM with the peak in its variant; not defined where no peak is known, or no window valid."""
    if peak is None:
        return Figure(None, variant, _NO_PEAK)
    return Figure(value, f"{variant}, peak {exact(peak)}", "no window is fully valid")


def sam_figure(sums: ReferenceSums, variant: str, *, radians: bool) -> Figure:
    """The mean spectral angle; not defined where every pixel's spectrum is zero."""
    if sums.angled == 0:
        return Figure(None, variant, "every spectrum is zero")
    return Figure(math.radians(sums.sam()) if radians else sums.sam(), variant)


def ergas_figure(sums: ReferenceSums, ratio: float, variant: str) -> Figure:
    """ERGAS; not defined where a band of the reference has the mean zero."""
    if bool((sums.reference == 0).any()):
        return Figure(None, variant, "a band of the reference has the mean zero")
    return Figure(sums.ergas(ratio), variant)


def joint_figure(spectral: Figure, spatial: Figure, variant: str) -> Figure:
    """QNR and its like of two distortions; not defined where one of them is not."""
    if spectral.value is None or spatial.value is None:
        return Figure(None, variant, spectral.note if spectral.value is None else spatial.note)
    return Figure((1 - spectral.value) * (1 - spatial.value), variant)


def _scalar(mean: Mean) -> float | None:
    value = mean.value
    return None if value is None else float(value.mean())


def _less(value: float | None) -> float | None:
    return None if value is None else 1 - value


def _no_block(mean: Mean, block: int) -> str:
    return "" if mean.count else f"no block of {block} x {block} pixels is fully valid; try a smaller --block"
