"""What it takes to make the examples of a recipe, and whether learning waits for them; prints a table.

    python -m tests.benchmarks.examples --data DATA [--recipe weights/bandset-blunt.toml] [--device cuda]
        [--workers 12] [--scenes 60] [--steps 60]

First single scenes and whole steps' examples are made, on the CPU and on --device, one after the other on
one thread; then steps are taken as ``pancli train`` takes them: with examples drawn on the device by threads
beside it, and, given --workers, by so many CPU processes. Times are of the wall, medians.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median

import torch

from pancli.device import CPU, find_device, using_threads
from pancli.simulation.scenes import random_pair
from pancli.training.loop import train
from pancli.training.ranks import Ranks
from pancli.training.reading import read_recipe
from pancli.training.recipe import Recipe
from pancli.training.run import Terms, Told
from pancli.training.sampling import Sampler

RECIPE = Path(__file__).parents[2] / "weights" / "bandset-blunt.toml"
_SETTLING = 5  # of scenes and steps: not counted


def milliseconds(make: Callable[[int], object], count: int, device: torch.device) -> float:
    """The median time to make one of ``count`` things, told their number."""
    times = []
    for number in range(_SETTLING + count):
        start = time.perf_counter()
        make(number)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(1000 * (time.perf_counter() - start))
    return median(times[_SETTLING:])


def drawing(recipe: Recipe, data: Path, device: torch.device, count: int) -> list[tuple[str, str]]:
    """Rows of the table: a scene, and the examples of a step, made on a device."""
    side, generator = recipe.schedule.region, torch.Generator().manual_seed(recipe.seed)
    sampler = replace(Sampler.load(recipe, data), device=device)

    def scene(_: int) -> object:
        return random_pair(generator, side, recipe.bands, 4.0, device=device)

    made = {
        f"a simulated scene of {side} x {side} pixels on {device}": milliseconds(scene, count, device),
        f"the examples of a step on {device}": milliseconds(sampler.batch, count // 3, device),
    }
    return [(what, f"{taken:.1f} ms") for what, taken in made.items()]


def learning(recipe: Recipe, data: Path, terms: Terms, steps: int) -> tuple[str, str]:
    """A row of the table: steps as training takes them."""
    schedule = replace(recipe.schedule, steps=_SETTLING + steps, validate_every=_SETTLING + steps)
    told: list[tuple[float, Told]] = []
    with tempfile.TemporaryDirectory() as folder:
        run = replace(recipe, schedule=schedule, kept=0.0)
        train(run, data, Path(folder), terms, lambda now: told.append((time.monotonic(), now)))
    rate = steps / (told[-1][0] - told[_SETTLING - 1][0])
    count, kind = (terms.workers, "processes") if terms.workers else (max(schedule.prefetch, 1), "threads")
    where = f"steps on {terms.ranks.device}, examples by {count} {kind}"
    return where, f"{rate:.2f} a second, {100 * told[-1][1].waiting:.0f} % of the time waiting"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="tests.benchmarks.examples")
    parser.add_argument("--data", type=Path, required=True, help="what the recipe's folders are relative to")
    parser.add_argument("--recipe", type=Path, default=RECIPE)
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workers", type=int, help="processes to compare with")
    parser.add_argument("--scenes", type=int, default=60)
    parser.add_argument("--steps", type=int, default=60)
    asked = parser.parse_args(arguments)
    recipe, device = read_recipe(asked.recipe), find_device(asked.device)
    with using_threads(1):
        devices = dict.fromkeys((CPU, device))
        rows = [row for where in devices for row in drawing(recipe, asked.data, where, asked.scenes)]
    for workers in (None, *([asked.workers] if asked.workers else [])):
        rows.append(learning(recipe, asked.data, Terms(Ranks(device=device), workers=workers), asked.steps))
    print("| what | how long |\n|---|---|")
    for what, how_long in rows:
        print(f"| {what} | {how_long} |")


if __name__ == "__main__":
    main()
