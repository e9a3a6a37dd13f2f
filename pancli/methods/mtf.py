"""How blurred ms is against pan, from the pair alone: for where no sensor says it.

Among Gaussians, the right one makes pan look as ms looks: pan degraded by it to the ms grid is what the ms
bands, linearly combined, explain best. What is found is the blur *between* pan and ms, which is what takes a
fused image, as sharp as pan, back to ms; pan's own blur is not part of it.

How near it comes (2026-11-21), against the blur between pan and the mean of the bands. 48 simulated pairs of
512 x 512 pixels, random cameras with noise and with bands shifted against each other, ratios 2 to 4: median
error 0.016, root mean square 0.044, largest 0.18 where pan and ms are registered; 0.021, 0.060, 0.20 with
random shifts of up to 1.4 pixels left in. Eight Landsat-7 scenes reduced by known MTFs, where the true blur
comes to 0.32 and 0.48: 0.29 to 0.30 and 0.43 to 0.44. Shifts of 1.2 to 3 pixels that are left in drive it to
its floor.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from pancli.methods.alignment import aligned_scene, scene_shift
from pancli.methods.moments import Moments
from pancli.methods.protocol import PairInfo, Scene, TileImage
from pancli.methods.statistics import MEASURES, ms_grid_margin
from pancli.resampling import mtf_sigma

LOWEST_GAIN, HIGHEST_GAIN = 0.12, 0.6
"""Between these lies what a sensor may have; networks take pan's low-pass by no more."""

DOUBT = 0.08
"""How far an estimate must be from what was believed before to be believed instead."""

_LEAST_EXPLAINED = 0.75  # of pan's variance: below, detail that the bands do not have decides
# Even steps in blur, not in gain: what is explained is smooth in that. The first are sharper than any sensor.
_STEP = (mtf_sigma(1.0, LOWEST_GAIN) - mtf_sigma(1.0, HIGHEST_GAIN)) / 8
_CANDIDATES = 14
_SIGMAS = mtf_sigma(1.0, LOWEST_GAIN) - _STEP * torch.arange(_CANDIDATES - 1, -1, -1, dtype=torch.float64)
_GAINS: tuple[float, ...] = tuple(torch.exp(-0.5 * (math.pi * _SIGMAS) ** 2).tolist())
SHARPEST = _GAINS[0]
"""The highest that is looked for, 0.94: ms that was made by picking pixels shows more than a sensor has."""


def estimate_gain(scene: Scene) -> float:
    """MTF at the ms Nyquist, one for all bands, at which the ms bands explain degraded pan best.

    The share of its variance that least squares with an intercept explains, over valid pixels, at fourteen
    gains in one pass; then the top of the parabola through the best three.

    Args:
        scene: The pair; the shift between pan and ms must have been taken out, or blur will stand in for it.

    Returns:
        From :data:`LOWEST_GAIN` to :data:`SHARPEST`; the mean gain of the scene's sensor where nothing
        can be told: too few valid pixels, or pan and ms have too little in common.
    """
    bands = scene.info.bands
    moments = Moments.empty(bands + _CANDIDATES)
    for image in scene.tiles(ms_grid_margin(scene.info, LOWEST_GAIN), MEASURES):
        moments = moments.merge(Moments.of(_samples(image)))
    if moments.count <= bands + 1:
        return scene.info.mean_gain
    explained = torch.tensor([_explained(moments, bands, bands + i) for i in range(_CANDIDATES)])
    if float(explained.max()) < _LEAST_EXPLAINED:
        return scene.info.mean_gain
    return _top(explained)


def pair_gains(scene: Scene) -> tuple[float, ...]:
    """MTF at the ms Nyquist, one per band: the sensor's, unless the pair speaks for another.

    That is where the estimate differs from the sensor's mean gain by more than :data:`DOUBT`, about one and a
    half times its usual error: published gains are of a sensor, and products are resampled and sharpened.
    More than a sensor has is believed too: where ms was made by picking pixels, that is how to make it again.
    The pair is looked at as if pan lay on ms, wherever it lies, or a shift would be taken for blur.
    """
    return believed_gains(shown_gain(scene), scene.info)


def shown_gain(scene: Scene) -> float:
    """As :func:`estimate_gain`, of a pair looked at as if pan lay on ms."""
    return estimate_gain(aligned_scene(scene, scene_shift(scene).shift))


def believed_gains(found: float, info: PairInfo) -> tuple[float, ...]:
    """As :func:`pair_gains`, given the estimate."""
    return (found,) * info.bands if abs(found - info.mean_gain) > DOUBT else info.gains


def lowest_gain(info: PairInfo) -> float:
    """The lowest that :func:`pair_gains` can find: what a radius must provide for."""
    return min(LOWEST_GAIN, *info.gains)


def _samples(image: TileImage) -> Tensor:
    """(B + candidates, N) float64: bands and pan through each gain, in ms pixels valid under all of them."""
    window = image.ms_core()
    rows, cols = window.slices_in(image.ms_window)
    # Valid is where ms is too, so that an ms pixel that is not has no valid pan pixel under it.
    reduced, whole = image.pan_on_ms(window, _GAINS)
    return torch.cat([image.ms[:, rows, cols][:, whole].double(), reduced[:, whole]])


def _explained(moments: Moments, bands: int, target: int) -> float:
    """R^2 of a variable on the first so many."""
    total = float(moments.scatter[target, target])
    if total <= 0:
        return 0.0
    on = list(range(bands))
    weights, _ = moments.regress(target, on)
    return float((weights * moments.scatter[on, target]).sum()) / total


def _top(explained: Tensor) -> float:
    """The gain at the top of the parabola through the best candidate and its neighbours."""
    best = int(explained.argmax())
    if best in (0, _CANDIDATES - 1):
        return _GAINS[best]
    before, there, after = (float(explained[i]) for i in (best - 1, best, best + 1))
    bend = before - 2 * there + after
    step = 0.5 * (before - after) / bend if bend < 0 else 0.0
    sigma = float(_SIGMAS[best] + step * (_SIGMAS[1] - _SIGMAS[0]))
    return math.exp(-0.5 * (math.pi * sigma) ** 2)
