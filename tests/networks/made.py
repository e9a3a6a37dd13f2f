"""Networks with random weights whose normalisation has settled, as after training."""

import torch

from pancli.networks.gcpnet import GCPNet
from pancli.networks.weights import Card


def settled_network(bands: int = 4, side: int = 32, seed: int = 0) -> GCPNet:
    """Random weights; normalisation statistics from random images of ``side`` pixels."""
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        network = GCPNet(bands, side * side)
        for _ in range(20):
            network(torch.randn(4, bands, side, side), torch.randn(4, 1, side, side))
    return network.eval()


def card_of(network: GCPNet, name: str = "made") -> Card:
    """A card that fits a network."""
    return Card(
        name=name,
        network="gcpnet",
        version="0",
        bands=network.bands,
        ratios=(1.9, 4.1),
        nominal_pixels=network.nominal_pixels,
        parameters=sum(p.numel() for p in network.parameters()),
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
