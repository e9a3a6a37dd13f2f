"""Weights that a run begins from instead of random ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from torch import Tensor

from pancli.errors import RecipeError, WeightsError
from pancli.hashing import file_sha256
from pancli.networks.registry import find_network
from pancli.networks.weights import Card, load_with_hash, shipped
from pancli.training.recipe import Recipe


@dataclass(frozen=True)
class Initial:
    """Weights to begin from.

    Attributes:
        tensors: Of the recipe's network, or of one that it goes on from.
        nominal_pixels: Area its sums are rescaled to; other weights would be needed for another.
        told: What they are, for the card of what comes of them.
        licence: Theirs, with their name.
    """

    tensors: Mapping[str, Tensor] = field(repr=False)
    nominal_pixels: int
    told: str
    licence: str


def named_weights(name: str, asked: str) -> Path:
    """The file of weights that are given by a path, or by the name of those that ship with pancli.

    Args:
        name: The path or the name.
        asked: The option or key that gave it, for the message.

    Raises:
        WeightsError: There is none.
    """
    files = shipped()
    path = files.get(name, Path(name))
    if not path.is_file():
        raise WeightsError(f"{asked} {name}: is neither a weights file nor one of {', '.join(files)}")
    return path


def given_teacher(recipe: Recipe) -> Path | None:
    """The file of weights that teach; None where there is no such teacher.

    Raises:
        WeightsError: There is none of that name.
    """
    plan = recipe.distillation
    if plan is None or not plan.weights:
        return None
    return named_weights(plan.weights, "distillation.weights")


def told_file(path: Path) -> str:
    """A weights file, for cards and for runs that go on."""
    return f"{path.name}, SHA-256 {file_sha256(path)}"


def told_licence(card: Card) -> str:
    """Whose weights may be used how, for the card of what comes of them."""
    return f"{card.name}, {card.licence}"


def load_initial(name: str, recipe: Recipe) -> Initial:
    """Read weights to begin from.

    Args:
        name: A weights file, or the name of one that ships with pancli.
        recipe: Whose network they must fit.

    Raises:
        RecipeError: They are of another network or number of bands.
        WeightsError: There are none of that name, or they cannot be used.
    """
    path = named_weights(name, "--init")
    network, card, sha256 = load_with_hash(path)
    goes_on = issubclass(find_network(recipe.network), type(network))  # as msinn-refined from msinn
    if not goes_on or card.bands != recipe.bands:
        raise RecipeError(
            f"--init {name} is {card.network} for {card.bands} bands, but the recipe trains {recipe.network} "
            f"for {recipe.bands}; set network and bands to those of the weights"
        )
    told = f"{card.name}, version {card.version}, SHA-256 {sha256}"
    return Initial(network.state_dict(), network.nominal_pixels, told, told_licence(card))
