"""What each part of bandset and of its training brings: the same small budget with and without it; a table.

    python -m tests.benchmarks.ablation --data DATA --out runs/ablation [--steps 1000] [--runs whole,no-truth]
        [--max-minutes 60]

The recipe is weights/bandset-aligned.toml from random weights, with fewer steps; ``whole`` is trained with
three seeds, whose spread says what a difference is worth. What was trained is kept in --out: a run that was
stopped goes on there. Figures are of the validation scenes and of the last step, nothing is chosen by them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pancli.device import CPU
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.methods.registry import METHODS
from pancli.networks.costs import count_parameters
from pancli.networks.registry import NETWORKS
from pancli.training.loop import BASELINES
from pancli.training.reading import read_recipe
from pancli.training.recipe import Distillation, Recipe
from pancli.training.run import Terms
from pancli.training.validation import load_cases
from tests.benchmarks.networks import choose, minutes, options, print_head, print_row, train_all
from tests.benchmarks.variants import VARIANTS

RECIPE = Path(__file__).parents[2] / "weights" / "bandset-aligned.toml"


def recipes(steps: int, out: Path) -> dict[str, Recipe]:
    """All that are trained, by name; what the larger one among them came to teaches the last."""
    read = read_recipe(RECIPE)
    schedule = replace(read.schedule, steps=steps, warm_up=min(300, steps // 4), validate_every=10**9)
    whole = replace(read, schedule=schedule)
    real = tuple(source for source in read.sources if source.kind != "simulated")
    made = tuple(source for source in read.sources if source.kind == "simulated")
    pairs = tuple(source for source in read.sources if source.kind != "truth")
    fitting = replace(read.degradation, misfit=0.0, shift=0.0)
    teacher = out.resolve() / "large" / "large.safetensors"
    taught = Distillation(weights=f"{teacher}", initialise=False, distance="l1", output=1.0)
    runs = {f"whole-{seed}": replace(whole, seed=seed) for seed in (1, 2, 3)}
    runs |= {
        "no-simulated": replace(whole, sources=real),
        "no-real": replace(whole, sources=made),
        "no-aerial": replace(whole, sources=pairs),
        "no-misfit": replace(whole, degradation=fitting),
        "no-rounds": replace(whole, back_projections=0),
        "one-round": replace(whole, back_projections=1),
        # As it was measured: in bfloat16 its gradients on CPUs were NaN then.
        "joint": replace(whole, network="gcpnet", precision="float32"),
        **{name.removeprefix("bandset-"): replace(whole, network=name) for name in VARIANTS},
        "large": replace(whole, network="bandset-large"),
        "distilled": replace(whole, distillation=taught),
    }
    return {name: replace(run, name=name) for name, run in runs.items()}


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print."""
    asked = options(__doc__, "--runs", 1000).parse_args(arguments)
    NETWORKS.update(VARIANTS)
    chosen = choose(recipes(asked.steps, asked.out), asked.runs)
    if train_all(chosen, asked, Terms()):
        _print_table(chosen, asked.data, asked.out)


def _print_table(recipes: dict[str, Recipe], data: Path, out: Path) -> None:
    cases = load_cases(read_recipe(RECIPE).validation, data)
    print_head(("run", "parameters", "minutes"), cases)
    for name in BASELINES:
        print_row((name, "", ""), METHODS[name], cases)
    for name, recipe in recipes.items():
        method = NetworkMethod.load(out / name / f"{name}.safetensors", CPU)
        told = name, f"{count_parameters(method.network):,}", minutes(recipe, out / name)
        print_row(told, with_rounds(method, None), cases)


if __name__ == "__main__":
    main()
