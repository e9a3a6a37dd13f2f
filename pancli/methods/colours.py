"""How what a network adds depends on colour: learnt of a scene whose truth is known, taken over by its own.

A network trained on many sensors knows none of their bands. How the bands of one go together is much the same
at all scales, though, and is learnt where the truth is known: there the truth is taken for a polynomial of
the third degree of the fused bands, by least squares, of which only the detail counts, which is what it says
of the fused bands less what it says of the interpolated ones. The form is pancli's own. Bright things are
rarer and brighter in the fine image than where it was learnt: what colour says is bounded at every pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import torch
from torch import Tensor

from pancli.methods.moments import ROUNDING, Moments, least_squares

_BELIEVED = 0.5  # share of what is learnt that is taken for true
_STRONGEST = 2.0  # what a band's detail is multiplied by is learnt between zero and this
_DEGREE = 3
_MOST = 8  # directions in which colours differ that are told apart
_SAMPLES = 8  # pixels of the ms that is learnt from, per term
_NOISE = 100.0  # what a term must explain, in variances of what strength leaves unexplained
_FARTHEST = 3.0  # standard deviations of a band: beyond them colours are all the same
_LARGEST = 0.5  # of what is added at a pixel: by more, colour changes no band of it
_PART = 2**19  # terms of pixels that are held at once: they stay in a processor's cache


@dataclass(frozen=True)
class Palette:
    """How colours are told apart.

    Attributes:
        mean: (B,), of the bands.
        spread: (B,), their standard deviations; never zero.
        axes: (k, B), directions in which colours, in standard deviations, differ; k may be 0.
    """

    mean: Tensor
    spread: Tensor
    axes: Tensor

    @classmethod
    def of(cls, pixels: Tensor, samples: int) -> Palette:
        """By principal components of pixels (B, N), as many as so many samples allow."""
        moments = Moments.of(pixels).without_rounding(ROUNDING)
        spread = torch.where(moments.std > 0, moments.std, 1.0)
        _, axes = torch.linalg.eigh(moments.covariance / torch.outer(spread, spread))
        axes = axes.T.flip(0)[: directions(len(spread), samples)]
        return cls(moments.mean.float(), spread.float(), axes.float())

    def terms(self, upsampled: Tensor, added: Tensor) -> Tensor:
        """(K, N), of what the network adds to pixels (B, N)."""
        axes, mean, spread = (
            part.to(added) for part in (self.axes, self.mean[:, None], self.spread[:, None])
        )
        before, after = (
            axes @ ((bands - mean) / spread).clamp(-_FARTHEST, _FARTHEST)
            for bands in (upsampled, upsampled + added)
        )
        return _monomials(after).sub_(_monomials(before))


@dataclass(frozen=True)
class Colours:
    """What is added, as it depends on the colour; see the module.

    Attributes:
        strength: (B,), what a band's detail is multiplied by.
        palette: How colours are told apart.
        weights: (B, K), of the terms of each band, in its standard deviations.
    """

    strength: Tensor
    palette: Palette
    weights: Tensor

    @classmethod
    def learn(cls, upsampled: Tensor, added: Tensor, truth: Tensor, samples: int) -> Colours:
        """By least squares on pixels whose truth is known, half of which is taken for true.

        Args:
            upsampled: (B, N), the interpolated bands.
            added: (B, N), what the network adds to them.
            truth: (B, N).
            samples: Pixels of their ms: of fewer, fewer directions are told apart.
        """
        palette = Palette.of(truth, samples)
        bands, terms = len(palette.mean), term_count(len(palette.axes))
        square, both, total = torch.zeros(3, bands, dtype=torch.float64)
        gram = torch.zeros(terms, terms, dtype=torch.float64)
        with_added, with_wanted = torch.zeros(2, terms, bands, dtype=torch.float64)
        pixels = _PART // max(terms, 1)
        for part in torch.split(torch.stack((upsampled, added, truth)), pixels, 2):
            start, more, end = part
            spread = palette.spread.to(more)[:, None]
            given, wanted = ((change / spread).double().cpu() for change in (more, end - start))
            phi = palette.terms(start, more).double().cpu()
            square += given.square().sum(1)
            both += (given * wanted).sum(1)
            total += wanted.square().sum(1)
            gram += phi @ phi.T
            with_added += phi @ given.T
            with_wanted += phi @ wanted.T
        strength = torch.where(square > 0, both / square, 1.0).clamp(0, _STRONGEST)
        left = (total - 2 * strength * both + strength**2 * square).mean() / truth.shape[1]
        gram.diagonal().add_(_NOISE * left)
        weights = least_squares(gram, with_wanted - strength * with_added)
        believed = 1 + _BELIEVED * (strength - 1)
        return cls(believed.float(), palette, _BELIEVED * weights.T.float())

    def detail(self, upsampled: Tensor, added: Tensor) -> Tensor:
        """What to add (B, H, W) to interpolated bands (B, H, W) in place of what the network would."""
        better = added * self.strength.to(added)[:, None, None]
        if not len(self.palette.axes):
            return better
        spread = self.palette.spread.to(added)[:, None, None]
        weights = self.weights.to(added) * spread[..., 0]
        rows = max(1, _PART // (added.shape[2] * weights.shape[1]))
        parts = (torch.split(image, rows, 1) for image in (upsampled, added, better))
        for before, asis, part in zip(*parts, strict=True):
            more = (weights @ self.palette.terms(before.flatten(1), asis.flatten(1))).view_as(part)
            bound = _LARGEST * spread * (asis / spread).square().mean(0).sqrt()
            part += more.minimum(bound).maximum(-bound)
        return better


def term_count(variables: int) -> int:
    """Of polynomials of so many variables, but for the constant.

    >>> [term_count(count) for count in range(5)]
    [0, 3, 9, 19, 34]
    """
    return comb(variables + _DEGREE, _DEGREE) - 1


def directions(bands: int, samples: int) -> int:
    """How many directions of colour are told apart.

    >>> [directions(8, samples) for samples in (20, 256, 400, 10_000)]
    [0, 3, 4, 8]
    """
    told = [count for count in range(min(bands, _MOST) + 1) if _SAMPLES * term_count(count) <= samples]
    return told[-1]


def _monomials(colours: Tensor) -> Tensor:
    """(K, N), products of one, two and three of (k, N), none of them twice.

    A colour is multiplied by those products that begin with itself or a later one: the tail of their list.
    """
    count, pixels = colours.shape
    found = colours.new_empty(term_count(count), pixels)
    found[:count] = colours
    twos = found[count : count + _tail(count)]
    start = count
    for factors, left in ((colours, range(count, 0, -1)), (twos, map(_tail, range(count, 0, -1)))):
        for colour, last in zip(colours, left, strict=True):
            torch.mul(colour, factors[len(factors) - last :], out=found[start : start + last])
            start += last
    return found


def _tail(count: int) -> int:
    """Products of two of so many."""
    return count * (count + 1) // 2
