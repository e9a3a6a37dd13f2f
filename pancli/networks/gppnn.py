"""GPPNN: gradient projection, unrolled: towards what ms shows of the image, then towards what pan shows.

Xu, Zhang, Zhao, Sun, Liu and Zhang, "Deep gradient projection networks for pan-sharpening", CVPR 2021,
doi 10.1109/CVPR46437.2021.00142; 8 stages of 64 maps (119,808 parameters).
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn

from pancli.networks.bicubic import enlarge, shrink
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits

_RATIO = 4
_STAGES = 8
_WIDTH = 64


class Unit(nn.Module):
    """Two convolutions without biases and the ReLU between."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, _WIDTH, kernel, padding=kernel // 2, bias=False)
        self.second = nn.Conv2d(_WIDTH, outputs, kernel, padding=kernel // 2, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, inputs, H, W) to (N, outputs, H, W)."""
        out: Tensor = self.second(torch.relu(self.first(x)))
        return out

    def pass_on(self) -> None:
        """Set two maps per band, of as many bands as there are maps for, to relu(x) - relu(-x) = x."""
        bands = min(self.first.in_channels, _WIDTH // 2)
        nn.init.dirac_(self.first.weight[:bands])
        self.first.weight[bands : 2 * bands] = -self.first.weight[:bands]
        nn.init.dirac_(self.second.weight[:, :bands])
        self.second.weight[:, bands : 2 * bands] = -self.second.weight[:, :bands]


class Step(nn.Module):
    """What both kinds of steps have: a view of the image, a correction, a projection."""

    def __init__(self, bands: int, seen: int, kernel: int) -> None:
        super().__init__()
        self.observe = Unit(bands, seen, kernel)
        self.correct = Unit(seen, bands, kernel)
        self.project = Unit(bands, bands, kernel)

    def start_near_identity(self) -> None:
        """Scale fresh weights so that the image is passed on nearly unchanged."""
        for unit in (self.correct, self.project):
            unit.second.weight.mul_(0.1)
        self.project.pass_on()


class MsStep(Step):
    """Against the difference between ms and the image seen from afar."""

    def __init__(self, bands: int) -> None:
        super().__init__(bands, bands, 3)

    def forward(self, image: Tensor, lrms: Tensor) -> Tensor:
        """(N, B, H, W) and (N, B, h, w) to (N, B, H, W)."""
        difference = lrms - shrink(self.observe(image), _RATIO)
        improved: Tensor = self.project(image + enlarge(self.correct(difference), _RATIO))
        return improved


class PanStep(Step):
    """Against the difference between pan and the image in grey; pixel by pixel."""

    def __init__(self, bands: int) -> None:
        super().__init__(bands, 1, 1)

    def forward(self, image: Tensor, pan: Tensor) -> Tensor:
        """(N, B, H, W) and (N, 1, H, W) to (N, B, H, W)."""
        improved: Tensor = self.project(image + self.correct(pan - self.observe(image)))
        return improved


class GPPNN(DirectNetwork):
    """119,808 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="unrolled gradient projection: 8 times towards ms, then towards pan",
        paper='Xu et al., "Deep gradient projection networks for pan-sharpening", CVPR 2021',
        reconstruction="layers as published; ours is that it starts from ms as interpolated outside, that "
        "its bicubic steps lie on the half-pixel grid, where the authors' depend on the size of the image, "
        "and that fresh weights pass the image on nearly unchanged",
        halo=161,
        align=_RATIO,
        ratio=_RATIO,
        workspace=160,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.ms_steps = nn.ModuleList(MsStep(bands) for _ in range(_STAGES))
        self.pan_steps = nn.ModuleList(PanStep(bands) for _ in range(_STAGES))

    @torch.no_grad()
    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`.

        Weights as they come halve the image dozens of times, so that nothing of it reaches the output, and
        training must first find a way through.
        """
        for module in self.modules():
            if isinstance(module, Step):
                module.start_near_identity()

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        assert inputs.lrms is not None  # the traits name a ratio
        image = inputs.bms
        for towards_ms, towards_pan in zip(self.ms_steps, self.pan_steps, strict=True):
            image = towards_pan(towards_ms(image, inputs.lrms), inputs.pan)
        return Outcome(image - inputs.bms)
