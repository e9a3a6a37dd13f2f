"""A training run as frozen values, read from TOML; nothing unknown, misspelt or out of range gets through."""

from __future__ import annotations

import hashlib
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from pancli.errors import RecipeError

SOURCE_KINDS = ("pairs", "truth", "simulated")


@dataclass(frozen=True, slots=True)
class Source:
    """Where training images come from.

    Attributes:
        kind: "pairs" (pan and ms; the ms is the truth at its own resolution), "truth" (a multiband image;
            pan is made from it), or "simulated" (scenes with exact truth).
        weight: How often it is drawn, relative to the others.
        folder: Holds the images, relative to the data folder.
        names: Which of them.
    """

    kind: str
    weight: float = 1.0
    folder: str = ""
    names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Degradation:
    """How a truth is observed; each range is drawn from uniformly.

    Attributes:
        ratios: Pan pixels per ms pixel; one of these each time.
        ms_gains: MTF at the ms Nyquist, of all bands together.
        gain_spread: How far a single band's gain may differ.
        pan_gains: MTF of pan at its own Nyquist, where pan is reduced from a finer one.
        phase: Largest distance between the corners of the two grids along each axis, in ms pixels.
        shift: Largest unknown displacement of ms against pan, in pan pixels, along each axis.
        noise: Largest standard deviation of noise, as a part of a band's.
    """

    ratios: tuple[float, ...] = (2.0, 3.0, 4.0)
    ms_gains: tuple[float, float] = (0.15, 0.5)
    gain_spread: float = 0.05
    pan_gains: tuple[float, float] = (0.1, 0.5)
    phase: float = 0.5
    shift: float = 0.25
    noise: float = 0.02


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: Optimiser steps of the whole run.
        regions: Image regions a step sees; units are of a region, as they are of a scene in use.
        region: Side of a region in pixels.
        patches: Patches cut from each region.
        patch: Side of a patch in pixels; its area is what the network's sums are rescaled to.
        learning_rate: At the start; falls to zero along half a cosine.
        weight_decay: Of AdamW.
        clip: Largest norm of a gradient.
        settle: Part of the run after which normalisation statistics stay as they are.
        validate_every: Steps between validations.
        checkpoint_minutes: Between saves, validations apart.
        threads: Of the CPU; 0 leaves them alone.
        prefetch: Batches made ahead, each in a thread of its own.
    """

    steps: int
    regions: int = 4
    region: int = 160
    patches: int = 2
    patch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    clip: float = 1.0
    settle: float = 0.75
    validate_every: int = 500
    checkpoint_minutes: float = 3.0
    threads: int = 0
    prefetch: int = 1


@dataclass(frozen=True, slots=True)
class Validation:
    """What is measured during the run, and chosen by.

    Attributes:
        folder: Holds pairs that are never trained on, relative to the data folder.
        names: Which of them.
        bands: Indices of their bands; all where empty.
        bits: Of their numbers: the peak of PSNR.
        ratios: They are reduced to the ms grid, and their ms once more by each of these.
        crop: Side of the middle part that is used, in ms pixels.
        simulated: How many simulated scenes besides.
    """

    folder: str = ""
    names: tuple[str, ...] = ()
    bands: tuple[int, ...] = ()
    bits: int = 8
    ratios: tuple[float, ...] = (2.0, 4.0)
    crop: int = 256
    simulated: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole run.

    Attributes:
        name: Of the weights.
        version: Of the weights.
        network: As the registry has it.
        bands: ms bands the network takes at once.
        seed: Everything random follows from it.
        data: One line for the card: what was trained on.
        limits: One line for the card: what the weights are known not to do well.
        sources: Training images.
        schedule: How long and how fast.
        degradation: How truths are observed.
        validation: What is measured.
        sha256: Of the recipe file.
    """

    name: str
    network: str
    schedule: Schedule
    sources: tuple[Source, ...]
    data: str
    limits: str = ""
    version: str = "1"
    bands: int = 4
    seed: int = 0
    degradation: Degradation = field(default_factory=Degradation)
    validation: Validation = field(default_factory=Validation)
    sha256: str = ""


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
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path} is not TOML: {error}") from error
    if "sha256" in values:
        raise RecipeError(f"{path}: 'sha256' is computed, not given; remove it")
    recipe: Recipe = _build(Recipe, {**values, "sha256": hashlib.sha256(raw).hexdigest()}, str(path))
    _check(recipe, str(path))
    return recipe


def _build(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise RecipeError(f"{where}: expected a table, got {values!r}")
    known = {f.name: f for f in fields(kind)}
    if unknown := sorted(set(values) - set(known)):
        raise RecipeError(f"{where}: unknown key '{unknown[0]}'; known: {', '.join(sorted(known))}")
    required = {n for n, f in known.items() if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(values)):
        raise RecipeError(f"{where}: '{missing[0]}' is missing")
    hints = typing.get_type_hints(kind)
    return kind(**{name: _convert(hints[name], value, f"{where}: {name}") for name, value in values.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if is_dataclass(hint) and isinstance(hint, type):
        return _build(hint, value, where)
    if isinstance(hint, types.GenericAlias):
        return _sequence(hint, value, where)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, bool) or not isinstance(value, hint):
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


def _check(recipe: Recipe, where: str) -> None:
    schedule, degradation = recipe.schedule, recipe.degradation
    rules = [
        ("sources", len(recipe.sources) > 0, "at least one"),
        ("bands", recipe.bands >= 1, "1 or more"),
        ("schedule: learning_rate", schedule.learning_rate > 0, "above 0"),
        ("schedule: clip", schedule.clip > 0, "above 0"),
        ("schedule: settle", 0 <= schedule.settle <= 1, "0 to 1"),
        ("schedule: patch", 8 <= schedule.patch <= schedule.region, "8 to the side of a region"),
        ("schedule: threads", schedule.threads >= 0, "0 or more"),
        ("schedule: prefetch", schedule.prefetch >= 0, "0 or more"),
        ("degradation: ratios", all(1.5 <= r <= 8 for r in degradation.ratios or (0,)), "1.5 to 8"),
        ("degradation: phase", 0 <= degradation.phase <= 0.5, "0 to 0.5"),
        ("degradation: shift", 0 <= degradation.shift <= 4, "0 to 4"),
        ("degradation: noise", 0 <= degradation.noise < 1, "0 to 1"),
        ("validation: bits", 1 <= recipe.validation.bits <= 16, "1 to 16"),
    ]
    for name in ("steps", "regions", "region", "patches", "validate_every"):
        rules.append((f"schedule: {name}", getattr(schedule, name) >= 1, "1 or more"))
    for name in ("ms_gains", "pan_gains"):
        low, high = getattr(degradation, name)
        rules.append((f"degradation: {name}", 0 < low <= high < 1, "two rising numbers between 0 and 1"))
    for source in recipe.sources:
        rules.append(
            (
                f"sources: kind '{source.kind}'",
                source.kind in SOURCE_KINDS,
                "one of " + ", ".join(SOURCE_KINDS),
            )
        )
        rules.append(("sources: weight", source.weight > 0, "above 0"))
        rules.append(("sources: names", source.kind == "simulated" or bool(source.names), "not empty"))
    for name, holds, wanted in rules:
        if not holds:
            raise RecipeError(f"{where}: {name} must be {wanted}")
