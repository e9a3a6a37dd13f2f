"""Every network learns four patches by heart, through the parts that training is made of."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d, interpolate, pad

from pancli.networks.protocol import AGREEMENT, Inputs, Physics, Traits
from pancli.networks.registry import NETWORKS
from pancli.training.objectives import Supervised
from pancli.training.patches import Batch
from pancli.training.recipe import Decay, Loss, Optimiser, Schedule
from pancli.training.stages import make_optimiser

_LEARNT = 1e-3
"""Largest mean absolute error, of images near unit deviation."""

_PLANS = {
    # Nothing is added to bms: they must learn all of it.
    "msdcnn": (1500, 3e-3),
    "pnn": (1800, 5e-3),  # 0.0010 after 1500, a little more or less by machine, 0.0004 after 1800
    "lambda-pnn": (800, 3e-3),
    # Wide or deep, and fast learners.
    "msinn": (300, 3e-3),
    "msinn-refined": (300, 3e-3),
    "premix-h": (300, 3e-3),
    "sfinet": (300, 3e-3),
    # 0.0014 after 600 steps, 0.0004 after 900.
    "mdcun": (900, 3e-3),
    # It sees no bms and finds ms again as expectations over a few values: 0.01 after 1000 steps, 0.0007 after
    # 1700, 0.0001 after 1900.
    "pannet-pgcu": (2000, 1e-3),
    # 0.0009 after 3000 steps, 0.0001 after 4000.
    "utsn": (4000, 3e-4),
}
"""Steps and learning rate, where 600 and 0.003 do not do."""

_MOMENTUM = {
    # As published: after 1500 steps at 2e-4 it is at 0.007, with 0.9 at 0.043.
    "utsn": 0.5,
}
"""Adam's first decay, where 0.9 does not do."""

_WINDOWS = {
    # Values come from one position in 64 x 64 pixels, of which it takes two to have a choice.
    "pannet-pgcu": (64, 128),
}
"""Networks that are worth nothing on 8 x 8 pixels: they see all four patches in one window of this shape."""

_SIDE = 8

_SEES_NO_BMS = ("pannet-pgcu",)
"""Networks that know of ms no more than lrms."""

_QUICK = ("bandset-small", "pannet", "residual-pnn")
"""Stand for the others where minutes count; `make long` runs all. GCPNet learns in test_loop.py, too."""


def in_one_window(batch: Batch, shape: tuple[int, int], ratio: int) -> Batch:
    """The first image of a batch, cut to a window, and four patches in its middle that alone count."""
    height, width = shape

    def cut(images: Tensor, factor: int = 1) -> Tensor:
        return images[:1, :, : height // factor, : width // factor]

    bms, pan, lrms = batch.inputs.bms, batch.inputs.pan, batch.inputs.lrms
    assert lrms is not None
    counts, top = torch.zeros(1, 1, height, width), (height - _SIDE) // 2
    for left in range(width // 8 - _SIDE // 2, width, width // 4):
        counts[:, :, top : top + _SIDE, left : left + _SIDE] = 1.0
    scale, mean = batch.scale[:1], batch.mean[:1]
    seen = Inputs(cut(bms), cut(pan), cut(lrms, ratio))
    return Batch(seen, cut(batch.target), batch.weight[:1] * counts / counts.mean(), scale, mean)


def patches(traits: Traits, side: int, *, bms_from_lrms: bool = False) -> Batch:
    """Four smooth patches whose truth follows from what the network sees, pixel by pixel.

    Args:
        traits: Of the network.
        side: Of a patch, pixels.
        bms_from_lrms: Whether bms has no more to it than lrms, so that who sees lrms alone knows as much.
    """
    source = torch.Generator().manual_seed(1)

    def smooth(channels):
        noise = torch.randn(4, channels, side, side, generator=source)
        blurred = avg_pool2d(pad(noise, (2, 2, 2, 2), mode="circular"), 5, 1)
        return blurred / blurred.std()

    pan = smooth(1)
    bms = 0.6 * pan + 0.8 * smooth(4)
    lrms = None if traits.ratio is None else avg_pool2d(bms, traits.ratio)
    if bms_from_lrms:
        assert lrms is not None
        bms = interpolate(lrms, size=bms.shape[2:], mode="bicubic", align_corners=False)
    target = bms + torch.tensor([0.5, -0.3, 0.2, 0.4])[:, None, None] * torch.sin(pan)
    ones = torch.ones(4, 4, 1, 1)
    physics = None
    if traits.physics:
        low, known = avg_pool2d(pad(pan, (2, 2, 2, 2), mode="circular"), 5, 1), torch.ones(4, 4)
        details = (low, bms.mean(1, keepdim=True), 0.6 * known, 0 * known, 0.5 * (pan - low))
        physics = Physics(*details, torch.zeros(4, 3), torch.zeros(4, 4, AGREEMENT))
    return Batch(Inputs(bms, pan, lrms, physics=physics), target, ones, ones, 0 * ones)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in _QUICK else pytest.mark.long) for n in sorted(NETWORKS)]
)
def test_every_network_learns_four_patches_by_heart(name):
    kind = NETWORKS[name]
    window = _WINDOWS.get(name)
    side = max(window or (kind.TRAITS.align, _SIDE))
    steps, rate = _PLANS.get(name, (600, 3e-3))
    torch.manual_seed(0)
    network = kind(4, side * side)
    network.start_near_interpolation()
    batch = patches(kind.TRAITS, side, bms_from_lrms=name in _SEES_NO_BMS)
    if window is not None and kind.TRAITS.ratio is not None:
        batch = in_one_window(batch, window, kind.TRAITS.ratio)
    plan = Optimiser("adam", betas=(_MOMENTUM.get(name, 0.9), 0.999))
    optimiser = make_optimiser(network, plan, Schedule(steps, learning_rate=rate, weight_decay=0.0))
    objective = Supervised(network.train(), Loss(l1=1.0), "float32")
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = rate * Decay().rate(step, steps)
        optimiser.zero_grad()
        loss = objective(batch, step / steps)["l1"]
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
    assert float(loss.detach()) < _LEARNT
