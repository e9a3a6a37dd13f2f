"""The stages of a run: what each trains, by which optimisers, against what.

A recipe without a teacher has one stage, "student". With one it has two: "teacher", whose weights are then
frozen in teacher.safetensors, and "student", which starts from them and imitates what flows through them.
In mutual learning the one stage trains two networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from pancli.errors import RecipeError, TrainingError
from pancli.networks.protocol import Network, Traits, blank_inputs
from pancli.networks.registry import find_network
from pancli.networks.weights import load_weights, save_tensors
from pancli.training.checkpoint import Part
from pancli.training.initial import Initial, named_weights
from pancli.training.losses import least_patch
from pancli.training.objectives import Distilled, Given, Mutually, Objective, Supervised, Teaching
from pancli.training.recipe import Distillation, Mutual, Optimiser, Recipe, Schedule
from pancli.training.recipe import Teacher as TeacherPlan
from pancli.training.teachers import Teacher, make_teacher


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes:
        name: "teacher" or "student".
        schedule: How long and how fast.
        parts: What is trained, by name.
        objective: Against what.
        networks: What is validated and exported, by the stem of its file; nothing of a teacher.
        first: The weights they began with, for recipes that keep a share of them.
        averages: Of their weights over the steps so far, for recipes that ask for them.
    """

    name: str
    schedule: Schedule
    parts: dict[str, Part] = field(repr=False)
    objective: Objective = field(repr=False)
    networks: dict[str, Network] = field(repr=False, default_factory=dict)
    first: dict[str, dict[str, Tensor]] = field(repr=False, default_factory=dict)
    averages: dict[str, AveragedModel] = field(repr=False, default_factory=dict)

    def released(self, name: str, kept: float) -> Network:
        """A copy on the CPU of what is validated and exported: as trained, a share of the first kept.

        Of weights that were averaged, the average.
        """
        network = self.networks[name]
        source = self.averages[name].module if name in self.averages else network
        state = {key: tensor.cpu() for key, tensor in source.state_dict().items()}
        for key, tensor in self.first.get(name, {}).items():
            if tensor.is_floating_point():
                state[key] = torch.lerp(state[key], tensor, kept)
        copy = type(network)(network.bands, network.nominal_pixels)
        copy.load_state_dict(state)
        return copy.eval()


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
            RecipeError: The network has no such teacher, too few features, or no ms to be consistent with.
            TrainingError: The teacher's file is damaged.
        """
        if self.recipe.kept and self.initial is None:
            raise RecipeError("kept: there are no weights to keep a share of; give --init")
        torch.manual_seed(self.recipe.seed)
        network = self._network()
        first = {self.recipe.name: _copied(network)} if self.recipe.kept else {}
        stage = self._made(name, network)
        decay = self.recipe.averaged
        averages = {stem: averaged(made, decay) for stem, made in stage.networks.items() if decay}
        return replace(stage, first=first, averages=averages)

    def _made(self, name: str, network: Network) -> Stage:
        if self.recipe.mutual is not None:
            return self._mutual(network, self.recipe.mutual)
        if self.recipe.distillation is None:
            return self._plain(network)
        if self.recipe.teacher is None:
            teacher = self._given(self.recipe.distillation)
            return self._distilled(network, teacher, self.recipe.distillation)
        if name == "teacher":
            # Its student is refused now: another recipe could not use what was trained for this one.
            self._feature_widths(network, self.recipe.distillation)
            return self._teacher(network, self.recipe.teacher)
        trained = self._trained(self.recipe.teacher)
        if self.recipe.distillation.initialise:
            trained.initialise(network)
        return self._distilled(network, trained, self.recipe.distillation)

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
        self._check_consistency(kind.TRAITS)
        if self.initial is not None:
            network = kind(self.recipe.bands, self.initial.nominal_pixels)
            network.start_near_interpolation()
            try:
                network.begin_from(self.initial.tensors)
            except RuntimeError as error:
                raise RecipeError(
                    f"--init: {self.initial.told} does not fit {self.recipe.network}, whose layers are others"
                ) from error
            return network
        network = kind(self.recipe.bands, self.recipe.schedule.patch**2)
        network.start_near_interpolation()
        return network

    def _check_consistency(self, traits: Traits) -> None:
        """Refuse losses that the network's patches cannot tell.

        Raises:
            RecipeError: The network does not see ms at its own resolution, or patches are too small.
        """
        plans = [self.recipe.loss, *([] if self.recipe.teacher is None else [self.recipe.teacher.loss])]
        if not any(plan.ms or plan.pan for plan in plans):
            return
        if traits.ratio is None:
            raise RecipeError(
                f"loss: ms and pan need a network that sees ms at its own resolution, as msinn-refined does; "
                f"{self.recipe.network} does not"
            )
        least, side = least_patch(traits.ratio), self.recipe.schedule.patch
        if side < least:
            raise RecipeError(f"loss: ms and pan need schedule.patch of {least} or more, not {side}")

    def _plain(self, network: Network) -> Stage:
        self._place(network)
        return self._student(network, network, self._supervised(network))

    def _supervised(self, network: Network) -> Supervised:
        recipe = self.recipe
        return Supervised(network, recipe.loss, recipe.precision, recipe.back_projections)

    def _mutual(self, network: Network, plan: Mutual) -> Stage:
        peer = find_network(plan.peer)(self.recipe.bands, network.nominal_pixels)
        peer.start_near_interpolation()
        schedule, parts, learners = self.recipe.schedule, {}, []
        for name, member in (("spectral", network), ("spatial", peer)):
            self._place(member)
            parts[name] = Part(member, make_optimiser(member, self.recipe.optimiser, schedule))
            learners.append(self._supervised(member))
        made = dict(zip(self.recipe.stems, (network, peer), strict=True))
        return Stage("student", schedule, parts, Mutually(learners[0], learners[1], plan), made)

    def _teacher(self, network: Network, plan: TeacherPlan) -> Stage:
        teacher = make_teacher(plan, network)
        self._place(teacher)
        part = Part(teacher, make_optimiser(teacher, plan.optimiser, plan.schedule))
        objective = Teaching(teacher, plan, self.recipe.precision)
        return Stage("teacher", plan.schedule, {"teacher": part}, objective)

    def _trained(self, plan: TeacherPlan) -> Teacher:
        """What the stage before left."""
        teacher = make_teacher(plan, self._network())
        try:
            teacher.load_state_dict(load_file(self._teacher_file))
        except (SafetensorError, OSError, RuntimeError) as error:
            raise TrainingError(
                f"{self._teacher_file}: cannot be taught by ({error}); use --fresh to start again"
            ) from error
        self._hold(teacher)
        return teacher

    def _given(self, plan: Distillation) -> Given:
        """Weights that teach.

        Raises:
            RecipeError: They do not take what the student takes.
            WeightsError: There are none of that name, or they cannot be used.
        """
        network, card = load_weights(named_weights(plan.weights, "distillation.weights"))
        own, theirs = find_network(self.recipe.network).TRAITS, network.TRAITS
        same = (own.physics, own.ratio, self.recipe.bands) == (theirs.physics, theirs.ratio, card.bands)
        if not same:
            raise RecipeError(
                f"distillation.weights: {card.name} ({card.network}, {card.bands} bands) does not take what "
                f"{self.recipe.network} of {self.recipe.bands} bands takes"
            )
        recipe, schedule = self.recipe, self.recipe.schedule
        placed = schedule.whole or own.align % theirs.align == 0
        if schedule.patch % theirs.align or not placed or theirs.window not in (None, schedule.patch):
            window = f"windows of {theirs.window} pixels" if theirs.window else "windows"
            raise RecipeError(
                f"distillation.weights: {card.name} takes {window} at multiples of {theirs.align}, but "
                f"patches of {schedule.patch} are cut at multiples of {own.align}"
            )
        if card.back_projections and not schedule.whole:
            raise RecipeError(
                f"distillation.weights: {card.name} ends in rounds of back-projection, which need whole "
                "regions; set schedule.patch to schedule.region, and schedule.patches to 1"
            )
        self._hold(network)
        return Given(Supervised(network, recipe.loss, recipe.precision, card.back_projections))

    def _hold(self, module: nn.Module) -> None:
        module.requires_grad_(requires_grad=False).eval()
        self._place(module)

    def _distilled(self, network: Network, teacher: Teacher | Given, distillation: Distillation) -> Stage:
        trained: nn.Module = network
        adapters: nn.ModuleList | None = None
        if distillation.features:
            widths = self._feature_widths(network, distillation)
            source = teacher.supervised.network if isinstance(teacher, Given) else network
            theirs = self._feature_widths(source, distillation)
            if distillation.adapters:
                adapters = nn.ModuleList(map(_adapter, widths, theirs))
                trained = nn.ModuleDict({"network": network, "adapters": adapters})
            elif widths != theirs:
                raise RecipeError(
                    f"distillation: features have {widths} channels, the teacher's {theirs}; set adapters"
                )
        self._place(trained)
        supervised = self._supervised(network)
        return self._student(network, trained, Distilled(supervised, teacher, distillation, adapters))

    def _feature_widths(self, network: Network, distillation: Distillation) -> list[int]:
        return feature_widths(network, self.recipe.schedule.patch, distillation.features)

    def _student(self, network: Network, trained: nn.Module, objective: Objective) -> Stage:
        schedule = self.recipe.schedule
        frozen = self._freeze(network)
        part = Part(trained, make_optimiser(trained, self.recipe.optimiser, schedule), frozen)
        return Stage("student", schedule, {"student": part}, objective, {self.recipe.name: network})

    def _freeze(self, network: Network) -> tuple[nn.Module, ...]:
        """The modules that keep their weights.

        Raises:
            RecipeError: There is no such module, its weights are random, or nothing is left to learn.
        """
        modules = dict(network.named_children())
        for name in self.recipe.frozen:
            if name not in modules:
                raise RecipeError(
                    f"frozen: {self.recipe.network} has no '{name}'; it has {', '.join(modules)}"
                )
        if self.recipe.frozen and self.initial is None:
            raise RecipeError("frozen modules need weights to keep; give --init")
        kept = tuple(modules[name] for name in self.recipe.frozen)
        for module in kept:
            module.requires_grad_(requires_grad=False)
        if not any(parameter.requires_grad for parameter in network.parameters()):
            raise RecipeError(
                f"frozen: nothing of {self.recipe.network} is left to learn; leave a module out"
            )
        return kept

    def _place(self, module: nn.Module) -> None:
        module.to(self.device)
        module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def _copied(network: Network) -> dict[str, Tensor]:
    return {key: tensor.cpu().clone() for key, tensor in network.state_dict().items()}


def averaged(network: Network, decay: float) -> AveragedModel:
    """The exponential average of a network's weights and statistics, from its next step on."""

    def update(averages: Sequence[Tensor], values: Sequence[Tensor], count: Tensor | int) -> None:
        share = 1 - min(decay, float(count) / (float(count) + 9))
        for average, value in zip(averages, values, strict=True):
            if average.is_floating_point():
                average.lerp_(value, share)
            else:
                average.copy_(value)

    device = next(network.parameters()).device
    return AveragedModel(network, device, multi_avg_fn=update, use_buffers=True)


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
    inputs = blank_inputs(network.TRAITS, network.bands, side)
    widths = [feature.shape[1] for feature in network.eval()(inputs).features]
    if len(weights) > len(widths):
        raise RecipeError(
            f"distillation.features has {len(weights)} weights, but this network has {len(widths)} features "
            "to imitate"
        )
    return widths[: len(weights)]


def _adapter(width: int, wanted: int) -> nn.Conv2d:
    """A 1 x 1 convolution that changes nothing at first; of fewer channels than wanted, the rest is zero."""
    adapter = nn.Conv2d(width, wanted, 1)
    nn.init.dirac_(adapter.weight)
    nn.init.zeros_(adapter.bias)  # type: ignore[arg-type]
    return adapter
