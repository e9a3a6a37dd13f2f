"""Back-projection: what a fused image, degraded as the sensor would, lacks of ms is interpolated and added.

After a few rounds the fused image shows at ms resolution what ms shows, whatever fused it; what pan says of
finer detail stays. Irani and Peleg, "Improving resolution by image registration", CVGIP 1991, section 3, with
cubic interpolation as the back-projection kernel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from pancli.device import CPU, in_parallel
from pancli.methods.mtf import lowest_gain, pair_gains
from pancli.methods.network import NetworkMethod, NetworkState
from pancli.methods.protocol import Contract, Method, PairInfo, Scene, TileImage
from pancli.methods.statistics import coarsest_ratio
from pancli.placement import Placement
from pancli.resampling import degrade_bands, low_pass_radius, reduce_masked, upsample
from pancli.tiling import Tile, Window


def lacking(
    fused: Tensor,
    ms: Tensor,
    placement: Placement,
    windows: tuple[Window, Window],
    gains: tuple[float, ...],
    masks: tuple[Tensor, Tensor] | None = None,
) -> Tensor:
    """What a round adds to a fused image: upsample(ms - degrade(fused)). Any units; gradients flow.

    Only ms pixels whose centres lie on the pan window say something; around them the nearest one does.

    Args:
        fused: (..., B, H, W), covering the pan window; (B, H, W) where there are masks.
        ms: (..., B, h, w), covering the ms window.
        placement: How the ms grid lies on the pan grid.
        windows: The pan window and the ms window.
        gains: MTF at the ms Nyquist, one per band.
        masks: (H, W) and (h, w) bool, valid pixels of ``fused`` and of ``ms``, which may hold anything
            elsewhere; None where all are. An ms pixel says nothing, in any band, that is invalid or whose
            blur in some band has less than :data:`pancli.resampling.VALID_WEIGHT` on valid pixels.

    Returns:
        (..., B, H, W); exact :func:`radius_per_round` pixels inside the pan window.
    """
    pan_window, ms_window = windows
    seen = placement.ms_inside(pan_window).intersect(ms_window)
    if seen.size == 0:
        return torch.zeros_like(fused)
    inside = seen.slices_in(ms_window)
    where = pan_window, seen
    if masks is None:
        missing = ms[..., *inside] - degrade_bands(fused, placement, where, gains)
    else:
        reduced, whole = reduce_masked(fused, masks[0], placement, where, gains)
        missing = ms[..., *inside] - reduced.to(ms.dtype)
        missing = torch.where(whole & masks[1][inside], missing, torch.zeros_like(missing))
    return upsample(missing, placement, seen, pan_window)


def after_rounds(
    fused: Tensor, trust: Tensor | None, rounds: int, lacks: Callable[[Tensor], Tensor]
) -> Tensor:
    """A fused image after rounds of back-projection.

    Args:
        fused: (..., B, H, W).
        trust: The same, 0 to 1: the share of every round that is added; None for all.
        rounds: How many.
        lacks: What an image lacks, as :func:`lacking` says it.
    """
    for _ in range(rounds):
        missing = lacks(fused)
        fused = fused + (missing if trust is None else trust * missing)
    return fused


def radius_per_round(placement: Placement, gain: float) -> int:
    """How far, in pan pixels, one round looks: degradation, then interpolation."""
    return low_pass_radius(coarsest_ratio(placement), gain)


@dataclass(frozen=True, slots=True)
class BackProjectedState:
    """What is global.

    Attributes:
        method: What the method inside fitted.
        gains: MTF at the ms Nyquist, one per band.
    """

    method: Any
    gains: tuple[float, ...]

    def describe(self) -> str:
        """The gains, for a tag.

        >>> BackProjectedState(None, (0.3, 0.28125)).describe()
        '0.3,0.2812'
        """
        return ",".join(f"{gain:.4g}" for gain in self.gains)


@dataclass(frozen=True)
class BackProjected:
    """A method followed by rounds of back-projection.

    Attributes:
        method: Any other.
        rounds: At least 1.
        own: Whether nobody asked for them but the method itself.
    """

    method: Method
    rounds: int
    own: bool = False

    @property
    def name(self) -> str:
        """For tables and tags; ``--method`` takes the name before the plus."""
        return self.method.name if self.own else f"{self.method.name}+bp{self.rounds}"

    @property
    def contract(self) -> Contract:
        """See :class:`pancli.methods.protocol.Method`."""
        return replace(self.method.contract, back_projections=0)

    @property
    def weights_sha256(self) -> str:
        """Of the network's weights file; empty where there is none."""
        return str(getattr(self.method, "weights_sha256", ""))

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.method.radius(info) + radius_of_rounds(self.rounds, info)

    def fit(self, scene: Scene) -> BackProjectedState:
        """What the method fits, and the MTF gains of :func:`pancli.methods.mtf.pair_gains`."""
        state = self.method.fit(scene)
        if isinstance(state, NetworkState) and state.measured is not None:
            return BackProjectedState(state, state.measured.gains)
        return BackProjectedState(state, pair_gains(scene))

    def fuse(self, image: TileImage, state: BackProjectedState) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.finish(image, state, *self.begin(self.widened(image, state), state))

    def finish(
        self, image: TileImage, state: BackProjectedState, fused: Tensor, trust: Tensor | None
    ) -> Tensor:
        """What the method inside made of a tile, and how far it trusts in rounds, after these.

        Both are (B, H, W) over the tile's window, and need only be exact where :meth:`widened` has its core.
        """
        whole = bool(image.valid.all())  # and with it every ms pixel that says something

        def finished(bands: slice) -> Tensor:
            lacks = partial(
                lacking,
                ms=image.ms[bands],
                placement=image.info.placement,
                windows=(image.tile.window, image.ms_window),
                gains=state.gains[bands],
                masks=None if whole else (image.valid, image.ms_valid),
            )
            return after_rounds(fused[bands], None if trust is None else trust[bands], self.rounds, lacks)

        # Where pixels are masked, bands ask each other which count; a GPU is faster with all at once.
        if not whole or fused.device != CPU:
            return finished(slice(None))
        each = [slice(band, band + 1) for band in range(len(fused))]
        return torch.cat(list(in_parallel(finished, each)))

    def widened(self, image: TileImage, state: BackProjectedState) -> TileImage:
        """The tile that the method inside must fuse: its core is as much wider as the rounds look."""
        core, window = image.tile.core.grow(self.reach(image.info, state)), image.tile.window
        return replace(image, tile=Tile(core.intersect(window), window))

    def reach(self, info: PairInfo, state: BackProjectedState) -> int:
        """How far, in pan pixels, all rounds look."""
        return self.rounds * radius_per_round(info.placement, min(state.gains))

    def begin(self, image: TileImage, state: BackProjectedState) -> tuple[Tensor, Tensor | None]:
        """What the method makes, and how far a network trusts in what then is lacking."""
        if isinstance(self.method, NetworkMethod):
            return self.method.fuse_with_trust(image, state.method)
        return self.method.fuse(image, state.method), None


def radius_of_rounds(rounds: int, info: PairInfo) -> int:
    """How far, in pan pixels, rounds of back-projection look at most, whatever MTF is found in the scene."""
    return rounds * radius_per_round(info.placement, lowest_gain(info))


def with_rounds(method: Method, rounds: int | None) -> Method:
    """The method with so many rounds of back-projection; None for as many as its contract asks for."""
    asked = method.contract.back_projections if rounds is None else rounds
    return BackProjected(method, asked, own=rounds is None) if asked else method
