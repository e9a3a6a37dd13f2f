"""What a result is known by: a hash of everything that decides its pixels, kept in the output's tags."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path

from pancli import __version__
from pancli.batch.entries import Entry
from pancli.errors import InputError, OutputError
from pancli.hashing import file_sha256
from pancli.networks.weights import find_weights
from pancli.raster.fingerprint import content_sha256, opens_whole, read_tag
from pancli.sharpening import SharpenOptions
from pancli.sharpening.product import INPUTS_TAG

_SAME_IMAGE = {"device", "threads", "tile", "max_memory", "overwrite", "inputs_sha256", "quicklook", "stac"}
"""Options that decide how the image is computed, not which."""


def record_of(entry: Entry, options: SharpenOptions) -> str:
    """SHA-256 over the contents of the inputs, the options, the weights and the version of pancli.

    Every input is read once for it, as a stream. Where files lie, when they were written, on what device and
    in what tiles the image is computed makes no difference.

    Raises:
        InputError: An input cannot be read.
    """
    told = {key: value for key, value in asdict(options).items() if key not in _SAME_IMAGE}
    weights = find_weights(options.method)
    told |= {
        "version": __version__,
        "pan": content_sha256(entry.pan),
        "ms": [content_sha256(name) for name in entry.ms],
        "method": options.method if weights is None else _hash(weights),
        "aoi": None if options.aoi is None else _hash(options.aoi),
    }
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()


def _hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def recorded(output: Path) -> str | None:
    """What an output is known by; None where there is none, or where no batch made it.

    Raises:
        OutputError: It cannot be looked for, as where its name is too long.
    """
    try:
        return read_tag(output, INPUTS_TAG) if output.is_file() else None
    except OSError as error:
        raise OutputError(f"{output}: cannot be made ({error.strerror})") from error


def is_done(output: Path, record: str) -> bool:
    """Whether an output is there, was made of just this, and can be read to its last block."""
    return recorded(output) == record and opens_whole(output)
