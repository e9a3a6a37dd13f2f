"""How far pan and ms lie apart: sub-pixel phase correlation on the ms grid.

Pan, reduced to the ms grid by the MTF, is compared with what the ms bands make of it (its regression on
them) in windows spread over the scene. What is found is applied to the placement and measured again, so
that the result does not lean towards zero, as windowed correlation does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from pancli.methods.moments import Moments
from pancli.methods.statistics import coarsest_ratio
from pancli.placement import Placement
from pancli.resampling import mtf_radius, reduce_masked
from pancli.scene import TiledScene
from pancli.tiling import Window

MIN_SIDE = 32
"""Fewest ms pixels along an axis from which a shift is measured."""

CONFIDENT = 0.7
"""Confidence from which a shift may be applied without asking."""

REACH = 5
"""ms pixels: the largest shift looked for, along either axis."""

_SIDES = 64, 128  # ms pixels: smallest and largest window of scenes that have room for them
_GRID = 8  # windows along an axis at most
_BUDGET = 64 << 20  # bytes of pixels held at once; fewer windows where they are large
_ROUNDS = 6
_SETTLED = 0.01  # ms pixels: a smaller correction ends the rounds
_TOLERANCE = 0.5  # ms pixels a window may differ from the scene and still count
_MIN_VALID = 0.6  # share of the Hann weight that must lie on valid pixels
_CUT = 0.25  # cycles per ms pixel where the weight of a frequency has fallen to 1/e
_LOBE = 2  # ms pixels around a peak that belong to it
_FLAT = 1e-9  # contrast, relative to the mean, that is rounding and not texture
_FINE = 32  # steps per ms pixel of the upsampled correlation


@dataclass(frozen=True, slots=True)
class WindowShift:
    """The shift one window shows on its own.

    Attributes:
        row: Centre of the window, in pan pixels.
        col: The same, across.
        down: Pan pixels the ms image must be moved down to fit pan there.
        right: The same, to the right.
        confidence: How far the correlation peak stands out, in [0, 1].
        used: Whether it agrees with the scene and so counts in its shift.
    """

    row: float
    col: float
    down: float
    right: float
    confidence: float
    used: bool


@dataclass(frozen=True, slots=True)
class ShiftReport:
    """How far the ms image must be moved to fit pan: ``pan(x) = ms(x - shift)``.

    ``placement.shifted(report.down, report.right)`` applies it.

    Attributes:
        down: Pan pixels, towards larger rows.
        right: Pan pixels, towards larger columns.
        confidence: In [0, 1]: height of the peak over its rivals, times the agreement of the windows.
        confident: Whether the shift can be relied upon.
        windows: What each window shows, row by row; windows without enough valid texture are missing.
    """

    down: float
    right: float
    confidence: float
    confident: bool
    windows: tuple[WindowShift, ...] = ()

    @property
    def used(self) -> int:
        """Number of windows the shift rests on."""
        return sum(window.used for window in self.windows)

    @property
    def distance(self) -> float:
        """Length of the shift, in pan pixels."""
        return math.hypot(self.down, self.right)


_UNKNOWN = ShiftReport(0.0, 0.0, 0.0, False)


@dataclass(frozen=True, slots=True)
class _Patch:
    """One window: ms as it is, and the pan around it; pixels that do not exist are invalid."""

    ms: Tensor
    ms_valid: Tensor
    ms_window: Window
    pan: Tensor
    pan_valid: Tensor
    pan_window: Window

    def reduced(self, placement: Placement, gain: float) -> tuple[Tensor, Tensor]:
        """Pan on the ms pixels (1, h, w), and which of them (h, w) are valid in both images."""
        windows = self.pan_window, self.ms_window
        reduced, whole = reduce_masked(self.pan, self.pan_valid[0], placement, windows, (gain,))
        return reduced, self.ms_valid & whole


@dataclass(frozen=True, slots=True)
class _Peak:
    """Where a correlation surface is highest, in ms pixels, and how far it stands out, in [0, 1]."""

    row: float
    col: float
    confidence: float

    def near(self, other: _Peak) -> bool:
        return max(abs(self.row - other.row), abs(self.col - other.col)) <= _TOLERANCE


@dataclass(frozen=True)
class _Correlator:
    """Phase correlation of windows of one shape (h, w).

    Kuglin & Hines, "The phase correlation image alignment method", 1975; weights between correlation and
    phase correlation: Knapp & Carter, "The generalized correlation method for estimation of time delay",
    IEEE TASSP 1976. The surface is evaluated between pixels by matrix products, as in Guizar-Sicairos,
    Thurman, Fienup, "Efficient subpixel image registration algorithms", Optics Letters 2008.
    """

    shape: tuple[int, int]

    @cached_property
    def _taper(self) -> Tensor:
        """Hann window (h, w)."""
        rows, cols = (
            torch.sin(math.pi * (torch.arange(n, dtype=torch.float64) + 0.5) / n) ** 2 for n in self.shape
        )
        return torch.outer(rows, cols)

    @cached_property
    def _frequencies(self) -> tuple[Tensor, Tensor]:
        """Cycles per ms pixel, (h,) and (w,)."""
        rows, cols = (torch.fft.fftfreq(n, dtype=torch.float64) for n in self.shape)
        return rows, cols

    @cached_property
    def _trust(self) -> Tensor:
        """Weight of each frequency (h, w): none for the mean, little where ms holds noise and aliases."""
        rows, cols = self._frequencies
        squared = rows[:, None] ** 2 + cols[None, :] ** 2
        trust = torch.exp(-squared / _CUT**2) * (squared > 0)
        return trust / trust.sum()

    def spectrum(self, pan: Tensor, intensity: Tensor, valid: Tensor) -> Tensor | None:
        """Cross-power spectra (2, h, w) of two images, half and fully whitened.

        None without enough valid texture.
        """
        weight = self._taper * valid
        if weight.sum() < _MIN_VALID * self._taper.sum():
            return None
        spectra = []
        for image in (pan, intensity):
            mean = (weight * image).sum() / weight.sum()
            centred = weight * (image - mean)
            if centred.abs().max() <= _FLAT * mean.abs():
                return None
            spectra.append(torch.fft.fft2(centred))
        cross = spectra[0] * spectra[1].conj()
        height = cross.abs().clamp_min(torch.finfo(torch.float64).tiny)
        half = cross / height.sqrt()
        return torch.stack((half / (half.abs() * self._trust).sum(), cross / height))

    def peak(self, spectra: Tensor) -> _Peak:
        """The highest point of the half-whitened correlation within reach, and its rivals in the other.

        Half whitening keeps frequencies that are mostly noise from pulling at the peak; full whitening
        takes the texture's own repetition out of the rivals.
        """
        half, full = spectra * self._trust
        steps = [torch.fft.fftfreq(n, 1 / n, dtype=torch.float64) for n in self.shape]
        far = [step.abs() > REACH for step in steps]
        surface = torch.fft.ifft2(half, norm="forward").real
        flat = int(surface.masked_fill(far[0][:, None] | far[1][None, :], -torch.inf).argmax())
        index = divmod(flat, self.shape[1])
        row, col = self._refine(half, *(float(step[i]) for step, i in zip(steps, index, strict=True)))
        around = [(i + torch.arange(-_LOBE, _LOBE + 1)) % n for i, n in zip(index, self.shape, strict=True)]
        rivals = torch.fft.ifft2(full, norm="forward").real
        rivals[around[0][:, None], around[1]] = 0.0
        here = torch.zeros(1, dtype=torch.float64)
        height = float(self._surface(full, row + here, col + here))
        return _Peak(row, col, min(max(1.0 - float(rivals.max()) / height, 0.0), 1.0) if height > 0 else 0.0)

    def _surface(self, weighted: Tensor, rows: Tensor, cols: Tensor) -> Tensor:
        """The correlation at rows x cols, which need not be whole ms pixels."""
        down, across = (
            torch.exp(2j * math.pi * place[:, None] * frequency[None, :])
            for place, frequency in zip((rows, cols), self._frequencies, strict=True)
        )
        surface: Tensor = (down @ weighted @ across.T).real
        return surface

    def _refine(self, weighted: Tensor, row: float, col: float) -> tuple[float, float]:
        """Position of the maximum within one ms pixel of (row, col)."""
        offset = torch.arange(-_FINE, _FINE + 1, dtype=torch.float64) / _FINE
        surface = self._surface(weighted, row + offset, col + offset)
        i, j = divmod(int(surface.argmax()), len(offset))
        down = float(offset[i]) + _vertex(surface[:, j], i) / _FINE
        right = float(offset[j]) + _vertex(surface[i, :], j) / _FINE
        return row + down, col + right


def _vertex(values: Tensor, index: int) -> float:
    """Where the parabola through a sample and its two neighbours peaks, in samples from it."""
    if not 0 < index < len(values) - 1:
        return 0.0
    left, middle, right = (float(v) for v in values[index - 1 : index + 2])
    bend = left - 2 * middle + right
    return 0.0 if bend >= 0 else 0.5 * (left - right) / bend


def _starts(first: int, stop: int, side: int, count: int) -> list[int]:
    """Evenly spread starts of ``count`` spans of length ``side`` in ``[first, stop)``."""
    room = stop - first - side
    if count == 1:
        return [first + room // 2]
    return [first + room * i // (count - 1) for i in range(count)]


def _plan(scene: TiledScene) -> list[Window]:
    """Windows on the ms grid, all of one shape, spread evenly over the scene; none if it is too small."""
    area = scene.info.placement.ms_inside(scene.area)
    if min(area.shape) < MIN_SIDE:
        return []
    longest = min(max(max(area.shape) // _GRID, _SIDES[0]), _SIDES[1])
    sides = [min(n, longest) for n in area.shape]
    pixel = 4 * scene.info.bands + 5 * scene.info.placement.ratio**2
    grid = min(_GRID, max(1, math.isqrt(int(_BUDGET / (pixel * sides[0] * sides[1])))))
    counts = [min(n // side, grid) for n, side in zip(area.shape, sides, strict=True)]
    rows = _starts(area.row, area.row_stop, sides[0], counts[0])
    cols = _starts(area.col, area.col_stop, sides[1], counts[1])
    return [Window(row, col, *sides) for row in rows for col in cols]


def _read(scene: TiledScene, ms_window: Window) -> _Patch:
    """One window with all the pan that any shift within reach can ask for."""
    placement = scene.info.placement
    ratio = coarsest_ratio(placement)
    margin = mtf_radius(ratio, scene.info.mean_gain) + math.ceil((REACH + 2) * ratio)
    rows, cols = (
        axis.pan_span(*span, margin) for axis, span in zip(placement.axes, ms_window.spans, strict=True)
    )
    pan_window = Window.from_bounds(*rows, *cols)
    inside = pan_window.intersect(scene.bounds)
    pan = np.zeros(pan_window.shape, np.float32)
    pan_valid = np.zeros(pan_window.shape, np.bool_)
    values, valid = scene.reader.read_pan(inside)
    pan[inside.slices_in(pan_window)] = np.where(valid, values, 0)
    pan_valid[inside.slices_in(pan_window)] = valid
    ms, ms_valid = scene.reader.read_ms(ms_window)
    return _Patch(
        torch.from_numpy(np.where(ms_valid, ms, 0)).float(),
        torch.from_numpy(np.ascontiguousarray(ms_valid)),
        ms_window,
        torch.from_numpy(pan)[None],
        torch.from_numpy(pan_valid)[None],
        pan_window,
    )


def _spectra(
    patches: list[_Patch], placement: Placement, gain: float, correlator: _Correlator
) -> list[Tensor | None]:
    """Per window, the spectrum of reduced pan against the regression of pan on the ms bands."""
    bands = patches[0].ms.shape[0]
    moments = Moments.empty(bands + 1)
    reduced = [patch.reduced(placement, gain) for patch in patches]
    for patch, (pan, valid) in zip(patches, reduced, strict=True):
        samples = torch.cat((patch.ms.double(), pan))[:, valid]
        moments = moments.merge(Moments.of(samples))
    weights, _ = moments.regress(bands, list(range(bands)))
    return [
        correlator.spectrum(pan[0], torch.einsum("b,bhw->hw", weights, patch.ms.double()), valid)
        for patch, (pan, valid) in zip(patches, reduced, strict=True)
    ]


def _combine(spectra: list[Tensor], correlator: _Correlator) -> tuple[_Peak, list[_Peak]]:
    """The peak of all windows that agree with the peak of all windows, and each window's own."""
    own = [correlator.peak(spectrum) for spectrum in spectra]
    first = correlator.peak(torch.stack(spectra).mean(0))
    agreeing = [spectrum for spectrum, peak in zip(spectra, own, strict=True) if peak.near(first)]
    if not agreeing:
        return replace(first, confidence=0.0), own
    scene = correlator.peak(torch.stack(agreeing).mean(0))
    weight = sum(peak.confidence for peak in own)
    share = sum(peak.confidence for peak in own if peak.near(scene)) / weight if weight else 0.0
    return replace(scene, confidence=scene.confidence * share), own


def _report(
    placement: Placement, moved: Placement, found: list[tuple[Window, _Peak]], scene: _Peak
) -> ShiftReport:
    """Turn residual shifts on the moved ms grid, in ms pixels, into shifts in pan pixels."""

    def down(peak: _Peak) -> float:
        return moved.rows.to_pan(peak.row) - placement.rows.to_pan(0)

    def right(peak: _Peak) -> float:
        return moved.cols.to_pan(peak.col) - placement.cols.to_pan(0)

    windows = tuple(
        WindowShift(
            placement.rows.to_pan(window.row + (window.height - 1) / 2),
            placement.cols.to_pan(window.col + (window.width - 1) / 2),
            down(peak),
            right(peak),
            peak.confidence,
            peak.near(scene),
        )
        for window, peak in found
    )
    confident = scene.confidence >= CONFIDENT and max(abs(scene.row), abs(scene.col)) <= _TOLERANCE
    return ShiftReport(down(scene), right(scene), scene.confidence, confident, windows)


def measure_shift(scene: TiledScene) -> ShiftReport:
    """Measure how far the ms image must be moved to fit pan.

    Reads at most 64 windows, always the same ones, so time and memory do not grow with the scene.

    Args:
        scene: The pair; statistics are of its area.

    Returns:
        The shift in pan pixels. Where the images are too small, flat, masked or unrelated, or further
        apart than 5 ms pixels, it is not confident.

    Raises:
        InputError: The files cannot be read.
    """
    placement = moved = scene.info.placement
    patches = [_read(scene, window) for window in _plan(scene)]
    if not patches:
        return _UNKNOWN
    correlator = _Correlator(patches[0].ms_window.shape)
    report = _UNKNOWN
    for _ in range(_ROUNDS):
        spectra = _spectra(patches, moved, scene.info.mean_gain, correlator)
        textured = [(p.ms_window, s) for p, s in zip(patches, spectra, strict=True) if s is not None]
        if not textured:
            return _UNKNOWN
        peak, own = _combine([spectrum for _, spectrum in textured], correlator)
        found = [(window, o) for (window, _), o in zip(textured, own, strict=True)]
        report = _report(placement, moved, found, peak)
        reach = REACH * placement.rows.ratio, REACH * placement.cols.ratio
        if abs(report.down) > reach[0] or abs(report.right) > reach[1]:
            # The pan around the windows ends there: whatever was found is not a shift.
            return replace(_UNKNOWN, windows=tuple(replace(w, used=False) for w in report.windows))
        if max(abs(peak.row), abs(peak.col)) < _SETTLED:
            break
        moved = placement.shifted(report.down, report.right)
    return report
