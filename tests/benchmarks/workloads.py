"""What the throughput benchmark does in processes of its own: scenes, untrained weights, bare forwards.

Arguments come as words of a command line, and what is found out is printed as JSON.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import rasterio
import torch

from pancli.device import in_parallel
from pancli.methods.back_projection import BackProjected
from pancli.methods.network import NetworkMethod
from pancli.methods.turns import unknown
from pancli.methods.views import aligned_window
from pancli.networks.costs import macs_per_pixel
from pancli.networks.protocol import Context, Inputs
from pancli.networks.registry import find_network
from pancli.networks.weights import save_weights, shipped
from pancli.sharpening import SharpenOptions, plan_sharpening
from pancli.sharpening.plan import Plan
from pancli.simulating import SimulateOptions, simulate_files
from pancli.tiling import Window
from tests.benchmarks.scale import tile_out
from tests.networks.made import card_of

_LARGEST_BLOCK = 1024  # pixels of ground that are simulated; larger scenes repeat them
_PATCH = 64 * 64
_MATRIX = 2048
_PRODUCTS = 8


def build_scene(folder: str, size: str) -> None:
    """Write pan and ms: simulated ground with the noise of a camera, tiled and uncompressed, repeated."""
    side = next(n for n in range(_LARGEST_BLOCK, 0, -4) if int(size) % n == 0)
    block = Path(folder) / f"block{side}"
    if not block.exists():
        list(simulate_files(block, SimulateOptions(size=side, seed=3)))
    for role in ("pan", "ms"):
        with rasterio.open(block / f"{role}.tif") as dataset:
            values, transform = dataset.read(), dataset.transform
        tile_out(Path(folder) / f"{role}{size}.tif", values, transform, int(size) // side)


def print_shipped() -> None:
    """Print the networks that ship with weights."""
    print(json.dumps(list(shipped())))


def save_untrained(name: str, path: str) -> None:
    """Write first weights of a network for 4 bands: how fast it is does not depend on them."""
    network = find_network(name)(4, _PATCH)
    save_weights(network, card_of(network, name), Path(path))


def bare_forward(pan: str, ms: str, method: str, threads: str) -> None:
    """Print what the network alone takes on the tiles of a scene, which are read and prepared beforehand.

    And how many floating-point operations these are, two to a multiply-accumulate, margins of tiles included.
    """
    torch.set_num_threads(int(threads))
    options = SharpenOptions(method=method, threads=int(threads), device="cpu")
    wall = cpu = flop = 0.0
    with torch.inference_mode(), plan_sharpening(pan, [ms], f"{pan}.out.tif", options) as plan:
        inner = plan.method.method if isinstance(plan.method, BackProjected) else plan.method
        assert isinstance(inner, NetworkMethod)
        for pieces in _seen(inner, plan):
            before = time.perf_counter(), time.process_time()
            for _ in in_parallel(lambda seen: inner.network(*seen), pieces):
                pass
            wall += time.perf_counter() - before[0]
            cpu += time.process_time() - before[1]
            for inputs, _ in pieces:
                bands, pixels = inputs.bms.shape[1], inputs.pan.numel()
                flop += 2 * pixels * macs_per_pixel(type(inner.network), bands)
    print(json.dumps({"wall": wall, "cpu": cpu, "flop": flop}))


def multiply(threads: str) -> None:
    """Print how many floating-point operations a second the machine does in products of float32 matrices."""
    torch.set_num_threads(int(threads))
    one, other = torch.rand(2, _MATRIX, _MATRIX)
    best = math.inf
    for _ in range(_PRODUCTS):
        start = time.perf_counter()
        one @ other
        best = min(best, time.perf_counter() - start)
    print(json.dumps(2 * _MATRIX**3 / best))


def _seen(method: NetworkMethod, plan: Plan) -> Iterator[list[tuple[Inputs, Context]]]:
    """What the network sees of each piece, tile by tile; the statistics, which cost nothing here, are of one.

    What tiles share is seen in the first of them alone, as when a scene is sharpened.
    """
    assert method.network.TRAITS.window is None, "networks with windows are not timed"
    traits = method.network.TRAITS
    fitted = plan.method.fit(replace(plan.scene, area=plan.tiles[0].core))
    state = fitted.method if isinstance(plan.method, BackProjected) else fitted
    done: list[Window] = []
    for tile in plan.tiles:
        image = plan.scene.load(tile)
        assert image is not None
        if isinstance(plan.method, BackProjected):
            image = plan.method.widened(image, fitted)
            rest, _ = unknown(image.tile.core, done)
            done.append(image.tile.core)
            image = replace(image, tile=replace(image.tile, core=rest))
        pieces: list[tuple[Inputs, Context]] = []
        for piece in method.pieces(image):
            window = aligned_window(piece.tile, traits.halo, traits.align)
            pieces += zip(method.views(piece, state, (window,)), state.contexts, strict=True)
        yield pieces
