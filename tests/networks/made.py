"""Networks with random weights whose normalisation has settled, as after training, and random inputs."""

from copy import deepcopy
from functools import cache
from pathlib import Path

import torch

from pancli.networks.gcpnet import GCPNet
from pancli.networks.protocol import AGREEMENT, Inputs, Network, Physics
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import Card, save_weights


def noise(*shape: int, seed: int = 0) -> torch.Tensor:
    """Standard normal numbers, the same for the same seed."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def count(module: torch.nn.Module) -> int:
    """Parameters of a module."""
    return sum(p.numel() for p in module.parameters())


def random_inputs(kind: type[Network], bands: int, shape: tuple[int, int], seed: int = 0, samples: int = 1):
    """Smooth random images in a network's units."""
    generator = torch.Generator().manual_seed(seed)
    height, width = shape

    def images(channels, rows, cols):
        return torch.randn(samples, channels, rows, cols, generator=generator)

    ratio = kind.TRAITS.ratio
    lrms = None if ratio is None else images(bands, height // ratio, width // ratio)
    inputs = Inputs(images(bands, height, width), images(1, height, width), lrms)
    if not kind.TRAITS.physics:
        return inputs
    correlation = 0.25 + 0.75 * torch.rand(samples, bands, generator=generator)
    origin = 1 + 3 * torch.rand(samples, bands, generator=generator)
    low, intensity, blunt = (images(1, height, width) for _ in range(3))
    optics = torch.tensor([[0.3, 0.35, 2.0]]).expand(samples, -1)
    agreement = torch.randn(samples, bands, AGREEMENT, generator=generator)
    physics = Physics(low, intensity, correlation, origin, blunt, optics, agreement)
    return inputs._replace(physics=physics)


def settled(kind: type[Network], bands: int = 4, side: int = 32, seed: int = 0) -> Network:
    """Random weights; normalisation statistics from random images of ``side`` pixels."""
    return deepcopy(_settled(kind, bands, side, seed))


@cache
def _settled(kind: type[Network], bands: int, side: int, seed: int) -> Network:
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = kind(bands, side * side)
        if any(isinstance(m, torch.nn.modules.batchnorm._NormBase) for m in network.modules()):
            for step in range(20):
                network(random_inputs(kind, bands, (side, side), step, samples=4))
    return network.eval()


def settled_network(bands: int = 4, side: int = 32, seed: int = 0) -> GCPNet:
    """A GCPNet of that kind."""
    network = settled(GCPNet, bands, side, seed)
    assert isinstance(network, GCPNet)
    return network


def card_of(network: Network, name: str = "made") -> Card:
    """A card that fits a network."""
    ratio = network.TRAITS.ratio
    return Card(
        name=name,
        network=next((key for key, kind in NETWORKS.items() if type(network) is kind), "unlisted"),
        version="0",
        bands=network.bands,
        ratios=(1.9, 4.1) if ratio is None else (ratio - 0.1, ratio + 0.1),
        nominal_pixels=network.nominal_pixels,
        parameters=count(network),
        normalisation="detail units",
        groups="in order",
        statistics="of the scene",
        paper="none",
        reconstruction="",
        data="random numbers",
        recipe_sha256="0" * 64,
        budget="none",
        date="2026-11-21",
        figures={"landsat7 ratio 2, PSNR dB": {"exp": 30.125, "made": 31.5}},
    )


def weights_file(folder: Path, name: str = "mine") -> Path:
    """A GCPNet in a file whose stem is not the name on its card."""
    network = settled_network(side=16)
    path = folder / "trained.safetensors"
    save_weights(network, card_of(network, name), path)
    return path
