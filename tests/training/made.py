"""Tiny recipes and images to train on."""

from pathlib import Path

import numpy as np
import torch

from pancli.networks.bandset import BandSet
from pancli.tiling import Window
from pancli.training.patches import cut_patch
from pancli.training.recipe import Degradation

TEXT = """
name = "tiny"
network = "gcpnet"
data = "noise"
seed = 7

[[sources]]
kind = "pairs"
weight = 2.0
folder = "real"
names = ["a"]

[[sources]]
kind = "truth"
folder = "real"
names = ["b"]

[schedule]
steps = 4
regions = 2
region = 32
patches = 1
patch = 16
validate_every = 2
settle = 0.6
prefetch = 2
threads = 1

[validation]
folder = "real"
names = ["v"]
ratios = [2.0]
crop = 24
"""

TAUGHT = (
    TEXT
    + """
[teacher]
kind = "encoder"
[teacher.schedule]
steps = 3
learning_rate = 2e-3

[distillation]
features = [0.1]
output = 0.1
"""
)


def make_data(folder: Path) -> Path:
    """Arrays of a pair a, a truth b and a validation pair v."""
    generator = np.random.default_rng(0)
    real = folder / "real"
    real.mkdir(parents=True)
    for name, bands, side in (("a", 6, 40), ("v", 4, 30)):
        ms = generator.integers(20, 255, (bands, side, side), dtype=np.uint8)
        np.save(real / f"{name}-ms.npy", ms)
        np.save(real / f"{name}-pan.npy", np.repeat(np.repeat(ms[0], 2, 0), 2, 1))
    np.save(real / "b-truth.npy", generator.integers(20, 255, (4, 36, 44), dtype=np.uint8))
    return folder


def make_recipe(folder: Path, text: str = TEXT) -> Path:
    """The recipe as a file."""
    path = folder / "tiny.toml"
    path.write_text(text)
    return path


EXACT = Degradation(ratios=(2.0,), ms_gains=(0.3, 0.3), gain_spread=0.0, shift=0.0, noise=0.0)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def smooth(bands=4, side=64):
    """(bands, side, side): waves that survive a degradation by 2."""
    rows, cols = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    waves = [torch.sin(0.11 * rows * (1 + 0.2 * b) + b) + torch.cos(0.13 * cols - b) for b in range(bands)]
    return 100 + 20 * torch.stack(waves).float()


def whole(region, group=(0, 1, 2, 3)):
    """The one patch that is a whole region, as a band-set network sees it."""
    return cut_patch(region, group, Window(0, 0, *region.pan.shape[1:]), BandSet.TRAITS)
