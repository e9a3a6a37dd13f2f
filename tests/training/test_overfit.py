"""Every network learns four patches by heart, through the parts that training is made of."""

import pytest
import torch
from torch.nn.functional import avg_pool2d, interpolate, pad

from pancli.networks.protocol import Inputs, Traits
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
    "pnn": (1500, 5e-3),
    "lambda-pnn": (800, 3e-3),
    # Wide or deep, and fast learners.
    "msinn": (300, 3e-3),
    "msinn-refined": (300, 3e-3),
    "premix-h": (300, 3e-3),
    "sfinet": (300, 3e-3),
    # 0.0014 after 600 steps, 0.0004 after 900.
    "mdcun": (900, 3e-3),
    # See _NOT_LEARNT; at 0.003 the loss nearly doubles in the first steps.
    "pannet-pgcu": (150, 1e-3),
    # 0.0009 after 3000 steps, 0.0001 after 4000.
    "utsn": (4000, 3e-4),
}
"""Steps and learning rate, where 600 and 0.003 do not do."""

_MOMENTUM = {
    # As published: after 1500 steps at 2e-4 it is at 0.007, with 0.9 at 0.043.
    "utsn": 0.5,
}
"""Adam's first decay, where 0.9 does not do."""

_NOT_LEARNT = {
    # A step on windows of 128, which it is made for, takes a second, and ms has to be found again as
    # expectations over four values: 0.21 after 150 steps, where interpolation is at 0.20 and zeros at 0.65.
    # (With bms as others have it, finer than lrms, regression on all neighbours leaves 0.33: out of reach.)
    "pannet-pgcu": 0.23,
}
"""Networks that do not get there in so few steps, and what they must reach."""

_SIDES = {"pannet-pgcu": 128}

_SEES_NO_BMS = ("pannet-pgcu",)
"""Networks that know of ms no more than lrms."""

_QUICK = ("gcpnet", "pannet", "residual-pnn")
"""Stand for the others where minutes count; `make long` runs all."""


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
    return Batch(Inputs(bms, pan, lrms), target, ones, ones, 0 * ones)


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=() if n in _QUICK else pytest.mark.long) for n in sorted(NETWORKS)]
)
def test_every_network_learns_four_patches_by_heart(name):
    kind = NETWORKS[name]
    side = _SIDES.get(name, max(kind.TRAITS.align, 8))
    steps, rate = _PLANS.get(name, (600, 3e-3))
    torch.manual_seed(0)
    network = kind(4, side * side)
    network.start_near_interpolation()
    batch = patches(kind.TRAITS, side, bms_from_lrms=name in _SEES_NO_BMS)
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
    assert float(loss.detach()) < _NOT_LEARNT.get(name, _LEARNT)
