"""Tiny recipes and images to train on."""

from pathlib import Path

import numpy as np

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
