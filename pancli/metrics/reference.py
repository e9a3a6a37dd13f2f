"""Metrics against a reference: PSNR, RMSE, SAM, ERGAS as sums over windows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

_LEAST_SHARE = 0.01  # of the peak: below it are no dark images but other units, as reflectance for counts


def peak_in_doubt(highest: float, peak: float) -> str | None:
    """Where a reference's highest number lies, if its peak cannot be the one given; None if it can.

    >>> peak_in_doubt(3000, 2047), peak_in_doubt(0.8, 2047), peak_in_doubt(900, 2047)
    ('beyond', 'less than a hundredth of', None)

    Args:
        highest: Number of the reference.
        peak: The largest digital number there can be, as PSNR is told.
    """
    if highest > peak:
        return "beyond"
    return "less than a hundredth of" if highest < _LEAST_SHARE * peak else None


@dataclass(frozen=True, slots=True)
class ReferenceSums:
    """What PSNR, RMSE, SAM and ERGAS need of the pixels seen so far, float64.

    Attributes:
        pixels: Valid pixels.
        squares: (B,), sums of squared errors.
        reference: (B,), sums of the reference.
        angles: Sum of spectral angles, in radians.
        angled: Pixels with an angle: neither spectrum is zero.
    """

    pixels: int
    squares: Tensor
    reference: Tensor
    angles: float
    angled: int

    @classmethod
    def of(cls, fused: Tensor, reference: Tensor, valid: Tensor | None = None) -> ReferenceSums:
        """Sums over one window.

        Args:
            fused: (B, H, W), in digital numbers.
            reference: The same.
            valid: (H, W) bool; None for all.

        Raises:
            ValueError: The shapes differ.
        """
        if fused.shape != reference.shape:
            raise ValueError(f"fused is {tuple(fused.shape)} but its reference {tuple(reference.shape)}")
        bands = reference.shape[0]
        x, y = (
            image.reshape(bands, -1) if valid is None else image[:, valid] for image in (fused, reference)
        )
        x, y = x.double(), y.double()
        lengths = _lengths(x), _lengths(y)
        nonzero = (lengths[0] > 0) & (lengths[1] > 0)
        a, b = (v[:, nonzero] / n[nonzero] for v, n in zip((x, y), lengths, strict=True))
        # Half the angle by its tangent: arccos of a cosine near one loses half the digits.
        angles = 2 * torch.atan2(_lengths(a - b), _lengths(a + b))
        return cls(
            x.shape[1],
            (x - y).square().sum(1).cpu(),
            y.sum(1).cpu(),
            float(angles.sum()),
            int(nonzero.sum()),
        )

    def __add__(self, other: ReferenceSums) -> ReferenceSums:
        return ReferenceSums(
            self.pixels + other.pixels,
            self.squares + other.squares,
            self.reference + other.reference,
            self.angles + other.angles,
            self.angled + other.angled,
        )

    def psnr(self, peak: float) -> float:
        """Peak signal-to-noise ratio in dB, errors pooled over pixels and bands; inf where there is none.

        Args:
            peak: The sensor's largest digital number, never the image's.
        """
        error = float(self.squares.sum()) / (self.pixels * len(self.squares))
        return math.inf if error == 0 else 10 * math.log10(peak**2 / error)

    def rmse(self) -> float:
        """Root mean square error, pooled over pixels and bands."""
        return math.sqrt(float(self.squares.sum()) / (self.pixels * len(self.squares)))

    def sam(self) -> float:
        """Mean spectral angle in degrees over pixels whose spectra are not zero.

        Yuhas, Goetz, Boardman, "Discrimination among semi-arid landscape endmembers using the spectral
        angle mapper (SAM) algorithm", 1992.
        """
        return math.degrees(self.angles / self.angled) if self.angled else 0.0

    def ergas(self, ratio: float) -> float:
        """Relative global error in synthesis, 100 / ratio times the root mean square relative error.

        Wald, "Quality of high resolution synthesised images: is there a simple criterion?", 2000.

        Args:
            ratio: Pan pixels per ms pixel.
        """
        mean = self.reference / self.pixels
        relative = self.squares / self.pixels / mean.square()
        return 100.0 / ratio * math.sqrt(float(relative.mean()))


def _lengths(spectra: Tensor) -> Tensor:
    """(N,) of (B, N): what ``norm`` gives, which walks the first axis several times as slowly."""
    return spectra.square().sum(0).sqrt()
