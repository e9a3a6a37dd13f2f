"""Every network trained on the same small budget and measured on the same scenes; prints a Markdown table.

    python -m tests.benchmarks.networks --data DATA --out runs/networks [--steps 300] [--networks pnn,gcpnet]
        [--device cuda] [--workers 12] [--max-minutes 7]

Each step is four patches of 64 x 64 pixels, or one of 128 x 128 for networks that see windows of that size:
the same pixels. GCPNet comes three times: alone, alone with twice the steps, and as the student of a teacher
that took as many steps as the student does. What was trained is kept in --out: a run that was stopped goes
on there, and prints the table once all are trained. Networks are trained and timed on --device. Figures are
of the CPU. Speeds are of one scene at the second try, one network after the other, after all training.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch

from pancli.device import CPU, find_device
from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import Method
from pancli.methods.registry import METHODS
from pancli.networks.costs import count_parameters, macs_per_pixel
from pancli.networks.registry import NETWORKS
from pancli.scene import TiledScene, fuse_scene
from pancli.training.checkpoint import Progress, read_progress
from pancli.training.loop import BASELINES, train
from pancli.training.ranks import Ranks
from pancli.training.reading import read_recipe
from pancli.training.recipe import Distillation, Loss, Recipe, Teacher
from pancli.training.run import CHECKPOINT, Terms
from pancli.training.validation import Case, Figures, load_cases, measure

TEMPLATE = Path(__file__).parent / "recipes" / "networks.toml"
_HEAD = ("network", "parameters", "kMAC/pixel", "minutes")


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


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, measure, print."""
    parser = options(__doc__, "--networks", 300)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--workers", type=int, help="processes that make batches")
    asked = parser.parse_args(arguments)
    device = find_device(asked.device)
    chosen = choose(recipes(asked.steps), asked.networks)
    if train_all(chosen, asked, Terms(Ranks(device=device), workers=asked.workers)):
        _print_table(chosen, asked.data, asked.out, device)


def options(doc: str, names: str, steps: int) -> argparse.ArgumentParser:
    """What every comparison of trained networks can be asked; ``names`` is the option that chooses some."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument(names, default="", help="names, separated by commas; all where it is empty")
    parser.add_argument("--max-minutes", type=float, default=math.inf, help="of training; then stop, saved")
    return parser


def choose(recipes: dict[str, Recipe], names: str) -> dict[str, Recipe]:
    """Those that are named; all where none is."""
    return {name: recipes[name] for name in names.split(",")} if names else recipes


def train_all(recipes: Mapping[str, Recipe], asked: argparse.Namespace, terms: Terms) -> bool:
    """Train what is not trained yet; false, and said, where the time was up before that."""
    deadline = time.monotonic() + 60 * asked.max_minutes
    for name, recipe in recipes.items():
        folder = asked.out / name
        if finished(recipe, folder) is None:
            left = (deadline - time.monotonic()) / 60
            if left <= 0 or not train(recipe, asked.data, folder, replace(terms, max_minutes=left)).done:
                print("time is up; the same command goes on", flush=True)
                return False
            print(f"<!-- {name}: trained -->", flush=True)
    return True


def finished(recipe: Recipe, folder: Path) -> Progress | None:
    """Where a run ended; None where it has not."""
    if not (folder / CHECKPOINT).exists():
        return None
    progress = read_progress(folder / CHECKPOINT)
    end = recipe.sha256, "student", recipe.schedule.steps
    return progress if (progress.recipe_sha256, progress.stage, progress.step) == end else None


def _print_table(recipes: Mapping[str, Recipe], data: Path, out: Path, device: torch.device) -> None:
    cases = load_cases(read_recipe(TEMPLATE).validation, data)
    print_head((*_HEAD, f"MPix/s, {device.type}"), cases)
    scene = replace(cases[0].scene, device=device)
    for name in BASELINES:
        method = METHODS[name]
        print_row((name, "", "", "", f"{_speed(method, scene):.3f}"), method, cases)
    for name, recipe in recipes.items():
        weights = out / name / f"{name}.safetensors"
        method = NetworkMethod.load(weights, CPU)
        told = (
            name,
            f"{count_parameters(method.network):,}",
            f"{macs_per_pixel(NETWORKS[recipe.network]) / 1e3:.0f}",
            minutes(recipe, out / name),
            f"{_speed(NetworkMethod.load(weights, device), scene):.3f}",
        )
        print_row(told, method, cases)


def minutes(recipe: Recipe, folder: Path) -> str:
    """How long a run took, for a table."""
    progress = finished(recipe, folder)
    return "" if progress is None else f"{progress.seconds / 60:.0f}"


def print_head(told: Sequence[str], cases: list[Case]) -> None:
    """The head of a table whose rows :func:`print_row` prints."""
    groups = dict.fromkeys(case.group for case in cases)
    titles = [*told, *(f"{group}: PSNR / SAM / ERGAS / Q2n" for group in groups)]
    print(f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}")


def print_row(told: Sequence[str], method: Method, cases: list[Case]) -> None:
    """What a method is, and what it reaches."""
    cells = [*told, *map(cell, measure(method, cases).values())]
    print(f"| {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def _speed(method: Method, scene: TiledScene) -> float:
    """Megapixels per second, once the device is warm."""
    for _ in range(2):
        start = time.perf_counter()
        fuse_scene(method, scene, method.fit(scene))
        seconds = time.perf_counter() - start
    return scene.area.size / 1e6 / seconds


def cell(found: Figures) -> str:
    return f"{found.psnr:.2f} / {found.sam:.2f} / {found.ergas:.2f} / {found.q2n:.3f}"


if __name__ == "__main__":
    main()
