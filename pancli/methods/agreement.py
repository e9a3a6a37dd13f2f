"""How well pan and ms fit each other: what a network is told of a pair, in eight numbers per band.

All are least squares on the ms grid, between the bands and pan reduced to it. At the finest detail that this
grid shows, bands follow pan closely where ms is what a camera's MTF leaves of the ground that pan saw; less
where ms is noisy, aliased, blunt or lies elsewhere. Each of these looks different: noise and aliasing in what
neither pan nor the other bands explain, bluntness in the share of fine detail, a shift in pan's gradients
(the first order of Lucas and Kanade, "An iterative image registration technique", IJCAI 1981).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from pancli.methods.moments import Moments, least_squares
from pancli.methods.protocol import PairInfo, TileImage
from pancli.methods.statistics import coarsest_ratio, ms_grid_margin
from pancli.placement import Placement

_FEWEST = 8  # samples per unknown; with fewer, nothing is said
_FLOOR = 1e-9  # share of a variable's variance below which nothing is left
_SOFT = 0.05  # keeps a quotient by pan's share small where pan explains a band badly
_MOST = 3.0  # of any number
_RELATED = 0.2  # correlation of fine detail: as delivered it is 0.65 or more, 2 ms pixels apart 0.1 or less
_FARTHEST = 1.0  # ms pixels; gradients say nothing of more
_USUAL = (0.9, 0.0, 0.0, 0.0, 0.0, 0.0, 0.3, 0.3)  # said where nothing can be told


class Agreement(NamedTuple):
    """Moments on the ms grid: bands, their fine detail, pan, its fine detail, its gradients, in this order.

    Attributes:
        moments: Of 2 B + 4 variables.
        steps: Pan pixels per ms pixel, down and to the right; negative where the grids run apart.
    """

    moments: Moments
    steps: tuple[float, float]

    @classmethod
    def empty(cls, bands: int, placement: Placement) -> Agreement:
        """Nothing seen yet of a pair whose ms grid lies so."""
        return cls(Moments.empty(2 * bands + 4), (1 / placement.rows.scale, 1 / placement.cols.scale))

    def seen(self, ms: Tensor, pan: Tensor, valid: Tensor | None = None) -> Agreement:
        """With a piece of the ms grid more.

        Args:
            ms: (B, h, w).
            pan: (1, h, w), reduced to the ms grid.
            valid: (h, w) bool; None where all are. A pixel counts if its four neighbours do, too.
        """
        return self._replace(moments=self.moments.merge(Moments.of(_samples(ms, pan, valid))))

    def of_bands(self, bands: list[int]) -> Agreement:
        """As if there were these bands alone."""
        count = self._bands
        fine = [count + band for band in bands]
        return self._replace(moments=self.moments.select([*bands, *fine, *range(2 * count, 2 * count + 4)]))

    @property
    def _bands(self) -> int:
        return (len(self.moments.mean) - 4) // 2

    def numbers(self) -> Tensor:
        """(B, 8), float32, all between -3 and 3.

        In order: the correlation of the fine detail with pan's, positive if alike where the band follows
        pan; binary logarithm of how much fine detail the band has for its contrast, against pan; how far
        pan's things lie down and to the right of the band's, and how far at all, in pan pixels, halved; how
        much of pan's fine detail must be added to pan to look like the band; the share of the band's fine
        detail that pan and the other bands do not explain, and of the band itself, as deviations.
        """
        count, moments = self._bands, self.moments
        if moments.count < _FEWEST * (count + 4):
            return unknown_agreement(count)
        bands, fine = torch.arange(count), torch.arange(count, 2 * count)
        pan, fine_pan = 2 * count, 2 * count + 1
        std = moments.std.clamp_min(1e-12)
        correlation = moments.covariance / torch.outer(std, std)
        sign = torch.where(correlation[bands, pan] < 0, -1.0, 1.0)
        detail = torch.log2((std[fine] / std[bands]) / (std[fine_pan] / std[pan]))
        along, sharper, *away = self._regressed()
        sharper, down, right = (part * along / (along**2 + _SOFT) for part in (sharper, *away))
        moved = torch.stack((down, right)).clamp(-_FARTHEST, _FARTHEST)
        moved = moved * torch.tensor(self.steps)[:, None] / 2
        numbers = (
            sign * correlation[fine, fine_pan],
            detail,
            *moved,
            moved.norm(dim=0),
            sharper,
            self._left([*fine.tolist(), fine_pan])[:-1],
            self._left([*bands.tolist(), pan])[:-1],
        )
        return torch.stack(numbers, 1).nan_to_num(0.0).clamp(-_MOST, _MOST).float()

    def _regressed(self) -> Tensor:
        """(4, B): least squares of the bands on pan, its fine detail and its gradients.

        A weight says how much of a band's deviation a deviation of pan makes.
        """
        count, moments = self._bands, self.moments
        on = list(range(2 * count, 2 * count + 4))
        weights = least_squares(moments.scatter[on][:, on], moments.scatter[on, :count])
        std = moments.std
        return weights * std[2 * count] / std[:count].clamp_min(1e-12)

    def _left(self, variables: list[int]) -> Tensor:
        """Deviation of what the others leave of each of some variables, against its own.

        That is what the inverse of their correlations has on its diagonal; adjusted for how many they are.
        """
        covariance = self.moments.select(variables).covariance
        std = covariance.diagonal().clamp_min(0).sqrt()
        scale = torch.outer(std, std)
        correlation = covariance / scale.masked_fill(scale == 0, 1.0)
        inverse: Tensor = torch.linalg.inv(correlation + _FLOOR * torch.eye(len(std)))
        free = (self.moments.count - 1) / (self.moments.count - len(variables))
        return (free / inverse.diagonal()).clamp(0, 1).sqrt().masked_fill(std == 0, 0.0)

    def shift(self) -> tuple[float, float]:
        """How far (down, right) pan's things lie from where they are in the bands, in pan pixels.

        To first order, so that it is right where it is small; (0, 0) where nothing can be told.
        """
        count = self._bands
        if self.moments.count < _FEWEST * (count + 4):
            return 0.0, 0.0
        pan, fine_pan, down, right = range(2 * count, 2 * count + 4)
        weights, _ = self.moments.regress(pan, [*range(count), fine_pan, down, right])
        return -float(weights[-2]) * self.steps[0], -float(weights[-1]) * self.steps[1]

    def related(self) -> bool:
        """Whether the fine detail of any band follows pan's, as where they lie less than an ms pixel apart.

        Where none does, nothing that is measured of a shift can be relied upon, not even that it is small.
        """
        enough = self.moments.count >= _FEWEST * (self._bands + 4)
        return enough and float(self.numbers()[:, 0].max()) >= _RELATED

    def unexplained(self) -> float:
        """The share of pan's variance that its fine detail and the bands, combined, do not explain."""
        pan = 2 * self._bands
        return float(self._left([*range(self._bands), pan, pan + 1])[-2]) ** 2


def unknown_agreement(bands: int) -> Tensor:
    """(bands, 8): what is said where nothing can be told."""
    return torch.tensor(_USUAL).expand(bands, -1)


def agreement_margin(info: PairInfo) -> int:
    """Pan pixels that :func:`agreement_of` needs around a core, so that its outermost have neighbours."""
    return ms_grid_margin(info, info.mean_gain) + math.ceil(coarsest_ratio(info.placement))


def agreement_of(images: Iterable[TileImage], info: PairInfo) -> Agreement:
    """Of the valid ms pixels of some tiles of a pair."""
    agreement = Agreement.empty(info.bands, info.placement)
    for image in images:
        agreement = agreement.seen(*_on_ms_grid(image))
    return agreement


def _on_ms_grid(image: TileImage) -> tuple[Tensor, Tensor, Tensor]:
    """ms, pan reduced to it and what is valid of both, of the ms pixels of a tile's core and around them."""
    around = image.info.placement.ms_inside(image.tile.window)  # beyond it there is no pan
    window = image.ms_core().grow(1).intersect(around).intersect(image.ms_window)
    inside = window.slices_in(image.ms_window)
    reduced, whole = image.pan_on_ms(window, (image.info.mean_gain,))
    return image.ms[:, *inside], reduced, image.ms_valid[inside] & whole


def _samples(ms: Tensor, pan: Tensor, valid: Tensor | None) -> Tensor:
    """(2 B + 4, N) float64, of pixels with four neighbours that count."""
    if min(ms.shape[1:]) < 3:
        return ms.new_zeros(2 * len(ms) + 4, 0, dtype=torch.float64)
    both = torch.cat((ms.double(), pan.double()))
    middle = both[:, 1:-1, 1:-1]
    up, below, left, right = both[:, :-2, 1:-1], both[:, 2:, 1:-1], both[:, 1:-1, :-2], both[:, 1:-1, 2:]
    fine = middle - (up + below + left + right) / 4
    slopes = [(below[-1:] - up[-1:]) / 2, (right[-1:] - left[-1:]) / 2]
    maps = torch.cat((middle[:-1], fine[:-1], middle[-1:], fine[-1:], *slopes))
    if valid is None or bool(valid.all()):
        return maps.flatten(1)
    keep = valid[1:-1, 1:-1] & valid[:-2, 1:-1] & valid[2:, 1:-1] & valid[1:-1, :-2] & valid[1:-1, 2:]
    return maps[:, keep]
