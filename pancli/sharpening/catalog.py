"""Methods by name: the classical ones, the networks whose weights ship, and GDAL's own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pancli.errors import MethodError, UsageError
from pancli.methods.back_projection import radius_of_rounds
from pancli.methods.network import NetworkMethod, network_contract, network_reach
from pancli.methods.protocol import Contract, Method, PairInfo, Scene, TileImage
from pancli.methods.registry import METHODS
from pancli.networks.registry import find_network
from pancli.networks.weights import SUFFIX, Card, find_weights, read_card, shipped
from pancli.placement import AxisMap, Placement
from pancli.raster.gdal_brovey import GdalBrovey, gdal_warnings, open_gdal_brovey
from pancli.raster.pair import Pair
from pancli.sharpening.options import SharpenOptions

GDAL = "gdal"
_GDAL_CONTRACT = Contract(
    summary="GDAL's own weighted Brovey, read through a pansharpened VRT: a peer to compare with",
    source="GDAL documentation, gdal_pansharpen and VRTPansharpenedDataset",
    whole_scene=False,
)


@dataclass(frozen=True)
class GdalMethod:
    """GDAL's pansharpener as a Method: it reads its own pixels."""

    vrt: GdalBrovey
    name: str = GDAL
    contract: Contract = _GDAL_CONTRACT

    def radius(self, info: PairInfo) -> int:
        """GDAL reads its own margins."""
        return 0

    def fit(self, scene: Scene) -> None:
        """Nothing is global."""

    def fuse(self, image: TileImage, state: Any) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`.

        Raises:
            MethodError: GDAL spread NaN over valid pixels, as its interpolation does even where it is tagged.
        """
        fused = torch.from_numpy(self.vrt.read(image.tile.window)).to(image.pan.device)
        if bool((fused.isnan().any(0) & image.valid).any()):
            raise MethodError(
                "GDAL spreads the NaN of gaps over valid pixels beside them; give the gaps a number "
                "(gdalwarp -srcnodata nan -dstnodata -9999), or use --method brovey"
            )
        return fused


def method_names() -> list[str]:
    """Every name that ``--method`` takes: networks first. It takes paths of weights files as well."""
    return [*shipped(), *METHODS, GDAL]


def shown_name(method: str) -> str:
    """What a method is called: of a weights file, what its card says.

    Raises:
        WeightsError: There is no such weights file, or it has no card.
    """
    return read_card(Path(method)).name if method.endswith(SUFFIX) else method


def rounds_meant(name: str) -> str | None:
    """How to ask for what tables call a method with rounds of back-projection; None of any other name.

    >>> rounds_meant("gsa+bp2")
    'gsa+bp2 is gsa with --back-project 2'
    """
    method, _, rounds = name.partition("+bp")
    if rounds.isdecimal() and (method in method_names() or method.endswith(SUFFIX)):
        return f"{name} is {method} with --back-project {rounds}"
    return None


def check_method(options: SharpenOptions) -> None:
    """Refuse what can be refused of the method asked for before there is a pair.

    Raises:
        UsageError: No such method, or an option it does not take.
        WeightsError: There is no such weights file, or it has no card.
    """
    name = options.method
    if (weights := find_weights(name)) is not None:
        read_card(weights)
        return
    if name not in method_names():
        known = f"not known; known are {', '.join(method_names())}, or FILE{SUFFIX}"
        raise UsageError(f"--method {name}: {rounds_meant(name) or known}")
    if options.adapt is not None:
        raise UsageError(f"--adapt is for networks; {name} has nothing to learn")
    if options.precision not in ("auto", "float32"):
        raise UsageError(f"--precision {options.precision} is for networks; {name} computes in float32")
    if name == GDAL:
        _check_gdal(options)


@contextmanager
def open_method(options: SharpenOptions, pair: Pair, device: torch.device) -> Iterator[Method]:
    """The method asked for, ready for this pair and device.

    A network stays in memory: the next scene of the same process does not load it again.

    Raises:
        UsageError: No such method, or an option it does not take.
        WeightsError: Its weights cannot be used.
        MethodError: It does not take this pair.
    """
    check_method(options)
    weights = find_weights(options.method)
    if weights is not None:
        found = weights.stat()
        yield _load(weights.resolve(), (found.st_mtime_ns, found.st_size), device, options.precision)
    elif options.method == GDAL:
        with open_gdal_brovey(pair) as vrt:
            yield GdalMethod(vrt)
    else:
        yield METHODS[options.method]


def method_warnings(options: SharpenOptions, pair: Pair) -> list[str]:
    """What the user should know of the method asked for and this pair.

    Raises:
        InputError: A file cannot be read.
    """
    return gdal_warnings(pair) if options.method == GDAL else []


@lru_cache(maxsize=1)
def _load(path: Path, _stamp: tuple[int, int], device: torch.device, precision: str) -> NetworkMethod:
    """A network as it was when the file had that time and size."""
    return NetworkMethod.load(path, device, precision)


def _check_gdal(options: SharpenOptions) -> None:
    for asked, option in (
        (options.coregister != "none", "--coregister"),
        (options.crisp_pan, "--crisp-pan"),
        (options.pair.reproject, "--reproject"),
    ):
        if asked:
            raise UsageError(f"{option} cannot be used with --method gdal, which reads the files itself")


def describe_methods() -> list[dict[str, Any]]:
    """What ``pancli methods`` lists: one row per method; the radius, with own rounds, is that of ratio 4.

    Of networks the cards are read, not the weights.
    """
    rows = [_network_row(read_card(path)) for path in shipped().values()]
    rows += [_row(name, "classical", method.contract, method.radius) for name, method in METHODS.items()]
    gdal = {"name": GDAL, "kind": "peer", **_contract_row(_GDAL_CONTRACT, bands=None), "radius": 0}
    return [*rows, gdal]


def _network_row(card: Card) -> dict[str, Any]:
    traits = find_network(card.network).TRAITS
    radius = partial(network_reach, traits, traits.halo)
    return _row(card.name, "network", network_contract(traits, card), radius)


def _row(name: str, kind: str, contract: Contract, radius: Callable[[PairInfo], int]) -> dict[str, Any]:
    axis = AxisMap(0.25, 0.0, 64)
    info = PairInfo(contract.bands or 4, Placement(axis, axis))
    row = {"name": name, "kind": kind, **_contract_row(contract, contract.bands)}
    return row | {"radius": radius(info) + radius_of_rounds(contract.back_projections, info)}


def _contract_row(contract: Contract, bands: int | None) -> dict[str, Any]:
    low, high = contract.ratios
    return {
        "bands": "any" if bands is None else f"{bands}, others in groups",
        "ratios": [low, None if math.isinf(high) else high],
        "whole_scene": contract.whole_scene,
        "summary": contract.summary,
        "source": contract.source,
    }
