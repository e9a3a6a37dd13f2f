"""All networks with what they declare, cost, and the weights that ship for them: ``pancli networks``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pancli.hashing import file_sha256
from pancli.networks.costs import count_parameters, macs_per_pixel
from pancli.networks.protocol import Network
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import SUFFIX, Card, load_weights, read_card, shipped

BANDS = 4
"""Of which sizes are told where no weights say otherwise."""


def describe_networks(names: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One object per network, in the order of the table, then one per weights file; of some, or of all.

    Args:
        names: Keys of :data:`pancli.networks.registry.NETWORKS`, or weights files, whose network is then told
            with their card alone; empty for all networks.

    Raises:
        WeightsError: A weights file cannot be used.
    """
    files = [Path(name) for name in names if name.endswith(SUFFIX)]
    cards = [(path, read_card(path)) for path in shipped().values()]
    rows = [
        _describe(name, kind, [(path, card) for path, card in cards if card.network == name])
        for name, kind in NETWORKS.items()
        if not names or name in names
    ]
    return rows + [_describe_file(path) for path in files]


def _describe_file(path: Path) -> dict[str, Any]:
    network, card = load_weights(path)  # all of it is checked
    return _describe(card.network, type(network), [(path, card)])


def _describe(name: str, kind: type[Network], weights: list[tuple[Path, Card]]) -> dict[str, Any]:
    traits = kind.TRAITS
    bands = weights[0][1].bands if weights else BANDS
    return {
        "name": name,
        "summary": traits.summary,
        "bands": None if traits.any_bands else bands,
        "parameters": count_parameters(kind(bands, 1)),
        "macs_per_pixel": round(macs_per_pixel(kind, bands)),
        "ratio": traits.ratio,
        "margin": traits.radius,
        "alignment": traits.align,
        "statistics": list(traits.stages),
        "window": traits.window,
        "paper": traits.paper,
        "reconstruction": traits.reconstructed,
        "ours": traits.reconstruction,
        "weights": [
            {"path": str(path), "sha256": file_sha256(path), **card.as_dict()} for path, card in weights
        ],
    }
