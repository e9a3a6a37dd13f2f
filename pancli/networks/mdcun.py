"""MDCUN: an unfolded iteration towards an image that agrees with ms, looks clean, and resembles itself.

Yang, Zhou, Yan, Liu, Fu and Wang, "Memory-augmented deep conditional unfolding network for pansharpening",
CVPR 2022, doi 10.1109/CVPR52688.2022.00183; 4 stages (98,347 parameters). By far the most arithmetic of all
networks here: pan is held against every band in a network of its own, twice per stage.
"""

from __future__ import annotations

from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from pancli.networks.bicubic import enlarge, shrink
from pancli.networks.protocol import DirectNetwork, Inputs, Outcome, Traits
from pancli.networks.srppnn import ScaledBlock

_RATIO = 4
_STAGES = 4
_WIDTH = 64
_HIGH_PASSES = (2, 4, 8)
_REACH = 7  # of the non-local block: its window has 15 x 15 pixels
_STRIP = 2**14  # pixels whose windows are compared at once: 225 numbers for each


class NonLocal(nn.Module):
    """Every pixel, and a mean of those around it, weighted by likeness; beyond the border, zeros count."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.query = nn.Conv2d(bands, bands, 1, bias=False)
        self.key = nn.Conv2d(bands, bands, 1, bias=False)
        self.value = nn.Conv2d(bands, bands, 1, bias=False)
        self.out = nn.Conv2d(bands, bands, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(N, B, H, W) to the same shape."""
        query, key, value = (_single(layer(x)) for layer in (self.query, self.key, self.value))
        key, value = pad(key, 4 * [_REACH]), pad(value, 4 * [_REACH])
        rows = max(_STRIP // (x.shape[0] * x.shape[3]), 1)
        found = []
        for top in range(0, x.shape[2], rows):
            around = slice(top, top + rows + 2 * _REACH)
            found.append(_attend(query[:, :, top : top + rows], key[:, :, around], value[:, :, around]))
        mixed: Tensor = self.out(torch.cat(found, 2))
        return x + mixed


def _single(x: Tensor) -> Tensor:
    """The same in single precision, where it is half."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _attend(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """Means of values (N, B, h + 14, W + 14) around each of the queries (N, B, h, W)."""
    height, side = query.shape[2], 2 * _REACH + 1
    # Views: one row of every window at a time, so that no window is ever copied out.
    likeness = [(query[..., None] * _window_rows(key, y, height)).sum(1) for y in range(side)]
    weights = torch.cat(likeness, -1).softmax(-1).chunk(side, -1)  # 15 x (N, h, W, 15)
    total = torch.zeros_like(query)
    for y, weight in enumerate(weights):
        total = total + (weight[:, None] * _window_rows(value, y, height)).sum(-1)
    return total


def _window_rows(image: Tensor, y: int, height: int) -> Tensor:
    """Row y of the windows around each pixel: (N, B, height, W, 15)."""
    return image[:, :, y : y + height].unfold(3, 2 * _REACH + 1, 1)


class Condition(nn.Module):
    """How much of pan's detail a band lacks, from 0 to 1 for every pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(2, 32, 3, padding=1, bias=False), nn.PReLU())
        self.blocks = nn.Sequential(*(ScaledBlock() for _ in range(3)))
        self.last = nn.Sequential(nn.Conv2d(2, 1, 3, padding=1, bias=False), nn.PReLU())

    def forward(self, band: Tensor, pan: Tensor) -> Tensor:
        """(N, 1, H, W) of a band and pan."""
        deep = self.blocks(self.head(torch.cat((band, pan), 1)))
        summary = torch.cat((deep.amax(1, keepdim=True), deep.mean(1, keepdim=True)), 1)
        return torch.sigmoid(self.last(summary))


class Stage(nn.Module):
    """What one step has of its own: the prior's two convolutions and four weights.

    Args:
        bands: ms bands.
        earlier: Steps before this one, whose priors are remembered.
    """

    def __init__(self, bands: int, earlier: int) -> None:
        super().__init__()
        self.prior = nn.Sequential(
            nn.Conv2d(bands * (earlier + 1), _WIDTH, 3, padding=1), nn.Conv2d(_WIDTH, bands, 3, padding=1)
        )
        self.non_local_data = nn.Parameter(torch.tensor(0.5))
        self.local_prior = nn.Parameter(torch.tensor(0.5))
        self.non_local_prior = nn.Parameter(torch.tensor(0.5))
        self.step = nn.Parameter(torch.tensor(0.1))

    def remember(self, memory: list[Tensor], image: Tensor) -> Tensor:
        """The prior of an image (N, B, H, W), given those of earlier steps, to which it is added."""
        found: Tensor = self.prior(torch.cat((*memory, image), 1))
        memory.append(found)
        return found


class MDCUN(DirectNetwork):
    """98,347 parameters at 4 bands.

    Args:
        bands: ms bands.
        nominal_pixels: Unused: the network has no statistics.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="unrolled iteration with non-local similarity, and pan held against each band",
        paper='Yang et al., "Memory-augmented deep conditional unfolding network for pansharpening", '
        "CVPR 2022",
        reconstruction="layers as in the authors' code (a later comparison counts 44 % more parameters); "
        "ours is that it starts from ms as interpolated outside, that its bicubic steps lie on the "
        "half-pixel grid, and that it remembers the prior of a step before detail of pan is added to it",
        halo=97,
        align=8,
        ratio=_RATIO,
        workspace=450,
    )

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        self.down = nn.Sequential(
            nn.Conv2d(bands, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(_RATIO),
            nn.Conv2d(_WIDTH, bands, 3, padding=1),
            nn.Conv2d(bands, bands, 3, padding=1),
        )
        self.up = nn.Sequential(
            nn.Conv2d(bands, _WIDTH, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=_RATIO, mode="nearest"),
            nn.Conv2d(_WIDTH, bands, 3, padding=1),
            nn.Conv2d(bands, bands, 3, padding=1),
        )
        self.non_local = NonLocal(bands)
        self.condition = Condition()
        self.detail = nn.Conv2d(len(_HIGH_PASSES), 1, 1)
        self.stages = nn.ModuleList(Stage(bands, i) for i in range(_STAGES))

    def fuse(self, inputs: Inputs) -> Outcome:
        """See :class:`pancli.networks.protocol.DirectNetwork`."""
        image, pan, lrms = inputs[:3]
        assert lrms is not None  # the traits name a ratio
        detail = self.detail(torch.cat([pan - enlarge(shrink(pan, n), n) for n in _HIGH_PASSES], 1))
        local: list[Tensor] = []
        non_local: list[Tensor] = []
        for stage in self.stages:
            assert isinstance(stage, Stage)
            alike = self.non_local(image)
            clean = self._with_detail(stage.remember(local, image), pan, detail)
            clean_alike = self._with_detail(stage.remember(non_local, alike), pan, detail)
            data = self.down(image) - lrms + stage.non_local_data * (self.down(alike) - lrms)
            slope = self.up(data) + stage.local_prior * (image - clean)
            slope = slope + stage.non_local_prior * (alike - clean_alike)
            image = image - stage.step * slope
        return Outcome(image - inputs.bms)

    def _with_detail(self, prior: Tensor, pan: Tensor, detail: Tensor) -> Tensor:
        """A prior (N, B, H, W) with pan's detail, once to twice according to what each band lacks."""
        # Band after band: all at once would hold 32 maps for each.
        masks = [self.condition(band, pan) for band in prior.chunk(prior.shape[1], 1)]
        return prior + detail * (1 + torch.cat(masks, 1))
