"""All that a GPU is given is given to it whole: on a device that refuses to mix, results are the CPU's.

What only a GPU can show (precision, speed, memory) is in test_gpu.py.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from pancli.adaptation import LOSSES, AdaptTerms, adapt
from pancli.device import CPU
from pancli.evaluation import images
from pancli.evaluation import run as evaluation
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod, to_channels_last
from pancli.methods.registry import METHODS
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import shipped
from pancli.scene import array_scene, fuse_scene
from pancli.sharpening import SharpenOptions, plan, sizing
from pancli.sharpening import run as sharpening
from pancli.simulation.scenes import random_pair
from pancli.training.loop import train
from pancli.training.ranks import Ranks
from pancli.training.reading import read_recipe
from pancli.training.run import Terms, Told
from pancli.training.sampling import Sampler
from tests.adaptation.made import waves
from tests.far import far_away, near
from tests.methods.pairs import make_case
from tests.networks.made import card_of, settled
from tests.scenes import read, spoil
from tests.training.made import TAUGHT, TEXT, make_data, make_recipe

SIMULATED = '[[sources]]\nkind = "simulated"\nweight = 3.0\n\n[schedule]'


def fused(device, method):
    case = make_case(4, shape=(96, 80))
    scene = replace(array_scene(case.pan, case.ms, case.placement), device=device)
    return near(fuse_scene(method, scene, method.fit(scene), 96)).numpy()


def assert_alike(make, tolerance=1e-5):
    """What is made on the far device is what is made here."""
    here = make(CPU)
    with far_away() as far:
        there = make(far)
    assert np.abs(here - there).max() <= tolerance * np.ptp(here)


def test_the_far_device_computes_and_refuses_to_mix():
    here = torch.arange(6.0).reshape(2, 3)
    with far_away() as far:
        there = here.to(far)
        assert there.device == far
        assert torch.equal((there * 2 + 1)[:, [2, 0]].cpu(), (here * 2 + 1)[:, [2, 0]])
        with pytest.raises(RuntimeError, match="same device"):
            there + here
        with pytest.raises(RuntimeError, match="same device"):
            torch.cat((here, there))


@pytest.mark.parametrize("name", list(METHODS))
def test_classical_methods_do_not_mix_devices(name):
    assert_alike(lambda device: fused(device, with_rounds(METHODS[name], 2)))


@pytest.mark.parametrize("name", list(NETWORKS))
def test_networks_do_not_mix_devices(name):
    network = settled(
        NETWORKS[name], side=NETWORKS[name].TRAITS.window or max(NETWORKS[name].TRAITS.align, 32)
    )
    assert_alike(
        lambda device: fused(device, NetworkMethod(to_channels_last(network, device), card_of(network)))
    )


def test_weights_are_loaded_to_the_device_they_are_asked_on():
    path = shipped()["bandset"]
    assert_alike(lambda device: fused(device, NetworkMethod.load(path, device, "float32")))


@pytest.mark.parametrize(
    "options",
    [
        {"coregister": "pan"},
        {"method": "gsa", "coregister": "auto", "back_project": 2},
        {"method": "premix-b", "back_project": 1},
    ],
)
def test_masked_files_are_sharpened_and_measured_alike(tmp_path, monkeypatch, options):
    scene = spoil(tmp_path / "scene", 0)
    asked = SharpenOptions(tile=96, **options)

    def made(name):
        out = tmp_path / f"{name}.tif"
        sharpening.sharpen(str(scene.pan), [str(scene.ms)], out, asked)
        report = evaluation.evaluate(str(out), str(scene.pan), [str(scene.ms)])
        return read(out).astype(float), {name: figure.value for name, figure in report.figures.items()}

    image, figures = made("near")
    with far_away() as far:
        monkeypatch.setitem(sizing._BEST, far.type, sizing._BEST["cpu"])
        for module in (plan, sharpening, images, evaluation):
            monkeypatch.setattr(module, "find_device", lambda _: far)
        there, same = made("far")
    assert np.abs(there - image).max() <= 1
    assert same == pytest.approx(figures, abs=1e-3)


def test_simulated_scenes_do_not_mix_devices():
    for seed in range(12):
        made = []
        with far_away() as far:
            for device in (CPU, far):
                pair = random_pair(torch.Generator().manual_seed(seed), 48, 4, 4.0, device=device)
                assert pair.pan.device == pair.ms.device == pair.reference.device == device
                made.append([near(image) for image in (pair.pan, pair.ms, pair.reference)])
        assert all(map(torch.equal, *made))


def test_painting_asks_nothing_back_from_the_device():
    pair = random_pair(torch.Generator().manual_seed(1), 48, 4, 4.0, device=torch.device("meta"))
    assert pair.reference.shape == (4, 48, 48)  # without a value there is nothing to ask for


@pytest.mark.parametrize("network", ["bandset", "gcpnet"])
def test_examples_are_drawn_on_the_device(tmp_path, network):
    text = TEXT.replace("[schedule]", SIMULATED, 1).replace('"gcpnet"', f'"{network}"')
    sampler = Sampler.load(read_recipe(make_recipe(tmp_path, text)), make_data(tmp_path / "data"))
    for step in range(4):
        here = sampler.batch(step)
        with far_away() as far:
            there = replace(sampler, device=far).batch(step)
            assert there.target.device == there.inputs.pan.device == far
        assert torch.equal(near(there.target), here.target)
        assert torch.equal(near(there.inputs.bms), here.inputs.bms)


@pytest.mark.parametrize(
    ("text", "network"),
    [(TEXT, "bandset"), (TAUGHT, "gcpnet"), (TAUGHT.replace('"encoder"', '"vae"'), "msinn")],
)
def test_training_does_not_mix_devices_and_draws_where_it_trains(tmp_path, monkeypatch, text, network):
    text = text.replace("[schedule]", SIMULATED, 1).replace('"gcpnet"', f'"{network}"')
    # In small steps, or what rounding makes of the first grows a hundredfold with each that follows.
    text = text.replace("learning_rate = 2e-3", "learning_rate = 1e-4")
    text = text.replace("steps = 4", "steps = 2\nlearning_rate = 1e-4").replace("steps = 3", "steps = 2")
    text = text.replace("settle = 0.6", "settle = 0.5")
    recipe, data = read_recipe(make_recipe(tmp_path, text)), make_data(tmp_path / "data")

    drawn_on, batch = set(), Sampler.batch

    def noting(sampler, step):
        drawn_on.add(sampler.device)
        return batch(sampler, step)

    monkeypatch.setattr(Sampler, "batch", noting)

    def losses(device):
        drawn_on.clear()
        told: list[Told] = []
        run = train(recipe, data, tmp_path / device.type, Terms(Ranks(device=device)), told.append)
        assert run.done
        assert drawn_on == {device}
        return np.array([step.loss for step in told])

    assert_alike(losses, 2e-3)


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_adaptation_does_not_mix_devices(loss):
    pan, ms, _ = waves()
    with far_away() as far:
        scene = replace(array_scene(pan, ms), device=far)
        adapt(NetworkMethod.load(shipped()["gcpnet"], far), scene, AdaptTerms(1.0, loss))
