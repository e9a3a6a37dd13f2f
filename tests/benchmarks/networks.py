"""Every network trained on the same small budget and measured on the same scenes; prints a Markdown table.

    python -m tests.benchmarks.networks --data DATA --out runs/networks [--steps 300] [--networks pnn,gcpnet]

Each step is four patches of 64 x 64 pixels, or one of 128 x 128 for networks that see windows of that size:
the same pixels. GCPNet comes three times: alone, alone with twice the steps, and as the student of a teacher
that took as many steps as the student does. What was trained is kept in --out: a run that was stopped goes
on there. Speeds are of one scene, one network after the other, after all training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import torch

from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import Method
from pancli.methods.registry import METHODS
from pancli.networks.costs import count_parameters, macs_per_pixel
from pancli.networks.registry import NETWORKS
from pancli.scene import TiledScene, fuse_scene
from pancli.training.loop import BASELINES, train
from pancli.training.reading import read_recipe
from pancli.training.recipe import Distillation, Loss, Recipe, Teacher
from pancli.training.validation import Case, Figures, load_cases, measure

TEMPLATE = Path(__file__).parent / "recipes" / "networks.toml"
_HEAD = ("network", "parameters", "kMAC/pixel", "minutes", "MPix/s")


def plan(network: str, steps: int) -> Recipe:
    """The recipe of one network."""
    recipe = read_recipe(TEMPLATE)
    schedule = replace(recipe.schedule, steps=steps)
    window = NETWORKS[network].TRAITS.window
    if window is not None:
        schedule = replace(schedule, regions=1, patches=1, patch=window)
    return replace(recipe, name=network, network=network, schedule=schedule)


def distilled(recipe: Recipe) -> Recipe:
    """GCPNet as the student of a teacher; weights of terms as in its paper, but for means instead of sums.

    With sums over a patch, the paper's 1e-4 for the code and 1e-6 for the feature; errors are means here,
    and so are distances, which leaves the ratio of the terms.
    """
    teacher = Teacher("encoder", recipe.schedule, recipe.optimiser, Loss(l1=1.0), constraint=1e-4)
    student = Distillation(initialise=True, distance="mse", features=(1e-3,))
    return replace(recipe, name="gcpnet-distilled", teacher=teacher, distillation=student)


def recipes(steps: int) -> dict[str, Recipe]:
    """All that are trained, by name."""
    made = {name: plan(name, steps) for name in NETWORKS}
    twice = plan("gcpnet", 2 * steps)
    return made | {
        "gcpnet-twice": replace(twice, name="gcpnet-twice"),
        "gcpnet-distilled": distilled(plan("gcpnet", steps)),
    }


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--networks", default="")
    asked = parser.parse_args()
    chosen = recipes(asked.steps)
    if asked.networks:
        chosen = {name: chosen[name] for name in asked.networks.split(",")}
    minutes = {name: _train(recipe, asked.data, asked.out / name) for name, recipe in chosen.items()}
    cases = load_cases(read_recipe(TEMPLATE).validation, asked.data)
    _print_head(cases)
    for name in BASELINES:
        _print_row((name, "", "", ""), METHODS[name], cases)
    for name, recipe in chosen.items():
        method = NetworkMethod.load(asked.out / name / f"{name}.safetensors", torch.device("cpu"))
        kind = NETWORKS[recipe.network]
        told = (
            name,
            f"{count_parameters(method.network):,}",
            f"{macs_per_pixel(kind) / 1e3:.0f}",
            f"{minutes[name]:.0f}",
        )
        _print_row(told, method, cases)


def _train(recipe: Recipe, data: Path, folder: Path) -> float:
    """Minutes of training, those before a stop included."""
    run = train(recipe, data, folder)
    print(f"<!-- {recipe.name}: {run.progress.seconds / 60:.1f} minutes -->", flush=True)
    return run.progress.seconds / 60


def _print_head(cases: list[Case]) -> None:
    groups = list(dict.fromkeys(case.group for case in cases))
    titles = [*_HEAD, *(f"{group}: PSNR / SAM / ERGAS / Q2n" for group in groups)]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")


def _print_row(told: tuple[str, ...], method: Method, cases: list[Case]) -> None:
    figures = measure(method, cases)
    with torch.inference_mode():
        seconds = _seconds(lambda: _fuse(method, cases[0].scene))
    pixels = cases[0].scene.area.size / 1e6
    cells = [*told, f"{pixels / seconds:.3f}", *(_cell(found) for found in figures.values())]
    print(f"| {' | '.join(cells)} |", flush=True)


def _fuse(method: Method, scene: TiledScene) -> None:
    fuse_scene(method, scene, method.fit(scene))


def _seconds(work: Callable[[], None]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _cell(found: Figures) -> str:
    return f"{found.psnr:.2f} / {found.sam:.2f} / {found.ergas:.2f} / {found.q2n:.3f}"


if __name__ == "__main__":
    main()
