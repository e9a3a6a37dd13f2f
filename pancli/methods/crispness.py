"""Pan as crisp as networks know it: a camera's is blunter than most that they were trained with.

What is fused is to be as sharp for its pixels as ms is for its own, and cameras blur pan more (MTF at Nyquist
0.11 to 0.17) than ms (0.26 to 0.35). A network that was trained with pans of all kinds adds what is best for
the mean of them, and is too soft for a camera's.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache, partial

import torch
from torch import Tensor
from torch.nn.functional import pad

from pancli.methods.mtf import shown_gain
from pancli.methods.protocol import Changed, PairInfo, Scene, TileImage
from pancli.methods.statistics import MEASURES
from pancli.sensors import Sensor

CRISP_RADIUS = 6
"""Pixels that :func:`crisp` looks around each."""

PICKED = 0.7
"""MTF at the ms Nyquist frequency, as a crisp pan and ms show it, above which ms was made by picking pixels.

There pan is left as it is: the truth may be as blunt. No camera has more than 0.6, but estimates err.
"""

MOST_CRISP = 2.0
"""What the finest waves are multiplied by at most: noise, too."""

_KNOWN = 0.4  # MTF of pan at its Nyquist frequency, as it looks, that networks take for usual
_SIDE = 32  # pixels, of a window whose spectrum is taken
_FEWEST = 4  # windows, below which the sensor is believed
_BAND = (0.1, 0.95)  # Nyquist frequencies between which a spectrum is looked at


def shown_pan_gain(pans: Iterable[tuple[Tensor, Tensor]]) -> float:
    """MTF of pan at its Nyquist frequency as its spectrum shows it; 0 where there is too little to tell.

    The power of natural images falls as ``f ** -b`` (Field, "Relations between the statistics of natural
    images and the response properties of cortical cells", JOSA A 1987), and through a Gaussian MTF of gain g
    as ``f ** -b * g ** (2 f ** 2)``, f in Nyquist frequencies: least squares on its logarithm find both.

    Args:
        pans: Parts of an image (H, W), and where they are valid; they count in windows of 32 x 32 pixels.
    """
    power, count = torch.zeros(_SIDE, _SIDE, dtype=torch.float64), 0
    taper = torch.hann_window(_SIDE, dtype=torch.float64)
    for part in pans:
        pan, valid = map(_windows, part)
        pan = pan[valid.all((1, 2))].double().cpu()
        if len(pan) == 0:
            continue
        pan = (pan - pan.mean((1, 2), keepdim=True)) * taper * taper[:, None]
        power += torch.fft.fft2(pan).abs().square().sum(0)
        count += len(pan)
    axis = 2 * torch.fft.fftfreq(_SIDE, dtype=torch.float64)
    f = torch.hypot(axis, axis[:, None])
    seen = (f > _BAND[0]) & (f < _BAND[1]) & (power > 0)
    if count < _FEWEST or not bool(seen.any()):
        return 0.0
    f, logarithm = f[seen], power[seen].log()
    known = torch.stack((torch.ones_like(f), f.log(), 2 * f.square()), 1)
    weight = f.rsqrt()[:, None]  # rings of all frequencies count alike
    found = torch.linalg.lstsq(known * weight, logarithm[:, None] * weight).solution
    return float(found[2].exp())


def _windows(image: Tensor) -> Tensor:
    """(n, 32, 32), those that (H, W) is whole multiples of, from its first pixel."""
    parts = image.unfold(0, _SIDE, _SIDE).unfold(1, _SIDE, _SIDE) if min(image.shape) >= _SIDE else image[:0]
    return parts.reshape(-1, _SIDE, _SIDE)


def missing_crispness(images: Iterable[TileImage], info: PairInfo) -> float:
    """By how much the pan of a pair is less crisp than networks know it, 1 to 2, as :func:`crisp` takes it.

    Args:
        images: Tiles; what is valid of their cores is looked at.
        info: Of their pair.
    """
    pans = ((image.pan[0][image.tile.inner], image.pan_valid[image.tile.inner]) for image in images)
    return crispness_of(pans, info.sensor)


def scene_crispness(scene: Scene) -> float:
    """As :func:`missing_crispness`, of a scene; 1 where ms was made by picking pixels."""
    missing = missing_crispness(scene.tiles(0, MEASURES), scene.info)
    picked = missing > 1.0 and shown_gain(crisp_scene(scene, missing)) > PICKED
    return 1.0 if picked else missing


def crispness_of(pans: Iterable[tuple[Tensor, Tensor]], sensor: Sensor) -> float:
    """As :func:`missing_crispness`, of parts of pan as :func:`shown_pan_gain` takes them.

    No pan is taken for blunter than its sensor delivers it: what it saw may be.
    """
    gain = max(shown_pan_gain(pans), sensor.pan_gain)
    return min(max(_KNOWN / gain, 1.0), MOST_CRISP)


def crisp(pan: Tensor, more: float) -> Tensor:
    """Pan (1, H, W) through the inverse of a Gaussian; exact :data:`CRISP_RADIUS` pixels inside.

    Args:
        pan: The image.
        more: What a wave at the Nyquist frequency of an axis is multiplied by; one of a share f of that
            frequency by ``more ** f ** 2``.
    """
    if more == 1.0:
        return pan
    middle, *others = _taps(more)
    for axis in (-2, -1):
        size, around = pan.shape[axis], [0, 0, 0, 0]
        around[-2 * axis - 2 : -2 * axis] = [CRISP_RADIUS, CRISP_RADIUS]
        wide = pad(pan, around, mode="replicate")
        # Of one channel, in a sixth of the time of torch's convolutions.
        pan = wide.narrow(axis, CRISP_RADIUS, size) * middle
        for away, tap in enumerate(others, start=1):
            both = wide.narrow(axis, CRISP_RADIUS - away, size) + wide.narrow(axis, CRISP_RADIUS + away, size)
            pan.add_(both, alpha=tap)
    return pan


@lru_cache(maxsize=16)
def _taps(more: float) -> list[float]:
    """Those from the middle on, in a window that ends them softly."""
    taps = torch.fft.irfft(more ** torch.linspace(0, 1, 33).double().square(), n=64)[: CRISP_RADIUS + 1]
    window = torch.kaiser_window(2 * CRISP_RADIUS + 3, periodic=False, beta=4.0)[CRISP_RADIUS + 1 : -1]
    taps *= window
    found: list[float] = (taps / (2 * taps.sum() - taps[0])).tolist()
    return found


def crisp_image(image: TileImage, more: float) -> TileImage:
    """A tile with its pan made crisp; exact :data:`CRISP_RADIUS` pixels inside its window."""
    return image if more == 1.0 else replace(image, pan=crisp(image.pan, more))


def crisp_scene(scene: Scene, more: float) -> Scene:
    """A scene whose pan is made crisp."""
    return scene if more == 1.0 else Changed(scene, partial(crisp_image, more=more), CRISP_RADIUS)
