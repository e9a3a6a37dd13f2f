"""What only a CUDA device can show; skips itself where there is none. Runs from arrays: no files are read."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.adaptation import LOSSES, AdaptTerms, adapt
from pancli.device import CPU
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod, to_channels_last
from pancli.methods.registry import METHODS
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import shipped
from pancli.scene import array_scene, fuse_scene
from pancli.simulation.scenes import random_pair
from tests.adaptation.made import waves
from tests.methods.pairs import make_case
from tests.networks.made import card_of, settled

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device"),
]


def on(device, method):
    method = with_rounds(method, None)
    case = make_case(4)
    scene = replace(array_scene(case.pan, case.ms, case.placement), device=torch.device(device))
    with torch.inference_mode():
        return fuse_scene(method, scene, method.fit(scene), 64).numpy()


def agree(a, b, tolerance):
    assert np.abs(a - b).max() < tolerance * np.ptp(a)


@pytest.mark.parametrize("name", list(METHODS))
def test_classical_methods_agree_with_the_cpu(name):
    agree(on("cpu", METHODS[name]), on("cuda", METHODS[name]), 1e-3)


@pytest.mark.parametrize(
    ("precision", "tolerance"), [("float32", 2e-3), ("bfloat16", 3e-2), ("float16", 1e-2)]
)
def test_networks_agree_with_the_cpu(precision, tolerance):
    for path in shipped().values():
        here = NetworkMethod.load(path, CPU, "float32")
        there = NetworkMethod.load(path, torch.device("cuda"), precision)
        agree(on("cpu", here), on("cuda", there), tolerance)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_untrained_networks_agree_with_the_cpu(name):
    side = NETWORKS[name].TRAITS.window or 64
    here, there = (
        NetworkMethod(to_channels_last(network, torch.device(device)), card_of(network))
        for device, network in ((d, settled(NETWORKS[name], side=side)) for d in ("cpu", "cuda"))
    )
    agree(on("cpu", here), on("cuda", there), 1e-2)


def test_a_scene_is_the_same_but_for_rounding():
    here, there = (
        random_pair(torch.Generator().manual_seed(3), 256, 4, 4.0, device=torch.device(device))
        for device in ("cpu", "cuda")
    )
    assert there.pan.device.type == there.reference.device.type == "cuda"
    for name in ("pan", "ms", "reference"):
        apart = (getattr(here, name) - getattr(there, name).cpu()).abs()
        assert (apart <= 1).float().mean() > 0.999


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_a_network_adapts_on_the_device(loss):
    pan, ms, _ = waves()
    scene = replace(array_scene(pan, ms), device=torch.device("cuda"))
    method = NetworkMethod.load(shipped()["gcpnet"], torch.device("cuda"))
    _, found = adapt(method, scene, AdaptTerms(5.0, loss))
    assert found.kept
