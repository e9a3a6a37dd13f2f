"""The recipes of all weights that ship, each from where it was stopped, and what goes on from one after it.

    python -m tests.benchmarks.shipped --data DATA --out runs [--weights bandset,gcpnet] [--device cuda]
        [--workers 12] [--max-minutes 9]

The same command again goes on, until each name has been trained by all of its recipes.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pancli.device import find_device
from pancli.training.loop import train
from pancli.training.ranks import Ranks
from pancli.training.reading import read_recipe
from pancli.training.run import Terms
from tests.benchmarks.networks import finished

RECIPES = Path(__file__).parents[2] / "weights"
CHAINS = {
    "bandset": ("bandset", "bandset-polish", "bandset-aligned", "bandset-blunt", "bandset-wider"),
    "bandset-small": ("bandset-small", "bandset-small-crisp", "bandset-small-wider"),
    "ssml": ("ssml",),
    **{
        name: (name, f"{name}-longer")
        for name in ("gcpnet", "msdcnn", "msinn", "pannet", "pnn", "premix-b", "premix-h", "residual-pnn")
    },
}
"""Recipes by what they make, in turn: each but the first begins from what came of the one before."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Train each name for as long as is allowed, and tell where it is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--weights", default="", help="names, separated by commas; all where it is empty")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workers", type=int, help="processes that make batches")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="of each name; then the next")
    asked = parser.parse_args(arguments)
    terms = Terms(Ranks(device=find_device(asked.device)), workers=asked.workers)
    for name in asked.weights.split(",") if asked.weights else CHAINS:
        print(f"{name}: {train_chain(CHAINS[name], asked, terms)}", flush=True)


def train_chain(chain: Sequence[str], asked: argparse.Namespace, terms: Terms) -> str:
    """Train the recipes of one name in turn until the time is up; returns where it is."""
    deadline, init = time.monotonic() + 60 * asked.max_minutes, None
    for stem in chain:
        recipe, folder = read_recipe(RECIPES / f"{stem}.toml"), asked.out / stem
        if finished(recipe, folder) is None:
            left = max(0.0, (deadline - time.monotonic()) / 60)
            run = train(recipe, asked.data, folder, replace(terms, max_minutes=left, init=init))
            if not run.done:
                return f"{stem}, {run.progress.stage}, step {run.progress.step}; the same command goes on"
        init = str(folder / f"{recipe.name}.safetensors")
    return f"trained, {init}"


if __name__ == "__main__":
    main()
