"""What a fit gathers: moments of the scene on the pan grid and on the ms grid, masked pixels left out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from pancli.errors import MethodError
from pancli.methods.moments import ROUNDING, Moments, least_squares
from pancli.methods.protocol import PairInfo, Sample, Scene, TileImage
from pancli.networks.protocol import Statistic
from pancli.placement import Placement
from pancli.resampling import low_pass, low_pass_radius, mtf_radius

Sampler = Callable[[TileImage], Tensor]

MOMENTS = Sample(64, 512)
"""What moments are gathered on."""

MEASURES = Sample(16, 512)
"""What blur, shift and agreement are measured on, which costs more."""

FEATURES = Sample(16, 256)
"""What networks gather statistics on, which costs most: some run most of their layers for each stage."""

_NOTHING = 1e-10  # of a correlation, or of a weight between variables of unit deviation


def coarsest_ratio(placement: Placement) -> float:
    """Pan pixels per ms pixel along the axis where there are most: what a radius must provide for."""
    return max(placement.rows.ratio, placement.cols.ratio)


def pan_grid_margin(info: PairInfo) -> int:
    """Pan pixels that :func:`pan_grid_samples` needs around a core."""
    return low_pass_radius(coarsest_ratio(info.placement), info.mean_gain)


def ms_grid_margin(info: PairInfo, gain: float) -> int:
    """Pan pixels that ``TileImage.ms_core_samples`` needs around a core."""
    return mtf_radius(coarsest_ratio(info.placement), gain) + 1


def pan_grid_samples(image: TileImage) -> Tensor:
    """(B + 2, N) float64: upsampled bands, pan, and pan at ms resolution, in valid pixels of the core."""
    coarse = low_pass(image.pan, image.info.placement, image.tile.window, image.info.mean_gain)
    return image.core_samples(image.upsampled, image.pan, coarse)


def ms_grid_samples(image: TileImage) -> Tensor:
    """(B + 1, N) float64: bands and pan reduced to them by the mean MTF, in valid ms pixels of the core."""
    return torch.cat(image.ms_core_samples(image.info.mean_gain))


def gather(scene: Scene, margin: int, *samplers: Sampler) -> list[Moments]:
    """Moments of what each sampler draws from a part of a scene, :data:`MOMENTS`, in one pass.

    A variable that varies by no more than float32 rounding counts as constant: its covariances are zero.

    Args:
        scene: The pair.
        margin: Pan pixels the samplers need around a core.
        samplers: Each gives (K, N) samples of a tile.

    Returns:
        One Moments per sampler.

    Raises:
        MethodError: A sampler finds no valid sample.
    """
    totals: list[Moments] = []
    for image in scene.tiles(margin, MOMENTS):
        found = [Moments.of(sampler(image)) for sampler in samplers]
        totals = [a.merge(b) for a, b in zip(totals, found, strict=True)] if totals else found
    if not totals or any(total.count == 0 for total in totals):
        raise no_valid_pixel()
    return [total.without_rounding(ROUNDING) for total in totals]


def regress_nonnegative(moments: Moments, target: int, on: int) -> tuple[Tensor, float]:
    """Least squares with an intercept among weights that are not negative.

    The active-set method of Lawson and Hanson, "Solving Least Squares Problems", 1974, chapter 23, on
    variables of unit deviation, so that the units of one change no other's weight but its own.

    Args:
        moments: Of all variables.
        target: The variable to explain.
        on: It is explained by the first so many variables.

    Returns:
        (on,) float64 weights, none negative, and the intercept. A variable that is constant, or adds nothing
        to others, has none.
    """
    scale = moments.scatter.diagonal().clamp_min(0).sqrt()
    known = scale[:on] > 0
    unit = torch.where(known, scale[:on], 1.0)
    gram = moments.scatter[:on, :on] / torch.outer(unit, unit)
    wanted = moments.scatter[:on, target] / (unit * max(float(scale[target]), torch.finfo(scale.dtype).tiny))
    weights, used = torch.zeros_like(unit), torch.zeros_like(known)
    for _ in range(3 * on):
        gain = torch.where(known & ~used, wanted - gram @ weights, -torch.inf)
        if float(gain.max()) <= _NOTHING:
            break
        used[gain.argmax()] = True
        weights, used = _least_squares_within(gram, wanted, weights, used)
    weights = weights * scale[target] / unit
    return weights, float(moments.mean[target] - weights @ moments.mean[:on])


def _least_squares_within(
    gram: Tensor, wanted: Tensor, weights: Tensor, used: Tensor
) -> tuple[Tensor, Tensor]:
    """Least squares on the used variables; what would turn negative on the way leaves."""
    while True:
        found = torch.zeros_like(weights)
        found[used] = least_squares(gram[used][:, used], wanted[used])
        falling = used & (found <= 0)
        if not bool(falling.any()):
            return found, used
        steps = weights[falling] / (weights[falling] - found[falling]).clamp_min(_NOTHING)
        weights = weights + min(float(steps.min()), 1.0) * (found - weights)
        used = used & (weights > _NOTHING)
        weights = torch.where(used, weights, 0.0)


@dataclass
class Gathered:
    """A network's statistics of one stage, over the tiles seen so far."""

    totals: list[Tensor] = field(default_factory=list)
    kinds: tuple[Statistic, ...] = ()
    count: int = 0

    def add(self, wanted: tuple[Statistic, ...], weight: Tensor) -> None:
        """Add what one tile contributes."""
        new = [statistic.partial(weight) for statistic in wanted]
        if self.totals:
            new = [s.merge(a, b) for s, a, b in zip(wanted, self.totals, new, strict=True)]
        self.totals, self.kinds = new, wanted
        self.count += int(weight.sum())

    def finish(self, nominal_pixels: int) -> list[Tensor]:
        """The values.

        Raises:
            MethodError: No pixel counted.
        """
        if self.count == 0:
            raise MethodError("there is no valid pixel to take statistics from; check nodata and overlap")
        pairs = zip(self.kinds, self.totals, strict=True)
        return [statistic.finish(total, self.count, nominal_pixels) for statistic, total in pairs]


def no_valid_pixel() -> MethodError:
    """The refusal of a scene with nothing to gather from."""
    return MethodError(
        "nothing to fit: 0 pixels are valid in pan and in every ms band (with valid pan all around them), "
        "at least 1 is needed; check nodata, masks and overlap, or use method 'exp', which fits nothing"
    )
