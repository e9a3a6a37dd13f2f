"""Textures: periodic random fields with a power-law spectrum, crowns of trees, rows of crops."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

Field = npt.NDArray[np.float32]


def power_law(rng: np.random.Generator, shape: tuple[int, int], beta: float, count: int = 1) -> Field:
    """Random fields whose power falls as ``frequency ** -beta``, periodic, of mean 0 and deviation 1.

    Natural images have beta near 2 (Field, "Relations between the statistics of natural images and the
    response properties of cortical cells", JOSA A 1987).

    Args:
        rng: Where randomness comes from.
        shape: (H, W).
        beta: Exponent of the power spectrum; 0 is white noise.
        count: How many.

    Returns:
        (count, H, W).
    """
    white = torch.from_numpy(rng.standard_normal((count, *shape), dtype=np.float32))
    rows = torch.fft.fftfreq(shape[0])[:, None]
    cols = torch.fft.rfftfreq(shape[1])[None, :]
    frequency = (rows**2 + cols**2).sqrt()
    frequency[0, 0] = torch.inf
    field = torch.fft.irfft2(torch.fft.rfft2(white) * frequency ** (-beta / 2), s=shape)
    deviation = field.std((1, 2), keepdim=True).clamp_min(1e-12)
    return np.asarray((field / deviation).numpy(), np.float32)


def band_pass(rng: np.random.Generator, shape: tuple[int, int], period: float) -> Field:
    """A bumpy random field whose bumps are about ``period`` pixels apart: (H, W), mean 0, deviation 1."""
    white = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    rows = torch.fft.fftfreq(shape[0])[:, None]
    cols = torch.fft.rfftfreq(shape[1])[None, :]
    scaled = (rows**2 + cols**2).sqrt() * period
    weight = scaled * torch.exp(-(scaled**2))
    field = torch.fft.irfft2(torch.fft.rfft2(white) * weight, s=shape)
    return np.asarray((field / field.std().clamp_min(1e-12)).numpy(), np.float32)


def relief(height: Field, sun: tuple[float, float]) -> Field:
    """Shading of a surface whose shadows fall towards ``sun`` (down, right): (H, W), mean 0, deviation 1."""
    slope = sun[0] * (height - np.roll(height, 1, 0)) + sun[1] * (height - np.roll(height, 1, 1))
    shade = np.tanh(slope / max(float(slope.std()), 1e-6)) + 0.6 * np.tanh(height)
    return np.asarray((shade - shade.mean()) / max(float(shade.std()), 1e-6), np.float32)


@dataclass(frozen=True, slots=True)
class TextureBank:
    """Fields that shapes cut their texture from; all (H, W) of deviation 1 and as large as the scene.

    Attributes:
        fine: Nearly white: gravel, asphalt, roofs.
        rough: Power law of natural scenes, energy at every scale.
        smooth: Soft variation: water, soil moisture.
        crowns: Tree tops lit by the sun.
    """

    fine: Field
    rough: Field
    smooth: Field
    crowns: Field

    @classmethod
    def random(
        cls, rng: np.random.Generator, shape: tuple[int, int], sun: tuple[float, float]
    ) -> TextureBank:
        """A bank for one scene whose shadows fall towards ``sun`` (down, right)."""
        crown = band_pass(rng, shape, float(np.exp(rng.uniform(np.log(3.5), np.log(14.0)))))
        leaves = 0.8 * relief(crown, sun) + 0.6 * power_law(rng, shape, 0.6)[0]
        return cls(
            fine=power_law(rng, shape, float(rng.uniform(0.2, 0.7)))[0],
            rough=power_law(rng, shape, float(rng.uniform(1.0, 1.6)))[0],
            smooth=power_law(rng, shape, float(rng.uniform(2.2, 3.0)))[0],
            crowns=np.asarray(leaves, np.float32),
        )

    def cut(self, name: str, corner: tuple[int, int], shape: tuple[int, int]) -> Field:
        """A piece of field ``name`` at ``corner``, moved inwards where it would leave the field."""
        field: Field = getattr(self, name)
        row = min(corner[0], field.shape[0] - shape[0])
        col = min(corner[1], field.shape[1] - shape[1])
        return field[row : row + shape[0], col : col + shape[1]]
