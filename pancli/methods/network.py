"""The adapter that makes a network a Method: units, groups of bands, statistics of the whole scene.

Networks see the detail units and the groups of bands of :mod:`pancli.methods.units`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import torch
from torch import Tensor

from pancli.device import CPU, in_parallel, reuse_memory
from pancli.methods.alignment import aligned_image, aligned_scene, alignment_radius
from pancli.methods.coarser import CoarserScene
from pancli.methods.colours import Colours
from pancli.methods.crispness import CRISP_RADIUS, crisp_image, crisp_scene
from pancli.methods.measured import Measured
from pancli.methods.mtf import HIGHEST_GAIN, lowest_gain
from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage
from pancli.methods.statistics import (
    FEATURES,
    Gathered,
    coarsest_ratio,
    gather,
    ms_grid_margin,
    ms_grid_samples,
)
from pancli.methods.units import Units, scene_groups
from pancli.methods.views import aligned_window, blend_weights, blended_windows, block_ms, cut, see_pan
from pancli.networks.protocol import Context, Inputs, Network, Outcome, Physics, Traits
from pancli.networks.weights import Card, load_with_hash
from pancli.resampling import low_pass_radius
from pancli.tiling import Tile, Window

_FEWEST = 256  # ms pixels of a scene a ratio coarser, below which nothing is learnt there
_BATCH = 8  # blended windows that go through a network together


@dataclass(frozen=True)
class NetworkState:
    """What is global: units, the groups of bands as the network sees them, and its statistics for each.

    Attributes:
        units: Of the scene.
        groups: Indices of bands.
        contexts: One per group.
        measured: What was measured of the pair, for networks that see physics; else None.
        colours: How what the network adds depends on colour; None for not at all.
    """

    units: Units
    groups: tuple[tuple[int, ...], ...]
    contexts: tuple[Context, ...]
    measured: Measured | None = None
    colours: Colours | None = None


def to_channels_last(network: Network, device: torch.device) -> Network:
    """The network on a device, its convolutions laid out as they are fastest."""
    moved: Network = network.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return moved


def scene_units(scene: Scene) -> Units:
    """The units of a scene, from its valid ms pixels.

    Raises:
        MethodError: There is none.
    """
    (moments,) = gather(scene, ms_grid_margin(scene.info, scene.info.mean_gain), ms_grid_samples)
    return Units.of(moments)


def network_contract(traits: Traits, card: Card) -> Contract:
    """What a network takes as a method, which is known without its weights."""
    contract = Contract(
        summary=f"{traits.summary}, trained on open and simulated scenes",
        source=card.paper,
        bands=card.bands,
        ratios=card.ratios,
        workspace_fixed=traits.workspace,
        back_projections=card.back_projections,
        makes_crisp=traits.physics,
    )
    if traits.any_bands:
        # Features grow with the bands, and rounds of back-projection ask for large tiles.
        per_band = replace(contract, workspace=traits.workspace, workspace_fixed=0)
        return replace(per_band, bands=None, piece_halo=traits.radius)
    return contract


def network_reach(traits: Traits, halo: int, info: PairInfo) -> int:
    """Pan pixels around what is wanted, for a network of those traits that looks ``halo`` far."""
    if not traits.physics:
        return traits.reach(halo)
    low = low_pass_radius(coarsest_ratio(info.placement), lowest_gain(info))
    return traits.reach(halo) + low + alignment_radius(info) + CRISP_RADIUS


@dataclass(frozen=True)
class NetworkMethod:
    """A network with its weights, as a Method.

    Attributes:
        network: In eval mode, on the device that computes.
        card: What the weights say of themselves.
        precision: ``auto`` and ``float32``, or what convolutions are computed in.
        weights_sha256: Of the weights file; empty where there is none.
    """

    network: Network = field(repr=False)
    card: Card = field(repr=False)
    precision: str = "auto"
    weights_sha256: str = ""

    @classmethod
    def load(cls, path: Path, device: torch.device, precision: str = "auto") -> NetworkMethod:
        """Load weights onto a device; where that is the CPU, the process keeps memory from then on.

        Raises:
            WeightsError: The file cannot be used.
        """
        network, card, sha256 = load_with_hash(path)
        if device == CPU:
            reuse_memory()
        # Convolutions over channels-last images are 1.3 to 2 times as fast on CPUs.
        return cls(to_channels_last(network, device), card, precision, sha256)

    @property
    def name(self) -> str:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.card.name

    @cached_property
    def contract(self) -> Contract:
        """From the card."""
        return network_contract(self.network.TRAITS, self.card)

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`."""
        return network_reach(self.network.TRAITS, self.network.TRAITS.halo, info)

    @torch.no_grad()
    def fit(self, scene: Scene) -> NetworkState:
        """Units in one pass, one per statistic, and how detail depends on colour, a ratio coarser.

        Raises:
            MethodError: The scene has no valid pixel.
        """
        state = self._known(scene)
        if state.measured is None:
            return state
        laid = aligned_scene(scene, state.measured.found)
        return replace(state, colours=self._colours(laid, state.measured))

    def _known(self, scene: Scene, measure: Callable[[Scene], Measured] = Measured.of) -> NetworkState:
        """What is known of a scene before the network has fused any of it: each statistic needs the last."""
        measured = None
        if self.network.TRAITS.physics:
            measured = measure(scene)
            # What is learnt is of the sensor, wherever pan lies: it is the same as if pan lay on ms.
            scene = aligned_scene(crisp_scene(scene, measured.missing), measured.found)
        state = self.begin(scene_units(scene), scene.info, measured)
        for stage in range(len(self.network.TRAITS.stages)):
            found = self._gather(scene, state, stage)
            contexts = tuple((*c, new) for c, new in zip(state.contexts, found, strict=True))
            state = replace(state, contexts=contexts)
        return state

    def begin(self, units: Units, info: PairInfo, measured: Measured | None) -> NetworkState:
        """A state without statistics."""
        width = info.bands if self.network.TRAITS.any_bands else self.card.bands
        groups = scene_groups(units, info.bands, width)
        return NetworkState(units, groups, tuple(() for _ in groups), measured)

    def _colours(self, scene: Scene, measured: Measured) -> Colours | None:
        """What is to be added in place of what the network would: half-way to what is best a ratio coarser.

        Where ms was made by picking pixels nothing can be learnt there: its truth may be blunter than ms.
        """
        if measured.shown > HIGHEST_GAIN:
            return None
        coarser = CoarserScene.of(scene, measured.gains)
        if coarser.samples < _FEWEST:
            return None
        state = self._known(coarser, Measured.of_coarser)
        return coarser.learn(lambda image: self.fuse(image, state))

    def _gather(self, scene: Scene, state: NetworkState, stage: int) -> list[list[Tensor]]:
        """The values of one stage per group of bands, of valid core pixels."""
        halo = self.network.TRAITS.stages[stage]
        gathered: list[Gathered] = [Gathered() for _ in state.groups]
        margin = network_reach(self.network.TRAITS, halo, scene.info)
        for image in scene.tiles(margin, FEATURES):
            window = aligned_window(image.tile, halo, self.network.TRAITS.align)
            weight = torch.zeros(window.shape, device=image.valid.device)
            weight[image.tile.core.slices_in(window)] = image.valid[image.tile.inner].to(weight)
            views = self.views(image, state, (window,))
            for so_far, inputs, context in zip(gathered, views, state.contexts, strict=True):
                so_far.add(self.network.statistics(stage, inputs, context), weight)
        return [so_far.finish(self.network.nominal_pixels) for so_far in gathered]

    @torch.no_grad()
    def fuse(self, image: TileImage, state: NetworkState) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        return self.fuse_with_trust(image, state)[0]

    @torch.no_grad()
    def fuse_with_trust(self, image: TileImage, state: NetworkState) -> tuple[Tensor, Tensor | None]:
        """As :meth:`fuse`; and how much of each round of back-projection to add, where the network says it.

        Returns:
            Two images (B, H, W) covering ``image.tile.window``, both exact on its core; the second 0 to 1.
        """
        side = self.network.TRAITS.window
        if side is not None:
            return image.upsampled + state.units.detail(self._blended(image, state, side)), None
        fused, trusts = image.upsampled.clone(), None
        outcomes = in_parallel(partial(self._piece, state=state), self.pieces(image), fused.device)
        for window, added, trust in outcomes:
            there = window.slices_in(image.tile.window)
            fused[:, *there] += added
            if trust is not None:
                trusts = torch.zeros_like(fused) if trusts is None else trusts
                trusts[:, *there] = trust
        return fused, trusts

    def pieces(self, image: TileImage) -> Iterator[TileImage]:
        """The parts of a tile that go through the network one after the other, each with what it looks at.

        What a network holds of its features is many times the image; the margins that rounds of
        back-projection need make large tiles worth their while all the same.
        """
        core = image.tile.core
        sides = self.contract.piece_shape(core.shape, image.info.bands)
        if sides is None:
            yield image
            return
        radius = self.radius(image.info)
        for part in core.blocks(*sides):
            yield image.part(Tile(part, part.grow(radius).intersect(image.tile.window)))

    def _piece(self, image: TileImage, state: NetworkState) -> tuple[Window, Tensor, Tensor | None]:
        """A tile's core; (B, h, w) over it, what is to be added; the same, the network's trust.

        It adds nothing where pan shows nothing: beside its gaps too, where pan is laid elsewhere.
        """
        core, start = image.tile.core, image.upsampled[:, *image.tile.inner]
        if state.measured is not None:
            image = aligned_image(crisp_image(image, state.measured.missing), state.measured.shift)
        window = aligned_window(image.tile, self.network.TRAITS.halo, self.network.TRAITS.align)
        residual, trust = (
            None if part is None else cut(part[0], window, core)
            for part in self._outcomes(image, state, (window,))
        )
        assert residual is not None
        added = state.units.detail(residual * image.pan_valid[image.tile.inner])
        return core, added if state.colours is None else state.colours.detail(start, added), trust

    def _blended(self, image: TileImage, state: NetworkState, side: int) -> Tensor:
        """The residual over a tile's window, of overlapping windows of one side."""
        total = torch.zeros_like(image.upsampled)
        weights = torch.zeros_like(image.pan)
        windows = blended_windows(image.tile, side)
        for start in range(0, len(windows), _BATCH):
            batch = windows[start : start + _BATCH]
            for window, residual in zip(batch, self._outcomes(image, state, batch)[0], strict=True):
                seen = window.intersect(image.tile.window)
                weight = cut(blend_weights(side).to(residual), window, seen)
                there = seen.slices_in(image.tile.window)
                total[:, *there] += weight * cut(residual, window, seen)
                weights[:, *there] += weight
        return total / weights.clamp_min(torch.finfo(weights.dtype).tiny)

    def _outcomes(
        self, image: TileImage, state: NetworkState, windows: Sequence[Window]
    ) -> tuple[Tensor, Tensor | None]:
        """(windows, B, h, w) in units: what the network adds in windows of one shape, and its trust."""
        shape = len(windows), image.info.bands, *windows[0].shape
        residual, trust = torch.empty(shape, device=image.pan.device), None
        views = self.views(image, state, windows)
        for group, inputs, context in zip(state.groups, views, state.contexts, strict=True):
            outcome = self._run(inputs, context)
            _put(outcome.residual, group, residual)
            if outcome.trust is not None:
                trust = torch.empty_like(residual) if trust is None else trust
                _put(outcome.trust, group, trust)
        return residual, trust

    def views(self, image: TileImage, state: NetworkState, windows: Sequence[Window]) -> Iterator[Inputs]:
        """What the network sees of a tile in some windows, group after group."""
        traits, seen, units, measured = self.network.TRAITS, image.tile.window, state.units, state.measured
        bands, pan = units.of_bands(image.upsampled), units.of_pan(image.pan)
        valid = image.valid[None].to(pan)

        def stacked(part: Tensor) -> Tensor:
            return _stack([cut(part, seen, window) for window in windows], traits.any_bands)

        coarse = []
        if traits.ratio is not None:
            grid = image.ms, image.info.placement, image.ms_window
            coarse = [units.of_bands(block_ms(*grid, window, traits.ratio)) for window in windows]
        for group in state.groups:
            members = list(group)
            lrms = _stack([ms[members] for ms in coarse], traits.any_bands) if coarse else None
            inputs = Inputs(stacked(bands[members]), stacked(pan), lrms, stacked(valid))
            if measured is not None:
                gain = sum(measured.gains) / len(measured.gains)
                low, blunt, optics = see_pan(pan, image.info.placement, seen, gain, measured.shown)
                physics = Physics(
                    low=stacked(low),
                    intensity=stacked(units.intensity(bands)),
                    correlation=units.weight().to(pan)[None, members],
                    origin=units.origin().to(pan)[None, members],
                    blunt=stacked(blunt),
                    optics=optics.to(pan)[None],
                    agreement=measured.agreement.to(pan)[None, members],
                )
                inputs = inputs._replace(physics=physics)
            yield inputs

    def _run(self, inputs: Inputs, context: Context) -> Outcome:
        low = self.precision not in ("auto", "float32")
        dtype = getattr(torch, self.precision) if low else None
        with torch.autocast(inputs.pan.device.type, dtype=dtype, enabled=low):
            outcome: Outcome = self.network(inputs, context)
        return outcome


def _put(part: Tensor, group: Sequence[int], whole: Tensor) -> None:
    """A group of bands (N, K, H, W) to its places in (N, B, H, W); a repeated band takes its first result."""
    for position in reversed(range(len(group))):
        whole[:, group[position]] = part[:, position]


def _stack(images: Sequence[Tensor], by_band: bool) -> Tensor:
    """A batch, laid out as the weights are, or band after band where each goes through layers of its own."""
    layout = torch.contiguous_format if by_band else torch.channels_last
    return torch.stack(tuple(images)).contiguous(memory_format=layout)
