"""PreMix: features of ms and pan are mixed pixel by pixel, then predict a filter for every pixel.

Cui, Liu, Ma, Chen, Xu and Guo, "Pansharpening via predictive filtering with element-wise feature mixing",
ISPRS Journal of Photogrammetry and Remote Sensing 219, 2025, doi 10.1016/j.isprsjprs.2024.10.029. PreMix-B
is one such network; PreMix-H is nine in chain, over three versions of the images at three scales.
"""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad, relu6

from pancli.networks import clahe
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits, damp
from pancli.networks.ranges import from_unit_range, to_unit_range

_WIDTH = 32
_KERNEL = 3  # of the predicted filters
_STEEPNESS = 20.0  # of the mixing mask
_SCALES = (4, 2, 1)
_SIGMA = 1.5  # pixels, of the Gaussian that high-passed images are without
_PAPER = (
    'Cui et al., "Pansharpening via predictive filtering with element-wise feature mixing", ISPRS Journal of '
    "Photogrammetry and Remote Sensing 219, 2025"
)

Streams = tuple[Tensor, Tensor]
"""Of ms and of pan."""


class Residual(nn.Module):
    """Two 3x3 convolutions around a ReLU, and the input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)
        self.conv2 = nn.Conv2d(_WIDTH, _WIDTH, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 32, H, W) to the same shape."""
        deep: Tensor = self.conv2(torch.relu(self.conv1(x)))
        return deep + x


class Mixing(nn.Module):
    """A soft switch for every number: where the mask is 1, the streams of ms and pan change places (EWFM).

    The threshold of the mask is learnt.
    """

    def __init__(self) -> None:
        super().__init__()
        self.block = Residual()
        self.threshold = nn.Parameter(torch.tensor(0.5))

    def mask(self, ms: Tensor, pan: Tensor) -> Tensor:
        """(N, 32, H, W) in [0, 1]."""
        score = torch.tanh(relu6(self.block(ms + pan)))
        return torch.sigmoid(_STEEPNESS * (score - self.threshold))

    def forward(self, ms: Tensor, pan: Tensor) -> Streams:
        """(N, 32, H, W) both, to the same shapes."""
        mask = self.mask(ms, pan)
        return torch.lerp(ms, pan, mask), torch.lerp(pan, ms, mask)


class Layer(nn.Module):
    """An encoder for each stream, and their mixing (EMix).

    Args:
        ms: Channels of the ms stream.
        pan: Channels of the pan stream.
    """

    def __init__(self, ms: int, pan: int) -> None:
        super().__init__()
        self.ms = nn.Sequential(nn.Conv2d(ms, _WIDTH, 3, padding=1), nn.ReLU(), Residual())
        self.pan = nn.Sequential(nn.Conv2d(pan, _WIDTH, 3, padding=1), nn.ReLU(), Residual())
        self.mixing = Mixing()

    def forward(self, streams: Streams) -> Streams:
        """To (N, 32, H, W) both."""
        mixed: Streams = self.mixing(self.ms(streams[0]), self.pan(streams[1]))
        return mixed


class PixelFilter(nn.Module):
    """Filters every band by a 3x3 kernel that features predict for each pixel (PF)."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.kernels = nn.Conv2d(_WIDTH, bands * _KERNEL**2, _KERNEL, padding=_KERNEL // 2)

    def forward(self, features: Tensor, image: Tensor) -> Tensor:
        """Filter (N, bands or 1, H, W), reflected at its rim, given (N, 32, H, W): (N, bands, H, W)."""
        height, width = image.shape[2:]
        kernels = self.kernels(features).unflatten(1, (-1, _KERNEL**2))
        padded = pad(image, (_KERNEL // 2,) * 4, mode="reflect")
        # One shifted image after the other: unfolded, they would be nine times the image at once.
        filtered = torch.zeros_like(kernels[:, :, 0], dtype=image.dtype)
        for tap in range(_KERNEL**2):
            row, col = divmod(tap, _KERNEL)
            filtered = filtered + kernels[:, :, tap] * padded[..., row : row + height, col : col + width]
        return filtered


class Base(nn.Module):
    """Features of the images at one scale, brought to full size, predict filters for the images at full size.

    Args:
        bands: ms bands.
        layers: How often streams are encoded and mixed.
        scale: 1, 2 or 4.
    """

    def __init__(self, bands: int, layers: int, scale: int = 1) -> None:
        super().__init__()
        self.scale = scale
        self.layers = nn.ModuleList(
            Layer(_WIDTH, _WIDTH) if index else Layer(bands, 1) for index in range(layers)
        )
        self.enlarge_ms = _enlarging(scale)
        self.enlarge_pan = _enlarging(scale)
        self.filter_ms = PixelFilter(bands)
        self.filter_pan = PixelFilter(bands)

    def forward(
        self, seen: Streams, images: Streams, passed: Streams | None = None
    ) -> tuple[Tensor, Streams]:
        """Filter.

        Args:
            seen: What kernels are predicted from, (N, B or 1, H, W); of each scale x scale block, the first
                pixel counts.
            images: What is filtered, (N, B or 1, H, W).
            passed: Features that the base before this one returned.

        Returns:
            (N, B, H, W), and the features, (N, 32, H, W) both.
        """
        streams = self._shrunk(seen)
        for index, layer in enumerate(self.layers):
            streams = layer(streams)
            if index == 0 and passed is not None:
                before = self._shrunk(passed)
                streams = streams[0] + before[0], streams[1] + before[1]
        streams = self.enlarge_ms(streams[0]), self.enlarge_pan(streams[1])
        filtered = self.filter_ms(streams[0], images[0]) + self.filter_pan(streams[1], images[1])
        return filtered, streams

    def _shrunk(self, streams: Streams) -> Streams:
        ms, pan = (image[..., :: self.scale, :: self.scale] for image in streams)
        return ms, pan


def _enlarging(scale: int) -> nn.Sequential:
    """Transposed convolutions by 2 each; their middle tap falls on the first pixel of each 2x2 block."""
    doublings = int(math.log2(scale))
    return nn.Sequential(
        *(nn.ConvTranspose2d(_WIDTH, _WIDTH, 3, 2, padding=1, output_padding=1) for _ in range(doublings))
    )


class PreMixB(DirectNetwork):
    """PreMix-B; 151,400 parameters at 4 bands and two thresholds."""

    TRAITS: ClassVar[Traits] = Traits(
        summary="feature mixing and a predicted filter for every pixel, base size",
        paper=_PAPER,
        reconstruction="layers as in the published code, mixing as in the paper (learnt threshold); ours are "
        "the units of its inputs, of which no mean has to pass its filters",
        halo=11,
        # Not for phase: reflection of a pixel needs images of 2, whatever is left of a scene.
        align=2,
        workspace=900,  # measured: a heap that is kept has gaps where its layers' sizes alternate
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.base = Base(bands, layers=2)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        images = inputs.bms, inputs.pan
        fused, _ = self.base(images, images)
        return Outcome(fused - inputs.bms)


class PreMixH(DirectNetwork):
    """PreMix-H; 864,936 parameters at 4 bands and nine thresholds."""

    TRAITS: ClassVar[Traits] = Traits(
        summary="feature mixing and a predicted filter for every pixel, nine times in chain",
        paper=_PAPER,
        reconstruction="layers as in the published code, less a block that it never calls, and mixing as in "
        f"the paper (learnt threshold); ours is that histograms are equalised in cells of {clahe.CELL} pan "
        "pixels from the scene's first pixel, of valid pixels alone, where the code divides each image into "
        "8 x 8, and that values are brought near [0, 1] for it by a fixed map",
        # Layers look 29 pixels into the equalised images, and 33 into the high-passed ones.
        halo=29 + clahe.REACH,
        align=clahe.CELL,
        workspace=300,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.high_passed = _chain(bands)
        self.equalised = _chain(bands)
        self.original = _chain(bands)

    def start_near_interpolation(self) -> None:
        """See :class:`pancli.networks.protocol.Network`."""
        last = self.original[-1]
        assert isinstance(last, Base)
        for kernels in (last.filter_ms, last.filter_pan):
            damp(kernels)

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        fused, passed = inputs.bms, None
        originals = inputs.bms, inputs.pan
        equal = [_equalised(image, inputs.valid) for image in originals]
        for chain, seen in (
            (self.high_passed, [high_pass(image) for image in originals]),
            (self.equalised, equal),
            (self.original, originals),
        ):
            for base in chain:
                fused, passed = base(seen, (fused, inputs.pan), passed)
        return Outcome(fused)


def _chain(bands: int) -> nn.ModuleList:
    return nn.ModuleList(Base(bands, layers=1, scale=scale) for scale in _SCALES)


def _equalised(image: Tensor, valid: Tensor | None) -> Tensor:
    return from_unit_range(clahe.equalise(to_unit_range(image), valid))


def high_pass(image: Tensor) -> Tensor:
    """(N, C, H, W) less its Gaussian blur of 3x3 pixels, reflected at the rim."""
    side = math.exp(-0.5 / _SIGMA**2)
    total = 1 + 2 * side
    padded = pad(image, (1, 1, 1, 1), mode="reflect")
    rows = (side * (padded[..., :-2, :] + padded[..., 2:, :]) + padded[..., 1:-1, :]) / total
    return image - (side * (rows[..., :-2] + rows[..., 2:]) + rows[..., 1:-1]) / total
