"""Weights files: safetensors, with a card in the header that says what the weights are. Nothing is unpickled.

The header also holds a hash of tensors and card, so that a flipped byte is noticed before it is believed.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load, save
from torch import Tensor

from pancli.errors import OutputError, WeightsError
from pancli.networks.protocol import MOST_BANDS, MOST_ROUNDS, Network
from pancli.networks.registry import find_network

NOT_STATED = "not stated"
"""The licence of weights whose recipe names none."""

SUFFIX = ".safetensors"
"""Wherever a method can be named, what ends so is a weights file."""

_MOST_PIXELS = 2**40
_LATER = {"teacher", "began_from", "back_projections"}  # fields that older cards do not have


def _is_number(value: object) -> bool:
    """Whether it is one that float64 can hold: neither NaN nor infinite, nor an integer of 400 digits."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max


_KINDS: dict[str, Callable[[Any], bool]] = {
    "str": lambda value: isinstance(value, str),
    "int": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "tuple[float, float]": lambda pair: (
        isinstance(pair, list) and len(pair) == 2 and all(map(_is_number, pair))
    ),
    "dict[str, dict[str, float]]": lambda table: (
        isinstance(table, dict)
        and all(isinstance(row, dict) and all(map(_is_number, row.values())) for row in table.values())
    ),
}
"""What a card may hold, by the type of the field."""


@dataclass(frozen=True, slots=True)
class Card:
    """What a weights file says of itself.

    Attributes:
        name: As given to ``--method``.
        network: As the registry has it.
        version: Of the weights.
        bands: ms bands it takes at once; a scene with another number is fused in groups.
        ratios: Smallest and largest ratio it takes: those it was trained for, or was found to hold at.
        nominal_pixels: Area the network's sums are rescaled to.
        parameters: Trainable scalars.
        normalisation: What units the inputs are brought to, and so which dynamic ranges are taken.
        groups: How other numbers of bands are fused.
        statistics: What is global, and how it is gathered.
        paper: Where the network comes from.
        reconstruction: What is our own where the paper is silent or was not followed; empty if nothing is.
        data: What it was trained on.
        licence: Of the weights, as their recipe has it.
        recipe_sha256: Of the recipe file.
        budget: Steps, time, machine.
        figures: What was measured on the validation scenes: measurement -> method -> value.
        limits: What it is known not to do well.
        date: When it was exported, ISO 8601.
        teacher: What taught it, and what it took from there; empty if nothing did.
        began_from: What weights its training began from; empty for random ones.
        back_projections: Rounds of back-projection it was trained with, and is to be used with.
    """

    name: str
    network: str
    version: str
    bands: int
    ratios: tuple[float, float]
    nominal_pixels: int
    parameters: int
    normalisation: str
    groups: str
    statistics: str
    paper: str
    reconstruction: str
    data: str
    recipe_sha256: str
    budget: str
    date: str
    figures: dict[str, dict[str, float]] = field(default_factory=dict)
    limits: str = ""
    licence: str = NOT_STATED
    teacher: str = ""
    began_from: str = ""
    back_projections: int = 0

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "ratios": list(self.ratios)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Card:
        """The card in a header.

        Raises:
            WeightsError: A field is missing or unknown, or has a value that none can have.
        """
        known = {f.name for f in fields(cls)}
        if odd := sorted((set(values) - known) | (known - set(values) - _LATER)):
            raise WeightsError(
                f"the card does not fit this version of pancli (fields {', '.join(map(repr, odd))})"
            )
        if not is_plain_name(values["name"]):
            raise WeightsError(f"the card's name {values['name']!r} is none that a file can have")
        for f in fields(cls):
            if f.name in values and not _KINDS[str(f.type)](values[f.name]):
                raise WeightsError(f"the card's {f.name} {values[f.name]!r} is no {f.type}")
        if not 1 <= values["bands"] <= MOST_BANDS:
            raise WeightsError(f"the card's bands must be 1 to {MOST_BANDS}")
        if not 1 <= values["nominal_pixels"] <= _MOST_PIXELS:
            raise WeightsError(f"the card's nominal_pixels must be 1 to {_MOST_PIXELS}")
        if not 0 < values["ratios"][0] <= values["ratios"][1]:
            raise WeightsError(f"the card's ratios {values['ratios']} must rise from above 0")
        if not 0 <= values.get("back_projections", 0) <= MOST_ROUNDS:
            raise WeightsError(f"the card's back_projections must be 0 to {MOST_ROUNDS}")
        return cls(**{**values, "ratios": tuple(values["ratios"])})


def save_weights(network: Network, card: Card, path: Path) -> None:
    """Write weights and card; the file appears complete or not at all.

    Raises:
        OutputError: As :func:`save_tensors`.
        WeightsError: The card is none that could be read again.
    """
    tensors = _plain(network.state_dict())
    text = json.dumps(card.as_dict(), sort_keys=True)
    _parse_card({"card": text}, path)
    save_tensors(path, tensors, {"card": text, "content_sha256": _hash(tensors, text)})


def save_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write a safetensors file that appears complete, on the disk, or not at all.

    Raises:
        OutputError: The disk is full, or the folder is not there or not writable.
    """
    temporary = path.with_name(path.name + ".tmp")
    try:
        # safetensors' own writer would let nobody but the owner read the file, whatever the umask.
        with temporary.open("wb") as file:
            file.write(save(_plain(tensors), metadata))
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise OutputError(f"{path}: cannot be written ({error.strerror})") from error


def _plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that a file can hold: on the CPU, laid out as indices run."""
    return {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }


def read_card(path: Path) -> Card:
    """The card alone, without the tensors.

    Raises:
        WeightsError: The file is missing, is not a safetensors file, or has no card of pancli's.
    """
    return _parse_card(_read_header(path), path)


def load_weights(path: Path) -> tuple[Network, Card]:
    """The network, ready for inference, and its card.

    Raises:
        WeightsError: As :func:`read_card`; or the tensors are damaged, not finite, or not those of the
            network.
    """
    network, card, _ = load_with_hash(path)
    return network, card


def load_with_hash(path: Path) -> tuple[Network, Card, str]:
    """As :func:`load_weights`; and the SHA-256 of the very file that was loaded.

    Raises:
        WeightsError: The same.
    """
    header = _read_header(path)
    card = _parse_card(header, path)
    # Tensors of a file that took the place of the header's do not have the hash that the header says.
    tensors, sha256 = _read_tensors(path)
    if _hash(tensors, header["card"]) != header.get("content_sha256"):
        raise WeightsError(f"{path}: the file is damaged (hash mismatch); get it anew from where it came")
    try:
        network = find_network(card.network)(card.bands, card.nominal_pixels)
        _check_tensors(tensors, network, card)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    network.load_state_dict(tensors)
    return network.eval(), card, sha256


def is_plain_name(name: object) -> bool:
    """Whether files can be named so and lie in the folder they are meant for."""
    if not isinstance(name, str) or not name.isprintable() or name.startswith((".", " ")):
        return False
    return name == Path(name).name != ""


def find_weights(name: str) -> Path | None:
    """The weights file that a method's name means: a path that ends in :data:`SUFFIX`, or one that ships.

    The path need not exist. None where no weights are meant.
    """
    return Path(name) if name.endswith(SUFFIX) else shipped().get(name)


def shipped() -> dict[str, Path]:
    """The weights that come with pancli: name -> file."""
    package = Path(__file__).resolve().parent.parent
    for folder in (package / "weights", package.parent / "weights"):
        files = sorted(folder.glob(f"*{SUFFIX}"))
        if files:
            return {file.stem: file for file in files}
    return {}


def _read_header(path: Path) -> dict[str, str]:
    if not path.is_file():
        raise WeightsError(f"{path}: no such weights file")
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is not a safetensors file ({error})") from error


def _read_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """All tensors of a file, and the file's SHA-256."""
    try:
        content = path.read_bytes()
        return load(content), hashlib.sha256(content).hexdigest()
    except KeyError as error:
        raise WeightsError(f"{path}: has tensors of a type that no network has ({error})") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise WeightsError(f"{path}: is not a safetensors file ({error})") from error


def _check_tensors(tensors: Mapping[str, Tensor], network: Network, card: Card) -> None:
    """Refuse what cannot be loaded into a network, or would make pixels that are no numbers.

    Raises:
        WeightsError: The first that does not fit, and how.
    """
    given, wanted = (
        {name: f"{tensor.dtype} {tuple(tensor.shape)}" for name, tensor in held.items()}
        for held in (tensors, network.state_dict())
    )
    for name in sorted(given.keys() | wanted.keys()):
        here, there = given.get(name, "none"), wanted.get(name, "none")
        if here != there:
            raise WeightsError(
                f"the tensors are not those of {card.network} for {card.bands} bands "
                f"({name!r} is {here}, and must be {there})"
            )
        if not tensors[name].isfinite().all():
            raise WeightsError(f"{name!r} has values that are not finite; export or train the weights anew")


def _parse_card(header: Mapping[str, str], path: Path) -> Card:
    try:
        values = json.loads(header["card"])
        json.dumps(values, ensure_ascii=False).encode()  # what it says can be shown
    except (KeyError, ValueError, RecursionError):  # numbers of thousands of digits, brackets in brackets
        raise WeightsError(f"{path}: has no card; only weights made by pancli train can be used") from None
    if not isinstance(values, dict):
        raise WeightsError(f"{path}: has no card; only weights made by pancli train can be used")
    try:
        return Card.from_dict(values)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None


def _hash(tensors: Mapping[str, Tensor], card: str) -> str:
    digest = hashlib.sha256(card.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())  # NumPy has not all types
    return digest.hexdigest()
