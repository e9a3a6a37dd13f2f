"""A network learns from the scene it will fuse, and what it learnt is used only where it helps."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import rasterio
import torch

from pancli.adaptation import AdaptTerms, adapt, run
from pancli.adaptation.objectives import LOSSES, Patch
from pancli.adaptation.samples import full_samples, ms_windows, reduced_samples
from pancli.device import CPU
from pancli.errors import MethodError, UsageError
from pancli.methods.back_projection import lacking
from pancli.methods.crispness import crisp_image, shown_pan_gain
from pancli.methods.network import NetworkMethod, scene_units
from pancli.networks.bandset import BandSet
from pancli.networks.gcpnet import GCPNet
from pancli.networks.weights import shipped
from pancli.placement import AxisMap, Placement
from pancli.resampling import displace
from pancli.scene import array_scene, crisp_for, fuse_scene
from pancli.sharpening import SharpenOptions, sharpen
from pancli.tiling import Window
from tests.adaptation.made import waves
from tests.methods.natural import blunted, natural, seen_from_orbit
from tests.networks.made import card_of, settled, settled_network
from tests.scenes import make_scene


def made_method():
    network = settled_network()
    return NetworkMethod(network, card_of(network))


@pytest.fixture
def scene():
    pan, ms, _ = waves()
    return array_scene(pan, ms)


def stop_after(monkeypatch, steps):
    """A clock that lets so many steps happen in an adaptation of 100 seconds."""
    clock = iter(np.linspace(0, 100, 2 * steps + 1).tolist() + [101.0] * 1000)
    monkeypatch.setattr(run, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    return 100.0


@pytest.mark.parametrize("loss", sorted(LOSSES))
def test_windows_held_back_are_the_better_for_it(scene, monkeypatch, loss):
    method = made_method()
    before = {name: tensor.clone() for name, tensor in method.network.state_dict().items()}
    monkeypatch.setattr(run, "_RATE", 1e-3)
    adapted, found = adapt(method, scene, AdaptTerms(stop_after(monkeypatch, 10), loss))
    assert found.steps == 10
    assert found.after < 0.95 * found.before
    assert found.kept
    assert adapted.network is not method.network
    assert all(torch.equal(before[name], tensor) for name, tensor in method.network.state_dict().items())
    norms = [name for name in before if "running" in name]
    assert norms
    assert all(torch.equal(before[name], adapted.network.state_dict()[name]) for name in norms)


def test_what_is_learnt_from_lies_on_the_scene(monkeypatch):
    """And not on its mirror image, where the windows of a small scene are smaller than patches may be."""
    pan, ms, _ = waves(256)
    seen: list[tuple[Window, Window]] = []
    views = NetworkMethod.views

    def watched(self, image, state, windows):
        seen.extend((window, image.tile.window) for window in windows)
        return views(self, image, state, windows)

    monkeypatch.setattr(NetworkMethod, "views", watched)
    adapt(made_method(), array_scene(pan, ms), AdaptTerms(stop_after(monkeypatch, 4), "reduced"))
    assert len(seen) > 4
    assert all(window.intersect(image) == window for window, image in seen)


def test_what_is_learnt_brings_the_fused_image_nearer_to_the_truth(monkeypatch):
    pan, ms, truth = waves()
    pair = array_scene(pan, ms)
    method = NetworkMethod.load(shipped()["gcpnet"], CPU)
    adapted, _ = adapt(method, pair, AdaptTerms(stop_after(monkeypatch, 12)))
    with torch.inference_mode():
        fused = [fuse_scene(m, pair, m.fit(pair)).numpy() for m in (method, adapted)]
    errors = [np.abs(image - truth).mean() for image in fused]
    assert errors[1] < 0.98 * errors[0]


@pytest.mark.parametrize("holes", [False, True])
@pytest.mark.parametrize("kind", [BandSet, GCPNet])
def test_what_is_judged_is_what_is_written_rounds_and_all(kind, holes):
    pan, ms, _ = waves()
    if holes:
        ms[:, 40:44, 40:44] = np.nan
    method = NetworkMethod(settled(kind), card_of(settled(kind)))
    samples = reduced_samples(array_scene(pan, ms))
    objective = LOSSES["reduced"]
    learner, none = (run._Learner(method, samples, objective, rounds) for rounds in (2, 0))
    expected = []
    for sample in samples.held_back:
        image, window = sample.image, sample.image.tile.window
        measured = learner._state.measured
        seen = image if measured is None else crisp_image(image, measured.missing)
        (inputs,), (members,) = method.views(seen, learner._state, (window,)), learner._state.groups
        with torch.no_grad():
            outcome = method.network(inputs)
        back = torch.argsort(torch.tensor(members))
        fused = image.upsampled + samples.units.detail(outcome.residual[0][back])
        for _ in range(2):
            windows, masks = (window, image.ms_window), (image.valid, image.ms_valid)
            missing = lacking(fused, image.ms, image.info.placement, windows, image.info.gains, masks)
            fused = fused + (1.0 if outcome.trust is None else outcome.trust[0][back]) * missing
        patch = Patch(samples.units.of_bands(fused), range(4), window)
        expected.append(float(objective.loss(patch, sample, samples.units)))
    assert learner.held_back() == pytest.approx(sum(expected) / len(expected), rel=1e-3)
    assert learner.held_back() != pytest.approx(none.held_back(), rel=1e-2)


def test_what_does_not_help_is_not_kept(scene, monkeypatch):
    monkeypatch.setattr(run, "_RATE", 0.0)
    method = made_method()
    same, found = adapt(method, scene, AdaptTerms(stop_after(monkeypatch, 4)))
    assert same is method
    assert not found.kept
    assert "not kept" in found.describe()


def test_windows_learnt_from_are_not_held_back(scene):
    samples = reduced_samples(scene)
    learnt = {sample.image.pan.sum().item() for sample in samples.learnt}
    held_back = {sample.image.pan.sum().item() for sample in samples.held_back}
    assert (len(learnt), len(held_back)) == (3, 1)
    assert not learnt & held_back


def test_at_reduced_resolution_all_images_lie_where_the_truth_does():
    pan, ms, _ = waves(512, shortest=140)
    for sample in reduced_samples(array_scene(pan, ms)).learnt:
        inner = (slice(8, -8), slice(8, -8))
        assert sample.truth is not None
        truth = sample.truth[1][inner]
        for image in (sample.image.upsampled[1], sample.image.pan[0]):
            matched = float(torch.corrcoef(torch.stack([truth.flatten(), image[inner].flatten()]))[0, 1])
            for shift in ((1, 0), (0, 1), (-1, 0), (0, -1)):
                moved = image.roll(shift, (0, 1))[inner]
                assert float(torch.corrcoef(torch.stack([truth.flatten(), moved.flatten()]))[0, 1]) < matched


def test_a_consistent_image_has_the_least_full_resolution_loss():
    pan, ms, truth = waves()
    pair = array_scene(pan, ms)
    units = scene_units(pair)
    sample = full_samples(pair, units).learnt[0]
    where = sample.image.tile.window
    rows, cols = where.slices_in(Window(0, 0, 256, 256))
    right = units.of_bands(torch.from_numpy(truth[:, rows, cols]))
    loss = LOSSES["full"].loss
    least = float(loss(Patch(right, range(4), where), sample, units))
    assert least < 0.2
    assert float(loss(Patch(right.roll(4, 1), range(4), where), sample, units)) > 2 * least
    assert float(loss(Patch(right + 0.5, range(4), where), sample, units)) > least + 0.3


@pytest.mark.parametrize("kind", [BandSet, GCPNet])
def test_networks_that_see_physics_learn_from_pan_laid_on_ms(kind, monkeypatch):
    pan, ms, _ = waves()
    seen = []
    objective = LOSSES["reduced"]

    def gather(scene):
        seen.append(scene.pan_shift)
        return objective.gather(scene)

    monkeypatch.setitem(LOSSES, "reduced", replace(objective, gather=gather))
    method = NetworkMethod(settled(kind), card_of(settled(kind)))
    away = displace(torch.from_numpy(pan)[None], (-0.5, 0.0))[0].numpy()
    adapt(method, array_scene(away, ms), AdaptTerms(stop_after(monkeypatch, 1), "reduced"))
    expected = (0.5, 0.0) if kind is BandSet else (0.0, 0.0)
    assert seen[0] == pytest.approx(expected, abs=0.1)


def test_with_a_crisp_pan_a_network_learns_from_one_at_reduced_resolution_too():
    blunt = array_scene(blunted(natural(), 0.2)[0].numpy(), seen_from_orbit(natural()))
    crisp = crisp_for(made_method(), blunt)
    seen = []
    for scene in (blunt, crisp):
        samples = reduced_samples(scene)
        images = [sample.image for sample in (*samples.learnt, *samples.held_back)]
        seen.append(shown_pan_gain([(image.pan[0], image.pan_valid) for image in images]))
    assert crisp.pan_crisper > 1.5
    assert seen[1] > 1.4 * seen[0]


def test_windows_are_spread_and_lie_inside():
    pan, ms, _ = waves(512)
    windows = ms_windows(array_scene(pan, ms))
    assert len(windows) == 16
    assert all(window.intersect(Window(0, 0, 128, 128)) == window for window in windows)
    assert len({(w.row, w.col) for w in windows}) == len(windows)


def test_pan_under_ms_is_counted_from_the_geotransform():
    placement = Placement(AxisMap(0.25, 0.5, 100), AxisMap(0.25, 0.0, 100))
    assert placement.pan_on(Window(4, 8, 10, 10)) == Window(14, 32, 40, 40)


def test_masked_pixels_teach_nothing():
    pan, ms, _ = waves()
    ms[:, 40:44, 40:44] = np.nan
    samples = reduced_samples(array_scene(pan, ms))
    (sample,) = [s for s in (*samples.learnt, *samples.held_back) if not bool(s.image.valid.all())]
    assert int((~sample.image.valid).sum()) == 36  # and the pixels next to them, whose pan is in doubt
    fused = samples.units.of_bands(sample.image.upsampled)
    window = sample.image.tile.window
    before, wild = (
        LOSSES["reduced"].loss(Patch(fused, range(4), window), sample, samples.units),
        fused.clone(),
    )
    wild[:, ~sample.image.valid] = 1e3
    assert torch.equal(LOSSES["reduced"].loss(Patch(wild, range(4), window), sample, samples.units), before)


@pytest.mark.parametrize("side", [128, 64])
def test_scenes_too_small_are_refused(side):
    pan, ms, _ = waves(side)
    with pytest.raises(MethodError, match="too small or masked"):
        adapt(made_method(), array_scene(pan, ms), AdaptTerms(1.0))


@pytest.mark.parametrize(("seconds", "loss"), [(0.0, "full"), (float("nan"), "full"), (1.0, "best")])
def test_terms_are_checked(seconds, loss):
    with pytest.raises(UsageError):
        AdaptTerms(seconds, loss)


def test_the_file_says_that_it_was_adapted(tmp_path):
    scene = make_scene(tmp_path, size=(256, 256))
    out = tmp_path / "out.tif"
    report = sharpen(str(scene.pan), [str(scene.ms)], out, SharpenOptions(adapt=0.5, device="cpu"))
    assert report.adaptation is not None
    assert report.as_dict()["adaptation"]["steps"] >= 1
    with rasterio.open(out) as dataset:
        assert dataset.tags()["PANCLI_ADAPTATION"] == report.adaptation.describe()


def test_classical_methods_do_not_learn(tmp_path):
    scene = make_scene(tmp_path)
    with pytest.raises(UsageError, match="gsa has nothing to learn"):
        sharpen(str(scene.pan), [str(scene.ms)], tmp_path / "o.tif", SharpenOptions(method="gsa", adapt=1.0))
