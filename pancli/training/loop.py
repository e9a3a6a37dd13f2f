"""The run: step after step, saved every few minutes, measured now and then, best weights exported."""

from __future__ import annotations

import csv
import datetime
import math
import platform
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from torch import nn

from pancli.errors import RecipeError, TrainingError
from pancli.methods.network import STATISTIC_TILES, NetworkMethod, to_channels_last
from pancli.methods.registry import METHODS
from pancli.networks.protocol import Network, Traits
from pancli.networks.registry import find_network
from pancli.networks.weights import Card, save_weights
from pancli.training.checkpoint import Progress, load_checkpoint, save_checkpoint
from pancli.training.patches import Batch, Sampler
from pancli.training.recipe import Recipe
from pancli.training.validation import Case, Figures, load_cases, measure, score

BASELINES = ("exp", "gsa", "mtf-glp-hpm")
_RATIO_SLACK = 0.1  # of a ratio: beyond those trained on, this far is still taken

StepCallback = Callable[[int, int, float], None]
"""Called with steps done, steps in all, and the loss."""


@dataclass
class Run:
    """A training run and where it is.

    Attributes:
        recipe: What to do.
        folder: Where checkpoint, metrics and weights go.
        device: Where to compute.
        network: What is trained.
        optimizer: With its state.
        progress: Where it is.
        cases: What it is measured on.
        baselines: What classical methods reach on them.
    """

    recipe: Recipe
    folder: Path
    device: torch.device
    network: Network
    optimizer: torch.optim.Optimizer
    progress: Progress
    cases: list[Case] = field(repr=False)
    baselines: dict[str, dict[str, Figures]] = field(repr=False, default_factory=dict)

    @property
    def checkpoint(self) -> Path:
        """Where the run is saved."""
        return self.folder / "checkpoint.safetensors"

    @property
    def weights(self) -> Path:
        """The best weights so far."""
        return self.folder / f"{self.recipe.name}.safetensors"


@dataclass(frozen=True)
class Terms:
    """How a run is carried out, which changes nothing of what it learns.

    Attributes:
        device: Where to compute.
        fresh: Start again even where a checkpoint is.
        max_minutes: Stop, saved, after so long; None for never.
        workers: Threads that make batches ahead; None for the recipe's ``prefetch``.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    fresh: bool = False
    max_minutes: float | None = None
    workers: int | None = None


def train(
    recipe: Recipe,
    data: Path,
    folder: Path,
    terms: Terms | None = None,
    on_step: StepCallback | None = None,
) -> Run:
    """Train, or go on training, until the recipe's steps are done or the time is up.

    Args:
        recipe: What to do.
        data: Folder that the recipe's folders are relative to.
        folder: Where checkpoint.safetensors, metrics.csv and NAME.safetensors go; made if missing.
        terms: Device, time, whether to start again.
        on_step: Called after every step.

    Raises:
        RecipeError: The data are missing, or the checkpoint is of another recipe.
        TrainingError: The loss is not a number, or the checkpoint is damaged; what was saved stays.
    """
    if recipe.schedule.threads:
        torch.set_num_threads(recipe.schedule.threads)
    sampler = Sampler.load(recipe, data)
    terms = terms or Terms()
    run = _start(recipe, data, folder, terms.device, fresh=terms.fresh)
    deadline = math.inf if terms.max_minutes is None else time.monotonic() + 60 * terms.max_minutes
    saved = started = time.monotonic()
    before = run.progress.seconds
    ahead = max(recipe.schedule.prefetch if terms.workers is None else terms.workers, 1)
    for step, batch in _batches(sampler, range(run.progress.step, recipe.schedule.steps), ahead):
        loss = _step(run, step, batch)
        spent = before + time.monotonic() - started
        run.progress = replace(run.progress, step=step + 1, seconds=spent)
        if on_step is not None:
            on_step(step + 1, recipe.schedule.steps, loss)
        last = step + 1 == recipe.schedule.steps
        stopping = last or time.monotonic() > deadline
        if stopping or (step + 1) % recipe.schedule.validate_every == 0:
            _validate(run, loss)
        if stopping or time.monotonic() - saved > 60 * recipe.schedule.checkpoint_minutes:
            save_checkpoint(run.checkpoint, run.network, run.optimizer, run.progress)
            saved = time.monotonic()
        if stopping:
            break
    return run


def _start(recipe: Recipe, data: Path, folder: Path, device: torch.device, *, fresh: bool) -> Run:
    torch.manual_seed(recipe.seed)
    schedule = recipe.schedule
    network = find_network(recipe.network)(recipe.bands, schedule.patch**2)
    network.start_near_interpolation()
    network = to_channels_last(network, device)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(
            f"cannot make the folder {folder}: {error.strerror}; give another --out"
        ) from error
    cases = load_cases(recipe.validation, data)
    run = Run(recipe, folder, device, network, optimizer, Progress(0, recipe.sha256), cases)
    if not fresh and run.checkpoint.exists():
        run.progress = load_checkpoint(run.checkpoint, network, optimizer)
        if run.progress.recipe_sha256 != recipe.sha256:
            raise RecipeError(f"{run.checkpoint} is of another recipe; use --fresh, or another --out")
    _trim_notes(run)
    run.baselines = {name: measure(METHODS[name], cases) for name in BASELINES} if cases else {}
    return run


def _batches(sampler: Sampler, steps: range, ahead: int) -> Iterator[tuple[int, Batch]]:
    """The batches of these steps, in order, ``ahead`` of them being made at a time, each in a thread."""
    with ThreadPoolExecutor(ahead, thread_name_prefix="pancli-batch") as pool:
        waiting: list[Future[Batch]] = []
        for step in steps:
            while len(waiting) <= ahead and step + len(waiting) < steps.stop:
                waiting.append(pool.submit(sampler.batch, step + len(waiting)))
            yield step, waiting.pop(0).result()


def _step(run: Run, step: int, batch: Batch) -> float:
    """One optimiser step; returns the loss, in standard deviations of a band."""
    schedule = run.recipe.schedule
    settled = step >= schedule.settle * schedule.steps
    _set_mode(run.network, settled=settled)
    for group in run.optimizer.param_groups:
        group["lr"] = schedule.learning_rate * 0.5 * (1 + math.cos(math.pi * step / schedule.steps))
    batch = batch.to(run.device)
    fused = run.network(batch.inputs).residual + batch.inputs.bms
    loss = ((fused - batch.target) * batch.weight).abs().mean()
    value: float = loss.item()
    if not math.isfinite(value):
        raise TrainingError(
            f"the loss of step {step} is {value}; the last checkpoint is kept in {run.folder}. "
            "Lower schedule.learning_rate or schedule.clip"
        )
    run.optimizer.zero_grad(set_to_none=True)
    loss.backward()
    nn.utils.clip_grad_norm_(run.network.parameters(), schedule.clip)
    run.optimizer.step()
    return value


def _set_mode(network: Network, *, settled: bool) -> None:
    """Training mode; once settled, normalisation uses the statistics that inference will use."""
    network.train()
    if settled:
        for module in network.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.eval()


def _validate(run: Run, loss: float) -> None:
    """Measure, note it in metrics.csv, and export where it is the best so far."""
    if not run.cases:
        _export(run, {})
        return
    network = find_network(run.recipe.network)(run.recipe.bands, run.network.nominal_pixels)
    network.load_state_dict(run.network.state_dict())
    card = _card(run, {})
    figures = measure(NetworkMethod(network.eval(), card), run.cases)
    reached = score(figures)
    _note(run, loss, figures)
    if run.progress.best is None or reached > run.progress.best:
        run.progress = replace(run.progress, best=reached)
        _export(run, figures)


def _note(run: Run, loss: float, figures: dict[str, Figures]) -> None:
    path = run.folder / "metrics.csv"
    row = {"step": run.progress.step, "seconds": round(run.progress.seconds, 1), "loss": round(loss, 6)}
    for group, found in figures.items():
        for name in ("psnr", "sam", "ergas"):
            row[f"{group} {name}"] = round(getattr(found, name), 4)
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, row)
        if new:
            writer.writeheader()
        writer.writerow(row)


def _trim_notes(run: Run) -> None:
    """Drop what metrics.csv says of steps that a resumed run takes again."""
    path = run.folder / "metrics.csv"
    if path.exists():
        head, *rows = path.read_text().splitlines(keepends=True)
        kept = [row for row in rows if int(row.split(",")[0]) <= run.progress.step]
        path.write_text("".join([head, *kept]))


def _export(run: Run, figures: dict[str, Figures]) -> None:
    save_weights(run.network, _card(run, figures), run.weights)


def _card(run: Run, figures: dict[str, Figures]) -> Card:
    recipe, schedule = run.recipe, run.recipe.schedule
    ratios = recipe.degradation.ratios
    measured: dict[str, dict[str, float]] = {}
    for name, found in {**run.baselines, recipe.name: figures}.items():
        for group, values in found.items():
            for metric, unit in (("psnr", "PSNR dB"), ("sam", "SAM degrees"), ("ergas", "ERGAS")):
                entry = measured.setdefault(f"{group}, {unit}", {})
                entry[name] = round(getattr(values, metric), 3)
    kind = "CUDA" if run.device.type == "cuda" else f"CPU ({platform.machine()})"
    return Card(
        name=recipe.name,
        network=recipe.network,
        version=recipe.version,
        bands=recipe.bands,
        ratios=(round(min(ratios) - _RATIO_SLACK, 3), round(max(ratios) + _RATIO_SLACK, 3)),
        nominal_pixels=run.network.nominal_pixels,
        parameters=sum(p.numel() for p in run.network.parameters()),
        normalisation="detail units of the scene, so any dynamic range: band = (ms - mean) / (r std) with r "
        "its correlation with pan on the ms grid, pan = (pan - mean) / std",
        groups=f"{recipe.bands} at a time in order, the last group takes the last {recipe.bands}; fewer "
        "are repeated; inside a group by falling correlation with pan",
        statistics=_statistics(run.network.TRAITS),
        paper=run.network.TRAITS.paper,
        reconstruction=run.network.TRAITS.reconstruction,
        data=recipe.data,
        recipe_sha256=recipe.sha256,
        budget=f"{run.progress.step} of {schedule.steps} steps of {schedule.regions * schedule.patches} "
        f"patches of {schedule.patch} pixels, {run.progress.seconds / 60:.0f} minutes, {kind}",
        date=datetime.datetime.now(datetime.UTC).date().isoformat(),
        figures=measured,
        limits=recipe.limits,
    )


def _statistics(traits: Traits) -> str:
    units = "units over all valid ms pixels"
    if traits.window is not None:
        return f"{units}; of each window of {traits.window} pixels, blended half a window apart"
    if traits.stages:
        return f"{units}; {len(traits.stages)} stages over at most {STATISTIC_TILES} tiles"
    return f"{units}; nothing else is global"
