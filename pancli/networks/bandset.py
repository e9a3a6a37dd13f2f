"""Band-set networks: the same weights for every band, so any bands in any order, and physics as a start.

The form is pancli's own. What is injected into a band is a mixture, predicted per pixel, of five details
of pan that are known to be good starts, plus a correction: pan's detail against its own low-pass, as it is
in the network's units (MTF-GLP-CBD; Alparone et al., IEEE TGRS 2007), in proportion to the band's brightness
(MTF-GLP-HPM; Aiazzi et al., 2003), by the local regression of the band on pan at ms resolution (as the guided
filter of He et al., IEEE TPAMI 2013, does), against the bands' own intensity (GSA; Aiazzi et al., IEEE
TGRS 2007), and what pan would have of detail if it were as blunt as ms: all that there is to add where ms
was made by picking pixels of an image that is itself blunter than pan. Bands learn of each other through
means over bands (Zaheer et al., "Deep sets", NIPS 2017), and of the scene as a whole through means over its
pixels, which scale and shift all features (FiLM; Perez et al., AAAI 2018), as what is known of the sensor
does: so that less can be injected where pan and ms do not agree. For the same end it says how far each round
of back-projection is to be trusted at each pixel.

Most is computed at half of pan's resolution, where 2 x 2 pixels are channels. Features fill much memory, and
memory is slower than arithmetic: what can be done in place is.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate, leaky_relu, pad

from pancli.networks.protocol import AGREEMENT, Inputs, Mean, Network, Outcome, Statistic, Steps, Traits, damp

LEAK = 0.1
"""Slope of rectifiers below zero: without it, all features once died in the first steps, and stayed dead."""

_REACH = 3  # of the local regressions' boxes around a pixel of half resolution: 7 x 7
_NOISE = 0.02  # variance of pan below which a local regression becomes the scene's own
_SLOPES = (-2.0, 4.0)  # between which local slopes are kept
_FACTORS = (0.0, 3.0)  # between which a band's relative brightness is kept
_OWN, _SHARED = 12, 7  # channels of a band, of pan
_OPTICS = 3  # numbers that say what the sensor is like
DETAILS = 5
"""Details of pan that are mixed."""
_TRUST = 2.0  # logit of the trust in back-projection at first


class Bands(nn.Module):
    """A residual block that works on every band alike, and on their mean."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.mean = nn.Conv2d(width, width, 1, bias=False)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor, bands: int) -> Tensor:
        """(N B, n, h, w) to the same shape; where nothing is learnt, in place and band after band.

        So little more than ``x`` is held at once, and the pieces of a tile may be larger.
        """
        common = self.mean(_mean(by_image(x, bands)))
        if torch.is_grad_enabled():
            out: Tensor = self.second(activated(self.first(x), common, bands)).add_(x)
            return out
        for index, band in enumerate(torch.split(x, 1)):
            shared = common[index // bands : index // bands + 1]
            band.add_(self.second(activated(self.first(band), shared, 1)))
        return x


class BandSet(Network):
    """The fast one; its feature is the last one.

    Args:
        bands: How many it is trained with; it takes any number.
        nominal_pixels: Not used: it has no sums.
    """

    TRAITS: ClassVar[Traits] = Traits(
        summary="any bands in any order, mixes classical details of pan per pixel and corrects them",
        paper="none: pancli's own, see pancli/networks/bandset.py",
        reconstruction="",
        halo=24,
        stages=(10,),
        align=2,
        workspace=38,
        any_bands=True,
        physics=True,
    )
    WIDTH: ClassVar[int] = 32
    DEPTH: ClassVar[int] = 3

    def __init__(self, bands: int = 4, nominal_pixels: int = 128 * 128) -> None:
        super().__init__(bands, nominal_pixels)
        width = self.WIDTH
        self.own = nn.Conv2d(_OWN, width, 3, padding=1)
        self.shared = nn.Conv2d(_SHARED, width, 3, padding=1, bias=False)
        self.blocks = nn.ModuleList(Bands(width) for _ in range(self.DEPTH))
        known = 2 * width + _OPTICS + AGREEMENT
        self.context = nn.Sequential(nn.Linear(known, width), nn.LeakyReLU(LEAK), nn.Linear(width, 2 * width))
        self.head = nn.Conv2d(width, DETAILS + 4 + 1, 3, padding=1)

    @torch.no_grad()
    def start_near_interpolation(self) -> None:
        """Begin as the mean of the first four details, a little damped."""
        self.head.weight.mul_(0.1)
        self.head.bias.zero_()  # type: ignore[union-attr]
        self.head.bias[: DETAILS - 1] = 0.225  # type: ignore[index]
        self.head.bias[-1] = _TRUST  # type: ignore[index]
        damp(self.context[-1])

    def steps(self, inputs: Inputs) -> Steps:
        """See :class:`pancli.networks.protocol.Network`: means of the first features."""
        x, seen = yield from self._begin(inputs)
        return self._end(x, inputs.bms.shape[1], seen)

    def _begin(
        self, inputs: Inputs
    ) -> Generator[tuple[Statistic, ...], Sequence[Tensor], tuple[Tensor, Seen]]:
        """The first features, as the scene's means would have them, and what the network sees."""
        count = inputs.bms.shape[1]
        own, shared, seen = see(inputs)
        x = activated(self.own(own), self.shared(shared), count)
        del own, shared  # nothing reads them any more
        (means,) = yield (Mean(x),)
        return self._adapt(x, by_image(means, count), seen), seen

    def _end(self, x: Tensor, bands: int, seen: Seen) -> Outcome:
        """From the first features on."""
        for block in self.blocks:
            x = block(x, bands)
        return self._outcome(x, bands, seen)

    def _outcome(self, x: Tensor, bands: int, seen: Seen) -> Outcome:
        """What the last features (N B, n, h, w) say is to be added, and how far rounds are to be trusted."""
        said = self.head(leaky_relu(x, LEAK))
        mixture, correction, trust = said.split((DETAILS, 4, 1), 1)
        residual = seen.mixed(fine(mixture)) + by_image(_whole(correction), bands)
        return Outcome(residual, (x,), by_image(fine(trust.sigmoid())[:, 0], bands))

    def _adapt(self, x: Tensor, means: Tensor, seen: Seen) -> Tensor:
        """Scale and shift features (N B, n, h, w) by what the scene, of means (N or 1, B, n), is like."""
        common = means.mean(1, keepdim=True).expand_as(means)
        sensor = seen.optics[:, None].expand(-1, means.shape[1], -1)
        parts = [part.expand(len(sensor), -1, -1) for part in (means, common)]
        said = self.context(torch.cat((*parts, sensor, seen.agreement), 2))
        scale, shift = said.flatten(0, 1)[..., None, None].chunk(2, 1)
        return torch.addcmul(shift.to(x), x, 1 + scale.to(x))


class BandSetSmall(BandSet):
    """The faster one."""

    TRAITS: ClassVar[Traits] = replace(
        BandSet.TRAITS,
        summary="bandset with half the channels: a quarter of the arithmetic, and nearly as good",
        workspace=32,
    )
    WIDTH: ClassVar[int] = 16


class BandSetLarge(BandSet):
    """The large one, to teach where there is a GPU."""

    TRAITS: ClassVar[Traits] = replace(
        BandSet.TRAITS,
        summary="bandset with half a million parameters: seven times the arithmetic, and so far no better",
        halo=36,
        workspace=64,
    )
    WIDTH: ClassVar[int] = 64
    DEPTH: ClassVar[int] = 6

    @torch.no_grad()
    def begin_from(self, tensors: Mapping[str, Tensor]) -> None:
        """Take weights of its own, or those of a narrower one, with which it gives what that one gives.

        New features then see all others, are seen by none until trained, and new blocks add nothing (Chen et
        al., "Net2Net", ICLR 2016, with zeros in place of copies).
        """
        own = self.state_dict()
        kept, width = tensors["own.bias"].shape[0], self.WIDTH
        if kept == width:
            super().begin_from(tensors)
            return
        first = torch.arange(kept)
        twice = torch.cat((first, width + first))  # means of a band and of all bands; scales and shifts
        known = torch.cat((twice, torch.arange(2 * width, 2 * width + _OPTICS + AGREEMENT)))
        for name, large in own.items():
            if name not in tensors:
                if "second" in name:
                    large.zero_()
                continue
            small = tensors[name]
            outputs = twice if name.startswith("context.2") else torch.arange(small.shape[0])
            large[outputs] = 0
            if small.dim() == 1:
                large[outputs] = small
            else:
                inputs = known if name == "context.0.weight" else torch.arange(small.shape[1])
                large[outputs[:, None], inputs] = small


def by_image(x: Tensor, bands: int) -> Tensor:
    """(N B, ...) as (N, B, ...)."""
    return x.reshape(-1, bands, *x.shape[1:])


def _mean(x: Tensor) -> Tensor:
    """Over the second axis; of large images much faster than torch's own."""
    first, *others = x.unbind(1)
    total = first.clone()
    for other in others:
        total.add_(other)
    return total.div_(x.shape[1])


def activated(x: Tensor, common: Tensor, bands: int) -> Tensor:
    """Add to every band of (N B, n, h, w) what all have in common, (N, n, h, w); then rectify. In place."""
    by_image(x, bands).add_(common[:, None])
    return leaky_relu(x, LEAK, inplace=True)


def fine(image: Tensor) -> Tensor:
    """Twice as many pixels along each axis."""
    return interpolate(image.contiguous(), scale_factor=2, mode="bilinear", align_corners=False)


class Seen(NamedTuple):
    """What is needed of the inputs once the first layer has seen them.

    Attributes:
        optics: (N, 3).
        agreement: (N, B, 8).
        detail: (N, 1, H, W), of pan against its own low-pass.
        substituted: (N, 1, H, W), against the bands' intensity.
        blunt: (N, 1, H, W), of a pan as blunt as ms.
        factor: (N, B, H, W), what the detail is multiplied by in proportion to brightness.
        slope: (N, B, H, W), by the local regression.
    """

    optics: Tensor
    agreement: Tensor
    detail: Tensor
    substituted: Tensor
    blunt: Tensor
    factor: Tensor
    slope: Tensor

    def mixed(self, shares: Tensor) -> Tensor:
        """The details, in their shares (N B, 5, H, W), added up: (N, B, H, W)."""
        plain, bright, local, substituted, blunt = by_image(shares, self.factor.shape[1]).unbind(2)
        times = torch.addcmul(plain, bright, self.factor.to(plain)).addcmul(local, self.slope.to(plain))
        mixed = (times * self.detail).add_(substituted * self.substituted)
        return mixed.add_(blunt * self.blunt)


def see(inputs: Inputs) -> tuple[Tensor, Tensor, Seen]:
    """What a run begins with.

    Returns:
        What the first layer sees, at half resolution: of the bands (N B, 12, h, w), of pan (N, 7, h, w); and
        what is needed later.
    """
    bms, pan = inputs.bms, inputs.pan
    if inputs.physics is None:
        raise ValueError("these inputs are of a network that does not see physics")
    low, intensity, correlation, origin, blunt, optics, agreement = inputs.physics
    strength, origin = correlation[..., None, None], origin[..., None, None]
    detail = pan - low
    below = low + origin
    factor = torch.where(below > 0, (bms * strength + origin) / below.clamp_min(1e-3), 1.0).clamp(*_FACTORS)
    coarse = _halved(low)
    slope, likeness, spread = _local_regression(_halved(bms), coarse)
    bright = factor * detail
    planes = (slope, likeness, _halved(factor), strength.expand_as(slope))
    split = [_quarters(image.flatten(0, 1)) for image in (bms, bright)]
    own = torch.cat((*split, torch.stack(planes, 2).flatten(0, 1)), 1)
    shared = torch.cat((_quarters(detail[:, 0]), coarse, coarse - _halved(intensity), spread.sqrt()), 1)
    layout = torch.channels_last
    seen = Seen(optics, agreement, detail, pan - intensity, blunt, factor, fine(slope))
    return own.contiguous(memory_format=layout), shared.contiguous(memory_format=layout), seen


def _local_regression(bms: Tensor, low: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Of bands (N, B, h, w) on pan at ms resolution (N, 1, h, w) in boxes.

    Returns:
        Slopes and correlations (N, B, h, w), and pan's variance (N, 1, h, w). A slope is drawn towards 1,
        which is the scene's own in these units, where pan hardly varies.
    """
    means = _box_mean(torch.cat((bms, bms * low, bms * bms, low, low * low), 1))
    count = bms.shape[1]
    band, product, square, pan, pan_square = torch.split(means, [count, count, count, 1, 1], 1)
    covariance = product - band * pan
    spread = (pan_square - pan * pan).clamp_min(0)
    own = (square - band * band).clamp_min(0)
    slope = ((covariance + _NOISE) / (spread + _NOISE)).clamp(*_SLOPES)
    return slope, covariance / ((spread + _NOISE) * (own + _NOISE)).sqrt(), spread


def _box_mean(maps: Tensor) -> Tensor:
    """(..., h, w): means over boxes of 7 x 7 pixels, of what of them lies inside.

    In the same sums wherever a tile begins, and in a tenth of the time of torch's pooling.
    """
    counts = []
    for axis in (-2, -1):
        size, around = maps.shape[axis], [0, 0, 0, 0]
        around[-2 * axis - 2 : -2 * axis] = [_REACH, _REACH]
        maps = pad(maps, around)
        two = maps.narrow(axis, 0, size + 5) + maps.narrow(axis, 1, size + 5)
        four = two.narrow(axis, 0, size + 2) + two.narrow(axis, 2, size + 2)
        maps = (four.narrow(axis, 0, size) + two.narrow(axis, 4, size)).add_(maps.narrow(axis, 6, size))
        index = torch.arange(size, device=maps.device)
        counts.append((index + _REACH).clamp(max=size - 1) - (index - _REACH).clamp(min=0) + 1)
    return maps / (counts[0][:, None] * counts[1])


def _halved(image: Tensor) -> Tensor:
    """(..., H, W): means of 2 x 2 pixels, in a tenth of the time of torch's pooling."""
    rows = image[..., ::2, :] + image[..., 1::2, :]
    return (rows[..., ::2] + rows[..., 1::2]) * 0.25


def _quarters(images: Tensor) -> Tensor:
    """(N, H, W) with 2 x 2 pixels as channels: (N, 4, H / 2, W / 2)."""
    count, height, width = images.shape
    split = images.reshape(count, height // 2, 2, width // 2, 2)
    return split.permute(0, 2, 4, 1, 3).flatten(1, 2)


def _whole(quarters: Tensor) -> Tensor:
    """The way back, (N, 4, h, w) to (N, 2 h, 2 w); of channels that lie last faster than torch's."""
    count, _, height, width = quarters.shape
    split = quarters.reshape(count, 2, 2, height, width)
    return split.permute(0, 3, 1, 4, 2).reshape(count, 2 * height, 2 * width)
