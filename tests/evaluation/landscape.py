"""A scene made in code, on which public implementations were run: what they printed can be compared with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from affine import Affine

from pancli.evaluation.profiles.toolbox_filters import interpolate_23_taps, mtf_filter
from tests.scenes import write

GAINS = (0.34, 0.32, 0.30, 0.22)  # QuickBird, as the toolbox lists them
AT = Affine(0.5, 0, 500000, 0, -0.5, 4000000)


def field(generator: Any, size: int, slope: float) -> Any:
    """Noise whose spectrum falls with a power of frequency; mean 0, deviation 1."""
    frequency = np.sqrt(np.fft.fftfreq(size)[:, None] ** 2 + np.fft.rfftfreq(size)[None, :] ** 2)
    frequency[0, 0] = 1
    noise = np.fft.rfft2(generator.standard_normal((size, size)))
    image = np.fft.irfft2(noise * frequency**-slope, s=(size, size))
    image -= image.mean()
    return image / image.std()


def landscape(size: int = 128) -> tuple[Any, Any]:
    """(reference, pan) that the printed numbers are of; they need every draw in this order."""
    generator = np.random.default_rng(0)
    common = field(generator, size, 1.6)
    parcels, own_parcels = np.zeros((size, size)), np.zeros((4, size, size))
    for _ in range(40):
        row, col = generator.integers(0, size - 8, 2)
        height, width = generator.integers(6, size // 4, 2)
        patch = np.s_[row : row + height, col : col + width]
        parcels[patch] += generator.normal()
        band = generator.integers(0, 4)
        own_parcels[band][patch] += 0.7 * generator.normal()
    parcels = (parcels - parcels.mean()) / parcels.std()
    bands = []
    means, shared, alone = (320, 410, 360, 620), (70, 95, 105, 120), (12, 18, 22, 70)
    for mean, gain, own_gain, own_parcel in zip(means, shared, alone, own_parcels, strict=True):
        own, texture = field(generator, size, 1.4), field(generator, size, 0.6)
        image = mean + gain * (0.7 * common + 0.7 * parcels) + own_gain * (own + own_parcel)
        bands.append(image + 0.12 * gain * texture)
    reference = np.clip(np.rint(bands), 1, 2047)
    noise = field(generator, size, 0.3)
    pan = np.tensordot(np.array([0.12, 0.27, 0.30, 0.31]), reference, 1)
    return reference, np.clip(np.rint(1.05 * pan + 10 + 4 * noise), 1, 2047)


def reduce(reference: Any) -> Any:
    """(4, h, w): the landscape as its ms, rounded: through the sensor's MTF, every fourth pixel."""
    filtered = [mtf_filter(torch.from_numpy(b), g, 4) for b, g in zip(reference, GAINS, strict=True)]
    return torch.stack(filtered)[:, 2::4, 2::4].round().numpy()


def interpolate(ms: Any) -> Any:
    """ms on the pan grid by 23 taps: the image that the public codes were given as EXP."""
    return np.round(interpolate_23_taps(torch.from_numpy(ms), 4).numpy() * 2**20) / 2**20


def brovey(ms: Any, pan: Any) -> Any:
    """The first toolbox's Brovey: bands in proportion to pan, matched to their mean's statistics."""
    bands = interpolate_23_taps(torch.from_numpy(ms), 4).numpy()
    mean = bands.mean(0)
    matched = (pan - pan.mean()) * mean.std(ddof=1) / pan.std(ddof=1) + mean.mean()
    fused = bands * matched / (mean + np.finfo(float).eps)
    return np.round(fused * 2**20) / 2**20


def write_files(
    folder: Path, fused: Any, pan: Any, ms: Any, reference: Any, kind: str = "uint16"
) -> dict[str, Any]:
    """Arguments of ``evaluate``: the images as files with corners in common."""
    return {
        "fused": str(write(folder / "fused.tif", fused, AT)),
        "pan": str(write(folder / "pan.tif", pan.astype(kind), AT)),
        "ms": [str(write(folder / "ms.tif", ms.astype(kind), AT * Affine.scale(4)))],
        "reference": str(write(folder / "truth.tif", reference.astype(kind), AT)),
    }


def landscape_files(folder: Path, image: str = "brovey", columns: int = 128) -> dict[str, Any]:
    """Arguments of ``evaluate``: the landscape, and one of the two images that the public codes were given.

    Args:
        folder: For the files.
        image: "brovey" or "interpolated".
        columns: Of the landscape; with fewer than rows, the two cannot be mistaken for each other.
    """
    reference, pan = landscape()
    ms = reduce(reference)
    fused = interpolate(ms) if image == "interpolated" else brovey(ms, pan)
    fine, coarse = np.s_[..., :columns], np.s_[..., : columns // 4]
    return write_files(folder, fused[fine], pan[fine], ms[coarse], reference[fine])
