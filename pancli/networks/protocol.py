"""What every network is to the rest of pancli: its traits, and a run that stops wherever it needs the scene.

A network whose layers look at the whole image (sums, means, maxima over all pixels) is a generator: it
yields what it needs a :class:`Statistic` of and is sent the value. Training sends the values of each patch;
inference gathers each stage over all tiles of a scene and sends the same values to every tile, so that no
seam can appear. A network without such layers is a :class:`DirectNetwork`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d

AGREEMENT = 8
"""Numbers per band that say how well it and pan fit."""

MOST_ROUNDS = 5
"""Of back-projection, after any method: more change little, and each makes the radius larger."""

MOST_BANDS = 1024
"""That a network takes at once: more than any imager has, and no network's weights are 0.5 GB at so many."""


class Physics(NamedTuple):
    """What networks whose traits ask for it are told of a pair, besides its images.

    Attributes:
        low: (N, 1, H, W), pan at ms resolution: degraded by the MTF, interpolated back.
        intensity: (N, 1, H, W), what the bands of ``bms`` explain of pan: their best mixture.
        correlation: (N, B), of the bands with pan on the ms grid, 0.25 to 1.
        origin: (N, B), how far digital number zero lies below a band's mean, in its standard deviations;
            its sign is that of the correlation.
        blunt: (N, 1, H, W), the detail that pan would have if it were as blunt as ms looks.
        optics: (N, 3), the MTF gain at the ms Nyquist, of all bands, as it is believed and as the pair shows
            it, and the binary logarithm of the ratio.
        agreement: (N, B, 8), how well pan and the bands fit, as :mod:`pancli.methods.agreement` says it.
    """

    low: Tensor
    intensity: Tensor
    correlation: Tensor
    origin: Tensor
    blunt: Tensor
    optics: Tensor
    agreement: Tensor


class Inputs(NamedTuple):
    """What a network sees, in its units, which are near zero mean and unit deviation.

    Attributes:
        bms: (N, B, H, W), ms interpolated to the pan grid, pixel centres by georeferencing.
        pan: (N, 1, H, W).
        lrms: (N, B, H / ratio, W / ratio), ms at the centres of ratio x ratio pan pixels; None for networks
            whose traits name no ratio.
        valid: (N, 1, H, W), 1 where pixels are valid, else 0; None where all are. Only histograms need it:
            elsewhere invalid pixels hold a smooth fill.
        physics: None for networks whose traits do not ask for it.
    """

    bms: Tensor
    pan: Tensor
    lrms: Tensor | None = None
    valid: Tensor | None = None
    physics: Physics | None = None

    def each(self, change: Callable[[Tensor], Tensor]) -> Inputs:
        """The same with every tensor changed."""
        lrms, valid = (None if part is None else change(part) for part in (self.lrms, self.valid))
        physics = None if self.physics is None else Physics(*map(change, self.physics))
        return Inputs(change(self.bms), change(self.pan), lrms, valid, physics)

    @classmethod
    def join(cls, samples: Sequence[Inputs]) -> Inputs:
        """One batch of several, which have the same fields."""
        bms, pan = (torch.cat(parts) for parts in zip(*(sample[:2] for sample in samples), strict=True))
        lrms = [sample.lrms for sample in samples if sample.lrms is not None]
        valid = [sample.valid for sample in samples if sample.valid is not None]
        told = [sample.physics for sample in samples if sample.physics is not None]
        physics = Physics(*map(torch.cat, zip(*told, strict=True))) if told else None
        return cls(bms, pan, torch.cat(lrms) if lrms else None, torch.cat(valid) if valid else None, physics)


class Outcome(NamedTuple):
    """What a network makes of its inputs.

    Attributes:
        residual: (N, B, H, W), what is to be added to ``bms``.
        features: Maps that distillation imitates, in the order of the data flow.
        trust: (N, B, H, W), how much of each round of back-projection is to be added, 0 to 1; None for all.
    """

    residual: Tensor
    features: tuple[Tensor, ...] = ()
    trust: Tensor | None = None


class Statistic(Protocol):
    """A request: some function of maps over all pixels of the image."""

    def local(self, nominal_pixels: int) -> Tensor:
        """The value over the image at hand, each sample for itself."""
        ...

    def partial(self, weight: Tensor) -> Tensor:
        """What a tile contributes, float64.

        Args:
            weight: (H, W), 1 for pixels that count, else 0.
        """
        ...

    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        """Contributions of two parts of the scene as one."""
        ...

    def finish(self, total: Tensor, count: int, nominal_pixels: int) -> Tensor:
        """The value, float32, from the contributions of ``count`` pixels."""
        ...


@dataclass(frozen=True)
class Product:
    """Sum over pixels of the outer product of two maps, rescaled to the area of a training patch.

    Attributes:
        left: (N, m, H, W).
        right: (N, n, H, W). The value is (N, m, n).
    """

    left: Tensor
    right: Tensor

    def local(self, nominal_pixels: int) -> Tensor:
        """See :class:`Statistic`."""
        pixels = self.left.shape[2] * self.left.shape[3]
        return pixel_product(self.left, self.right) * (nominal_pixels / pixels)

    def partial(self, weight: Tensor) -> Tensor:
        """See :class:`Statistic`."""
        return pixel_product(self.left.double() * weight, self.right.double())

    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        """See :class:`Statistic`."""
        return one + other

    def finish(self, total: Tensor, count: int, nominal_pixels: int) -> Tensor:
        """See :class:`Statistic`."""
        return (total * (nominal_pixels / count)).float()


@dataclass(frozen=True)
class Mean:
    """Mean over pixels of every channel of a map (N, c, H, W): (N, c). The map may be coarser than pan."""

    image: Tensor

    def local(self, nominal_pixels: int) -> Tensor:
        """See :class:`Statistic`."""
        return self.image.float().mean((2, 3))

    def partial(self, weight: Tensor) -> Tensor:
        """See :class:`Statistic`."""
        side = weight.shape[1] // self.image.shape[3]
        shares = weight if side == 1 else side**2 * avg_pool2d(weight[None], side)[0]
        pixels = self.image.float().permute(0, 2, 3, 1).flatten(1, 2)  # no copy, however it is laid out
        return (shares.float().flatten() @ pixels).double()

    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        """See :class:`Statistic`."""
        return one + other

    def finish(self, total: Tensor, count: int, nominal_pixels: int) -> Tensor:
        """See :class:`Statistic`."""
        return (total / count).float()


@dataclass(frozen=True)
class Maximum:
    """Maximum over pixels of every channel of a map (N, c, H, W): (N, c)."""

    image: Tensor

    def local(self, nominal_pixels: int) -> Tensor:
        """See :class:`Statistic`."""
        return self.image.float().amax((2, 3))

    def partial(self, weight: Tensor) -> Tensor:
        """See :class:`Statistic`."""
        lowest = torch.full_like(self.image, -torch.inf, dtype=torch.float64)
        return torch.where(weight > 0, self.image.double(), lowest).amax((2, 3))

    def merge(self, one: Tensor, other: Tensor) -> Tensor:
        """See :class:`Statistic`."""
        return torch.maximum(one, other)

    def finish(self, total: Tensor, count: int, nominal_pixels: int) -> Tensor:
        """See :class:`Statistic`."""
        return total.float()


def pixel_product(left: Tensor, right: Tensor) -> Tensor:
    """Sum over pixels of the outer product of (N, m, H, W) and (N, n, H, W), never in half precision."""
    dtype = torch.promote_types(torch.promote_types(left.dtype, right.dtype), torch.float32)
    with torch.autocast(left.device.type, enabled=False):
        return left.to(dtype).flatten(2) @ right.to(dtype).flatten(2).transpose(1, 2)


@dataclass(frozen=True)
class Traits:
    """What a network declares of itself; nothing else is assumed of it.

    Attributes:
        summary: One line: what it is.
        paper: Where it comes from.
        reconstruction: What is our own where the paper is silent or was not followed; empty if nothing is.
        reconstructed: Whether the layers themselves are ours, because the paper's are not published.
        any_bands: Whether it takes any number of bands at once, in any order.
        physics: Whether it sees ``low``, ``intensity``, ``correlation``, ``origin``, ``blunt``,
            ``optics`` and ``agreement``.
        halo: How far, in pan pixels, one output pixel looks, given the statistics.
        stages: The same for each stage of statistics, in order.
        align: Windows must start at multiples of this pan row and column, and have such sides.
        ratio: Pan pixels per ms pixel that ``lrms`` must have; None for networks that take ``bms`` alone.
        window: Side of the windows it must be given, which are then blended; None where any size will do.
        workspace: float32 values per pan pixel alive at once: about the channels of its widest layers; of a
            network that takes any number of bands, per pan pixel and band.
    """

    summary: str
    paper: str
    reconstruction: str
    halo: int
    stages: tuple[int, ...] = ()
    align: int = 1
    ratio: int | None = None
    window: int | None = None
    workspace: int = 300
    reconstructed: bool = False
    any_bands: bool = False
    physics: bool = False

    @property
    def radius(self) -> int:
        """Pan pixels that must surround what is wanted, wherever it begins."""
        return self.reach(self.halo)

    def reach(self, halo: int) -> int:
        """A halo, and what cutting to alignment may cost; in window mode, a whole window."""
        return halo + self.align - 1 if self.window is None else self.window


@torch.no_grad()
def damp(module: nn.Module) -> None:
    """Scale fresh weights to a tenth: what a module makes is small at first, and can be learnt from."""
    for parameter in module.parameters():
        parameter.mul_(0.1)


def blank_inputs(traits: Traits, bands: int, side: int) -> Inputs:
    """What a network of those traits sees, zeros all over: one image of ``side`` pixels square."""
    images, values, optics = torch.zeros(1, bands, side, side), torch.zeros(1, bands), torch.zeros(1, 3)
    coarse = None if traits.ratio is None else images[..., :: traits.ratio, :: traits.ratio]
    if not traits.physics:
        return Inputs(images, images[:, :1], coarse)
    pan, agreement = images[:, :1], torch.zeros(1, bands, AGREEMENT)
    physics = Physics(pan, pan, values + 1, values, pan, optics, agreement)
    return Inputs(images, pan, coarse, physics=physics)


Context = Sequence[Sequence[Tensor]]
"""Per stage, the values of its statistics, each with the first axis of its map, of one image or of N."""

Steps = Generator[tuple[Statistic, ...], Sequence[Tensor], Outcome]
"""A run: yields the statistics of a stage, is sent their values, returns the outcome."""

UnitSteps = Generator[tuple[Statistic, ...], Sequence[Tensor], Tensor]
"""The part of a run that lies inside a module, which returns features."""


class Network(nn.Module, ABC):
    """A network: ``nn.Module`` with traits.

    Args:
        bands: ms bands it takes at once.
        nominal_pixels: Area, in pan pixels, that sums are rescaled to: that of a training patch.
    """

    TRAITS: ClassVar[Traits]

    def __init__(self, bands: int, nominal_pixels: int) -> None:
        super().__init__()
        self.bands = bands
        self.nominal_pixels = nominal_pixels

    @abstractmethod
    def steps(self, inputs: Inputs) -> Steps:
        """Run: yield the statistics of each stage, be sent their values, return the outcome."""

    def start_near_interpolation(self) -> None:
        """Scale fresh weights so that little is added to ``bms`` at first, where the network can do that.

        One that sees physics begins with what classical methods add instead.
        """

    def begin_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights of this network, or of one that it goes on from, as its subclass.

        Args:
            tensors: A state dict; what comes after it stays as it is.
        """
        self.load_state_dict({**self.state_dict(), **tensors})

    def forward(self, inputs: Inputs, context: Context | None = None) -> Outcome:
        """Run.

        Args:
            inputs: In the network's units.
            context: The values of all stages; None to take them from the inputs, each sample for itself.
        """
        steps, stage = self.steps(inputs), 0
        try:
            wanted = next(steps)
            while True:
                values = self._own(wanted) if context is None else context[stage]
                del wanted  # the maps it holds need not outlive this stage
                wanted = steps.send(values)
                stage += 1
        except StopIteration as done:
            outcome: Outcome = done.value
            return outcome

    def _own(self, wanted: Sequence[Statistic]) -> list[Tensor]:
        return [statistic.local(self.nominal_pixels) for statistic in wanted]

    def statistics(self, stage: int, inputs: Inputs, context: Context) -> tuple[Statistic, ...]:
        """What a stage asks of this part of a scene, given the values of the stages before it."""
        steps = self.steps(inputs)
        wanted = next(steps)
        for values in context[:stage]:
            wanted = steps.send(values)
        return wanted


class DirectNetwork(Network):
    """A network without statistics: its outcome follows at once from its inputs."""

    @abstractmethod
    def fuse(self, inputs: Inputs) -> Outcome:
        """Run."""

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`Network`: nothing is asked of the image."""
        yield from ()
        return self.fuse(inputs)
