"""The stages of a run: what each trains, by which optimisers, against what.

A recipe without a teacher has one stage, "student". With one it has two: "teacher", whose weights are then
frozen in teacher.safetensors, and "student", which starts from them and imitates what flows through them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pancli.errors import RecipeError, TrainingError
from pancli.networks.protocol import Inputs, Network
from pancli.networks.registry import find_network
from pancli.training.checkpoint import Part, load_tensors, save_tensors
from pancli.training.initial import Initial
from pancli.training.losses import distance, supervised_terms, weighted_error
from pancli.training.patches import Batch
from pancli.training.recipe import Distillation, Loss, Optimiser, Recipe, Schedule
from pancli.training.recipe import Teacher as TeacherPlan
from pancli.training.teachers import Teacher, make_teacher

Terms = dict[str, Tensor]
"""The weighted terms of a loss, by name; the loss is their sum."""

Objective = Callable[[Batch, float], Terms]
"""What is made small of a batch, given how much of the stage is done, 0 to 1."""


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: "teacher" or "student".
        schedule: How long and how fast.
        parts: What is trained, by name.
        objective: Against what.
        networks: What is validated and exported, by the stem of its file; nothing of a teacher.
    """

    name: str
    schedule: Schedule
    parts: dict[str, Part] = field(repr=False)
    objective: Objective = field(repr=False)
    networks: dict[str, Network] = field(repr=False, default_factory=dict)


def stage_names(recipe: Recipe) -> tuple[str, ...]:
    """The stages of a recipe, in order."""
    return ("student",) if recipe.teacher is None else ("teacher", "student")


@dataclass(frozen=True)
class Workshop:
    """Makes the stages of a run.

    Attributes:
        recipe: The run.
        device: Where to compute.
        folder: Holds what a stage leaves for the next.
        initial: Weights to begin from; None for random ones.
    """

    recipe: Recipe
    device: torch.device
    folder: Path
    initial: Initial | None = field(repr=False, default=None)

    def stage(self, name: str) -> Stage:
        """A stage at its beginning.

        Raises:
            RecipeError: The network has no such teacher, or too few features.
            TrainingError: The teacher's file is damaged.
        """
        torch.manual_seed(self.recipe.seed)
        network = self._network()
        if self.recipe.teacher is None or self.recipe.distillation is None:
            return self._plain(network)
        if name == "teacher":
            return self._teacher(network, self.recipe.teacher)
        return self._distilled(network, self.recipe.teacher, self.recipe.distillation)

    def finish(self, stage: Stage) -> None:
        """Leave what the next stage needs."""
        if stage.name == "teacher":
            weights = stage.parts["teacher"].module.state_dict()
            save_tensors(self._teacher_file, weights, {"recipe_sha256": self.recipe.sha256})

    @property
    def _teacher_file(self) -> Path:
        return self.folder / "teacher.safetensors"

    def _network(self) -> Network:
        kind = find_network(self.recipe.network)
        if self.initial is not None:
            network = kind(self.recipe.bands, self.initial.nominal_pixels)
            network.load_state_dict(self.initial.tensors)
            return network
        network = kind(self.recipe.bands, self.recipe.schedule.patch**2)
        network.start_near_interpolation()
        return network

    def _plain(self, network: Network) -> Stage:
        self._place(network)
        objective = Supervised(network, self.recipe.loss, self.recipe.precision)
        return self._student(network, network, objective)

    def _teacher(self, network: Network, plan: TeacherPlan) -> Stage:
        teacher = make_teacher(plan, network)
        self._place(teacher)
        part = Part(teacher, make_optimiser(teacher, plan.optimiser, plan.schedule))
        objective = Teaching(teacher, plan.loss, plan.constraint, self.recipe.precision)
        return Stage("teacher", plan.schedule, {"teacher": part}, objective)

    def _distilled(self, network: Network, plan: TeacherPlan, distillation: Distillation) -> Stage:
        teacher = make_teacher(plan, self._network())
        try:
            teacher.load_state_dict(load_tensors(self._teacher_file))
        except (SafetensorError, OSError, RuntimeError) as error:
            raise TrainingError(
                f"{self._teacher_file}: cannot be taught by ({error}); use --fresh to start again"
            ) from error
        teacher.requires_grad_(requires_grad=False).eval()
        if distillation.initialise:
            teacher.initialise(network)
        trained: nn.Module = network
        adapters: nn.ModuleList | None = None
        if distillation.features:
            widths = feature_widths(network, self.recipe.schedule.patch, distillation.features)
            if distillation.adapters:
                adapters = nn.ModuleList(map(_adapter, widths))
                trained = nn.ModuleDict({"network": network, "adapters": adapters})
        for module in (teacher, trained):
            self._place(module)
        supervised = Supervised(network, self.recipe.loss, self.recipe.precision)
        return self._student(network, trained, Distilled(supervised, teacher, distillation, adapters))

    def _student(self, network: Network, trained: nn.Module, objective: Objective) -> Stage:
        schedule = self.recipe.schedule
        part = Part(trained, make_optimiser(trained, self.recipe.optimiser, schedule))
        return Stage("student", schedule, {"student": part}, objective, {self.recipe.name: network})

    def _place(self, module: nn.Module) -> None:
        module.to(self.device)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def make_optimiser(module: nn.Module, plan: Optimiser, schedule: Schedule) -> torch.optim.Optimizer:
    """An optimiser of all parameters of a module."""
    rate, decay = schedule.learning_rate, schedule.weight_decay
    if plan.kind == "sgd":
        return torch.optim.SGD(module.parameters(), rate, momentum=plan.momentum, weight_decay=decay)
    kind = torch.optim.AdamW if plan.kind == "adamw" else torch.optim.Adam
    return kind(module.parameters(), rate, betas=plan.betas, weight_decay=decay)


@torch.no_grad()
def feature_widths(network: Network, side: int, weights: tuple[float, ...]) -> list[int]:
    """Channels of the features that are imitated: as many as there are weights.

    Raises:
        RecipeError: The network has fewer features.
    """
    ratio = network.TRAITS.ratio
    coarse = None if ratio is None else torch.zeros(1, network.bands, side // ratio, side // ratio)
    inputs = Inputs(torch.zeros(1, network.bands, side, side), torch.zeros(1, 1, side, side), coarse)
    widths = [feature.shape[1] for feature in network.eval()(inputs).features]
    if len(weights) > len(widths):
        raise RecipeError(
            f"distillation.features has {len(weights)} weights, but this network has {len(widths)} features "
            "to imitate"
        )
    return widths[: len(weights)]


def _adapter(width: int) -> nn.Conv2d:
    """A 1 x 1 convolution that changes nothing at first."""
    adapter = nn.Conv2d(width, width, 1)
    nn.init.dirac_(adapter.weight)
    nn.init.zeros_(adapter.bias)  # type: ignore[arg-type]
    return adapter


def _autocast(batch: Batch, precision: str) -> torch.autocast:
    return torch.autocast(batch.target.device.type, torch.bfloat16, enabled=precision == "bfloat16")


@dataclass(frozen=True)
class Supervised:
    """The truth alone."""

    network: Network
    loss: Loss
    precision: str

    def run(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The fused image, float32, and the features."""
        with _autocast(batch, self.precision):
            outcome = self.network(batch.inputs)
        return outcome.residual.float() + batch.inputs.bms, outcome.features

    def __call__(self, batch: Batch, at: float) -> Terms:
        """See :data:`Objective`."""
        return supervised_terms(self.loss, self.run(batch)[0], batch)


@dataclass(frozen=True)
class Teaching:
    """The truth, which the teacher is shown, and what holds its code."""

    teacher: Teacher
    loss: Loss
    constraint: float
    precision: str

    def __call__(self, batch: Batch, at: float) -> Terms:
        """See :data:`Objective`."""
        with _autocast(batch, self.precision):
            taught = self.teacher(batch)
        terms = supervised_terms(self.loss, taught.fused, batch)
        return {**terms, "constraint": self.constraint * taught.constraint}


@dataclass(frozen=True)
class Distilled:
    """The truth, and what a frozen teacher makes of it."""

    supervised: Supervised
    teacher: Teacher
    distillation: Distillation
    adapters: nn.ModuleList | None

    def __call__(self, batch: Batch, at: float) -> Terms:
        """See :data:`Objective`."""
        fused, features = self.supervised.run(batch)
        terms = supervised_terms(self.supervised.loss, fused, batch)
        plan, left = self.distillation, weight_left(self.distillation.decay, at)
        if left == 0 or not (plan.features or plan.output):
            return terms
        with torch.no_grad(), _autocast(batch, self.supervised.precision):
            taught = self.teacher(batch)
        reduction = self.supervised.loss.reduction
        if plan.output:
            apart = weighted_error(fused, batch._replace(target=taught.fused.float()))
            terms["output"] = left * plan.output * distance(plan.distance, apart, reduction)
        pairs = zip(plan.features, self._adapted(features), taught.features, strict=False)
        for number, (weight, own, theirs) in enumerate(pairs):
            apart = own.float() - theirs.float()
            terms[f"feature {number}"] = left * weight * distance(plan.distance, apart, reduction)
        return terms

    def _adapted(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.adapters is None:
            return features
        pairs = zip(self.adapters, features, strict=False)
        return tuple(adapter(feature.float()) for adapter, feature in pairs)


def weight_left(decay: float, at: float) -> float:
    """What is left of a weight: all of it, then a straight fall to zero over the last part of a run.

    Args:
        decay: That part, 0 to 1.
        at: How much of the run is done, 0 to 1.
    """
    return 1.0 if decay == 0 else min(1.0, (1.0 - at) / decay)
