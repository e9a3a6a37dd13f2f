"""A TOML file as a :class:`~pancli.training.recipe.Recipe`: nothing unknown or out of range gets through."""

from __future__ import annotations

import hashlib
import math
import tomllib
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

from pancli.errors import RecipeError
from pancli.networks.protocol import MOST_BANDS, MOST_ROUNDS
from pancli.networks.weights import is_plain_name
from pancli.training.recipe import (
    DECAYS,
    DISTANCES,
    LEAST_MS,
    OPTIMISERS,
    PRECISIONS,
    REDUCTIONS,
    SOURCE_KINDS,
    TEACHERS,
    Degradation,
    Distillation,
    Loss,
    Mutual,
    Optimiser,
    Recipe,
    Schedule,
    Source,
    Teacher,
)

_MOST_COARSER = 16.0
_MOST_THREADS = 1024
_COMPUTED = {"sha256"}  # fields that are no keys
_TAKEN = ("checkpoint", "teacher")  # files beside the weights, of every run

Rule = tuple[str, bool, str]
"""What, whether it holds, and what it must be."""


def read_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        RecipeError: The file is missing or not TOML, a key is unknown or missing, a value is of the wrong
            type or out of range.
    """
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise RecipeError(f"cannot read recipe {path}: {error.strerror}") from error
    try:
        values = tomllib.loads(raw.decode())
    except ValueError as error:  # of TOML, of UTF-8, or of a number with thousands of digits
        raise RecipeError(f"{path} is not TOML: {error}") from error
    if _COMPUTED & set(values):
        raise RecipeError(f"{path}: 'sha256' is computed, not given; remove it")
    _inherit(values)
    recipe: Recipe = _build(Recipe, {**values, "sha256": hashlib.sha256(raw).hexdigest()}, str(path))
    for name, holds, wanted in _rules(recipe):
        if not holds:
            raise RecipeError(f"{path}: {name} must be {wanted}")
    return recipe


def _inherit(values: dict[str, Any]) -> None:
    """Let the teacher train as the student does, where its tables do not say otherwise."""
    teacher = values.get("teacher")
    if not isinstance(teacher, dict):
        return
    for name in ("schedule", "optimiser"):
        teacher[name] = _over(values.get(name, {}), teacher.get(name, {}))
    teacher.setdefault("loss", values.get("loss", {"l1": 1.0}))


def _over(student: Any, own: Any) -> Any:
    """A table of the teacher's over the student's, and so the tables in it."""
    if not (isinstance(student, dict) and isinstance(own, dict)):
        return own
    return student | {key: _over(student.get(key), value) for key, value in own.items()}


def _build(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where}: expected a table, got {values!r}")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise RecipeError(
            f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(set(known) - _COMPUTED))}"
        )
    required = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(values)):
        raise RecipeError(f"{where}: '{missing[0]}' is missing")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # TOML's; what is beyond has no float either
        raise RecipeError(f"{where}: expected a number of 64 bits, got one of {value.bit_length()}")
    if isinstance(hint, types.UnionType):  # a table that may be missing
        hint = typing.get_args(hint)[0]
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where)
    if isinstance(hint, types.GenericAlias):
        return _sequence(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (isinstance(value, bool) and hint is not bool):
        raise RecipeError(f"{where}: expected {hint.__name__}, got {value!r}")
    return value


def _sequence(hint: types.GenericAlias, value: Any, where: str) -> tuple[Any, ...]:
    inner = typing.get_args(hint)
    length = None if inner[-1] is Ellipsis else len(inner)
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise RecipeError(
            f"{where}: expected a list{'' if length is None else f' of {length}'}, got {value!r}"
        )
    return tuple(_convert(inner[0], item, where) for item in value)


def _rules(recipe: Recipe) -> Iterator[Rule]:
    plain = is_plain_name(recipe.name) and recipe.name not in _TAKEN
    yield f"name '{recipe.name}'", plain, f"what a file can be named, and none of {', '.join(_TAKEN)}"
    yield "seed", 0 <= recipe.seed < 2**32, "0 or more, below 2^32"
    yield "sources", len(recipe.sources) > 0, "at least one"
    yield "bands", 1 <= recipe.bands <= MOST_BANDS, f"1 to {MOST_BANDS}"
    yield "back_projections", 0 <= recipe.back_projections <= MOST_ROUNDS, f"0 to {MOST_ROUNDS}"
    whole = recipe.schedule.whole or not recipe.back_projections
    yield "schedule: patch", whole, "the region where back_projections are"
    yield "kept", 0 <= recipe.kept < 1, "0 or more, below 1"
    yield "averaged", 0 <= recipe.averaged < 1, "0 or more, below 1"
    beyond = all(ratio <= recipe.largest_ratio <= 8 for ratio in recipe.degradation.ratios)
    yield "largest_ratio", beyond or not recipe.largest_ratio, "those of degradation.ratios or above, to 8"
    yield _one_of("precision", recipe.precision, PRECISIONS)
    yield _one_of("validation: kind", recipe.validation.kind, ("pairs", "referenced"))
    yield "validation: crop", recipe.validation.crop >= 8, "8 or more"
    yield "validation: simulated", recipe.validation.simulated >= 0, "0 or more"
    yield "validation: bits", 1 <= recipe.validation.bits <= 16, "1 to 16"
    yield "validation: bands", all(band >= 0 for band in recipe.validation.bands), "0 or more"
    yield "validation: ratios", _ratios(recipe.validation.ratios), "1.5 to 8"
    for source in recipe.sources:
        yield from _source_rules(source)
    yield from _degradation_rules(recipe.degradation)
    yield from _schedule_rules("schedule", recipe.schedule)
    if any(source.kind != "referenced" for source in recipe.sources):
        least = recipe.degradation.least_side
        wanted = f"{least} or more, for {LEAST_MS} ms pixels a side at the largest of degradation.ratios"
        yield "schedule: region", recipe.schedule.region >= least, wanted
    yield from _optimiser_rules("optimiser", recipe.optimiser)
    yield from _loss_rules("loss", recipe.loss)
    taught = recipe.distillation is not None and not recipe.distillation.weights
    yield (
        "teacher and distillation",
        (recipe.teacher is not None) == taught,
        "given both, or weights that teach",
    )
    if recipe.teacher is not None:
        yield from _teacher_rules(recipe.teacher, recipe.schedule)
    if recipe.distillation is not None:
        yield from _distillation_rules(recipe.distillation)
    alone = recipe.distillation is None and recipe.mutual is None
    yield "frozen", alone or not recipe.frozen, "left out where there is a teacher or a peer"
    if recipe.mutual is not None:
        yield "kept", recipe.kept == 0, "left out where there is a peer"
        yield "mutual", recipe.distillation is None, "left out where there is a teacher"
        yield from _mutual_rules(recipe.mutual)


def _one_of(name: str, value: str, known: Sequence[str]) -> Rule:
    return f"{name} '{value}'", value in known, "one of " + ", ".join(known)


def _ratios(ratios: Sequence[float]) -> bool:
    return all(1.5 <= ratio <= 8 for ratio in ratios or (0,))


def _is_weight(value: float) -> bool:
    return 0 <= value < math.inf  # false of what is no number, too


def _source_rules(source: Source) -> Iterator[Rule]:
    yield _one_of("sources: kind", source.kind, SOURCE_KINDS)
    yield "sources: weight", 1e-9 <= source.weight <= 1e9, "1e-9 to 1e9"  # as float32 they are summed
    wanted = f"1 to {_MOST_COARSER:g}, and 1 where there is a pan"
    coarser = 1 <= source.coarser <= (_MOST_COARSER if source.kind in ("truth", "spectrum") else 1)
    yield "sources: coarser", coarser, wanted
    if source.kind != "simulated":
        yield "sources: names", bool(source.names), "not empty"
        return
    wanted = "left out of kind 'simulated', which reads no files; 'referenced' reads those of pancli simulate"
    for name in ("folder", "names", "nodata"):
        yield f"sources: {name}", getattr(source, name) in ("", (), None), wanted


def _degradation_rules(degradation: Degradation) -> Iterator[Rule]:
    yield "degradation: ratios", _ratios(degradation.ratios), "1.5 to 8"
    yield "degradation: phase", 0 <= degradation.phase <= 0.5, "0 to 0.5"
    yield "degradation: shift", 0 <= degradation.shift <= 4, "0 to 4"
    yield "degradation: blunt", 0 <= degradation.blunt <= 1, "0 to 1"
    yield "degradation: misfit", 0 <= degradation.misfit <= 1, "0 to 1"
    yield "degradation: gain_error", 0 <= degradation.gain_error < 1, "0 or more, below 1"
    yield "degradation: gain_spread", 0 <= degradation.gain_spread < 1, "0 to 1"
    yield "degradation: noise", 0 <= degradation.noise < 1, "0 to 1"
    for name in ("ms_gains", "pan_gains"):
        low, high = getattr(degradation, name)
        yield f"degradation: {name}", 0 < low <= high < 1, "two rising numbers between 0 and 1"


def _schedule_rules(where: str, schedule: Schedule) -> Iterator[Rule]:
    decay = schedule.decay
    yield f"{where}: learning_rate", 0 < schedule.learning_rate < math.inf, "above 0"
    yield f"{where}: weight_decay", _is_weight(schedule.weight_decay), "0 or more, and finite"
    yield f"{where}: clip", schedule.clip > 0, "above 0"
    yield f"{where}: settle", 0 <= schedule.settle <= 1, "0 to 1"
    yield f"{where}: patch", 8 <= schedule.patch <= schedule.region, "8 to the side of a region"
    yield f"{where}: checkpoint_minutes", 0 <= schedule.checkpoint_minutes < math.inf, "0 or more"
    yield f"{where}: threads", 0 <= schedule.threads <= _MOST_THREADS, f"0 to {_MOST_THREADS}"
    yield f"{where}: prefetch", 0 <= schedule.prefetch <= _MOST_THREADS, f"0 to {_MOST_THREADS}"
    for name in ("steps", "regions", "region", "patches", "validate_every"):
        yield f"{where}: {name}", getattr(schedule, name) >= 1, "1 or more"
    yield f"{where}: warm_up", 0 <= schedule.warm_up < schedule.steps, "0 or more, fewer than its steps"
    yield _one_of(f"{where}: decay: kind", decay.kind, DECAYS)
    yield f"{where}: decay: floor", 0 <= decay.floor <= 1, "0 to 1"
    yield f"{where}: decay: factor", 0 < decay.factor <= 1, "above 0, at most 1"
    yield f"{where}: decay: period", decay.kind == "cosine" or decay.period >= 1, "1 or more steps"


def _optimiser_rules(where: str, optimiser: Optimiser) -> Iterator[Rule]:
    yield _one_of(f"{where}: kind", optimiser.kind, OPTIMISERS)
    yield f"{where}: momentum", 0 <= optimiser.momentum < 1, "0 or more, below 1"
    yield f"{where}: betas", all(0 <= beta < 1 for beta in optimiser.betas), "0 or more, below 1"


def _loss_rules(where: str, loss: Loss) -> Iterator[Rule]:
    weights = (loss.l1, loss.mse, loss.sam, loss.gradient, loss.ms, loss.pan)
    holds = all(map(_is_weight, weights)) and max(weights) > 0
    yield f"{where}: weights", holds, "0 or more and finite, one of them above 0"
    yield _one_of(f"{where}: reduction", loss.reduction, REDUCTIONS)


def _teacher_rules(teacher: Teacher, schedule: Schedule) -> Iterator[Rule]:
    yield _one_of("teacher: kind", teacher.kind, TEACHERS)
    yield "teacher: constraint", _is_weight(teacher.constraint), "0 or more, and finite"
    yield "teacher: warm_up", 0 <= teacher.warm_up <= 1, "0 to 1"
    for name in ("patch", "region", "threads", "prefetch"):
        same = getattr(teacher.schedule, name) == getattr(schedule, name)
        yield f"teacher: schedule: {name}", same, "the student's"
    yield from _schedule_rules("teacher: schedule", teacher.schedule)
    yield from _optimiser_rules("teacher: optimiser", teacher.optimiser)
    yield from _loss_rules("teacher: loss", teacher.loss)


def _distillation_rules(distillation: Distillation) -> Iterator[Rule]:
    yield _one_of("distillation: distance", distillation.distance, DISTANCES)
    yield "distillation: features", all(map(_is_weight, distillation.features)), "0 or more, and finite"
    yield "distillation: output", _is_weight(distillation.output), "0 or more, and finite"
    yield "distillation: decay", 0 <= distillation.decay <= 1, "0 to 1"
    first = not (distillation.weights and distillation.initialise)
    yield "distillation: initialise", first, "false where weights teach; --init begins from any"
    imitates = bool(distillation.features)
    yield (
        "distillation: adapters",
        imitates or not distillation.adapters,
        "false where no features are imitated",
    )
    taken = distillation.initialise or imitates or distillation.output > 0
    yield "distillation", taken, "given something to take: initialise, features or output"


def _mutual_rules(mutual: Mutual) -> Iterator[Rule]:
    for name in ("sam", "gradient", "weight"):
        yield f"mutual: {name}", _is_weight(getattr(mutual, name)), "0 or more, and finite"
    yield "mutual: warm_up", 0 <= mutual.warm_up < 1, "0 or more, below 1"
