"""What each part of bandset and of its training brings: the same small budget with and without it; a table.

    python -m tests.benchmarks.ablation --data DATA --out runs/ablation [--steps 1000] [--runs whole,no-truth]
        [--max-minutes 60]

The recipe is weights/bandset-aligned.toml from random weights, with fewer steps; ``whole`` is trained with
three seeds, whose spread says what a difference is worth. What was trained is kept in --out: a run that was
stopped goes on there. Figures are of the validation scenes and of the last step, nothing is chosen by them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.methods.registry import METHODS
from pancli.networks.costs import count_parameters
from pancli.networks.registry import NETWORKS
from pancli.training.loop import BASELINES
from pancli.training.reading import read_recipe
from pancli.training.recipe import Distillation, Recipe
from pancli.training.run import Terms
from pancli.training.validation import load_cases, measure
from tests.benchmarks.networks import cell, finished, train_all
from tests.benchmarks.variants import VARIANTS

RECIPE = Path(__file__).parents[2] / "weights" / "bandset-aligned.toml"


def recipes(steps: int) -> dict[str, Recipe]:
    """All that are trained, by name."""
    read = read_recipe(RECIPE)
    schedule = replace(read.schedule, steps=steps, warm_up=min(300, steps // 4), validate_every=10**9)
    whole = replace(read, schedule=schedule)
    real = tuple(source for source in read.sources if source.kind != "simulated")
    made = tuple(source for source in read.sources if source.kind == "simulated")
    pairs = tuple(source for source in read.sources if source.kind != "truth")
    fitting = replace(read.degradation, misfit=0.0, shift=0.0)
    taught = Distillation(weights="bandset-large", initialise=False, distance="l1", output=1.0)
    runs = {f"whole-{seed}": replace(whole, seed=seed) for seed in (1, 2, 3)}
    runs |= {
        "no-simulated": replace(whole, sources=real),
        "no-real": replace(whole, sources=made),
        "no-aerial": replace(whole, sources=pairs),
        "no-misfit": replace(whole, degradation=fitting),
        "no-rounds": replace(whole, back_projections=0),
        "one-round": replace(whole, back_projections=1),
        # In bfloat16 torch 2.13's CPU convolution gives it gradients that are NaN.
        "joint": replace(whole, network="gcpnet", precision="float32"),
        **{name.removeprefix("bandset-"): replace(whole, network=name) for name in VARIANTS},
        "large": replace(whole, network="bandset-large"),
        "distilled": replace(whole, distillation=taught),
    }
    return {name: replace(run, name=name) for name, run in runs.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--runs", default="", help="names, separated by commas; all where it is empty")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="of training; then stop, saved")
    asked = parser.parse_args(arguments)
    NETWORKS.update(VARIANTS)
    chosen = recipes(asked.steps)
    if asked.runs:
        chosen = {name: chosen[name] for name in asked.runs.split(",")}
    deadline = time.monotonic() + 60 * asked.max_minutes
    if train_all(chosen, asked.data, asked.out, Terms(), deadline):
        _print_table(chosen, asked.data, asked.out)
    else:
        print("time is up; the same command goes on", flush=True)


def _print_table(recipes: dict[str, Recipe], data: Path, out: Path) -> None:
    cases = load_cases(read_recipe(RECIPE).validation, data)
    groups = list(dict.fromkeys(case.group for case in cases))
    titles = ["run", "parameters", "minutes", *(f"{group}: PSNR / SAM / ERGAS / Q2n" for group in groups)]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")
    for name in BASELINES:
        _print_row(name, "", "", [cell(found) for found in measure(METHODS[name], cases).values()])
    for name, recipe in recipes.items():
        method = NetworkMethod.load(out / name / f"{name}.safetensors", torch.device("cpu"))
        progress = finished(recipe, out / name)
        minutes = "" if progress is None else f"{progress.seconds / 60:.0f}"
        figures = [cell(found) for found in measure(with_rounds(method, None), cases).values()]
        _print_row(name, f"{count_parameters(method.network):,}", minutes, figures)


def _print_row(*cells: str | list[str]) -> None:
    flat = [text for part in cells for text in ([part] if isinstance(part, str) else part)]
    print(f"| {' | '.join(flat)} |", flush=True)


if __name__ == "__main__":
    main()
