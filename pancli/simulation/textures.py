"""Textures: periodic random fields with a power-law spectrum, crowns of trees."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

_LEAST = 0.15  # of the brightness is left by every texture


def power_law(
    rng: np.random.Generator, shape: tuple[int, int], beta: float, device: torch.device, count: int = 1
) -> Tensor:
    """Random fields whose power falls as ``frequency ** -beta``, periodic, of mean 0 and deviation 1.

    Natural images have beta near 2 (Field, "Relations between the statistics of natural images and the
    response properties of cortical cells", JOSA A 1987).

    Args:
        rng: Where randomness comes from.
        shape: (H, W).
        beta: Exponent of the power spectrum; 0 is white noise.
        device: Where they are made, of the same noise on all.
        count: How many.

    Returns:
        (count, H, W).
    """
    frequency = _frequency(shape, device)
    frequency[0, 0] = torch.inf
    field = _filtered(_white(rng, (count, *shape), device), frequency ** (-beta / 2))
    return field / field.std((1, 2), keepdim=True).clamp_min(1e-12)


def _white(rng: np.random.Generator, shape: tuple[int, ...], device: torch.device) -> Tensor:
    """Noise from the host, so that a seed means the same ground on every device."""
    return torch.from_numpy(rng.standard_normal(shape, dtype=np.float32)).to(device)


def _frequency(shape: tuple[int, int], device: torch.device) -> Tensor:
    """Of every coefficient of a real transform, cycles per pixel."""
    rows = torch.fft.fftfreq(shape[0], device=device)[:, None]
    cols = torch.fft.rfftfreq(shape[1], device=device)[None, :]
    return torch.hypot(rows, cols)


def _filtered(white: Tensor, weight: Tensor) -> Tensor:
    field: Tensor = torch.fft.irfft2(torch.fft.rfft2(white) * weight, s=white.shape[-2:])
    return field


def band_pass(
    rng: np.random.Generator, shape: tuple[int, int], period: float, device: torch.device
) -> Tensor:
    """A bumpy random field whose bumps are about ``period`` pixels apart: (H, W), mean 0, deviation 1."""
    scaled = _frequency(shape, device) * period
    field = _filtered(_white(rng, shape, device), scaled * torch.exp(-(scaled**2)))
    return field / field.std().clamp_min(1e-12)


def relief(height: Tensor, sun: tuple[float, float]) -> Tensor:
    """Shading of a surface whose shadows fall towards ``sun`` (down, right): (H, W), mean 0, deviation 1."""
    slope = sun[0] * (height - height.roll(1, 0)) + sun[1] * (height - height.roll(1, 1))
    shade = torch.tanh(slope / slope.std().clamp_min(1e-6)) + 0.6 * torch.tanh(height)
    return (shade - shade.mean()) / shade.std().clamp_min(1e-6)


def textured(piece: Tensor, strength: Tensor | float) -> Tensor:
    """Brightness by a piece of a texture."""
    return (1 + strength * piece).clamp_min(_LEAST)


@dataclass(frozen=True, slots=True)
class TextureBank:
    """Fields that shapes cut their texture from, of deviation about 1, as large as the scene and periodic.

    Attributes:
        fields: (4, H, W) in the order of :attr:`NAMES`: "fine" is nearly white, as gravel, asphalt and roofs;
            "rough" a power law of natural scenes, with energy at every scale; "smooth" varies softly, as
            water and soil moisture; "crowns" are tree tops lit by the sun.
    """

    NAMES: ClassVar = ("fine", "rough", "smooth", "crowns")
    fields: Tensor

    @classmethod
    def random(
        cls,
        rng: np.random.Generator,
        shape: tuple[int, int],
        sun: tuple[float, float],
        device: torch.device,
    ) -> TextureBank:
        """A bank for one scene whose shadows fall towards ``sun`` (down, right)."""
        crown = band_pass(rng, shape, float(np.exp(rng.uniform(np.log(3.5), np.log(14.0)))), device)
        crowns = 0.8 * relief(crown, sun) + 0.6 * power_law(rng, shape, 0.6, device)[0]
        slopes = ((0.2, 0.7), (1.0, 1.6), (2.2, 3.0))
        others = [power_law(rng, shape, float(rng.uniform(*slope)), device)[0] for slope in slopes]
        return cls(torch.stack((*others, crowns)))

    def __getitem__(self, name: str) -> Tensor:
        """(H, W) the field of that name."""
        return self.fields[self.NAMES.index(name)]
