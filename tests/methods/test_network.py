"""A network as a Method: no seam, no sensor, any number of bands, and only valid pixels count."""

import math
from dataclasses import replace

import numpy as np
import pytest
import safetensors.torch
import torch

from pancli.device import CPU, using_threads
from pancli.errors import MethodError
from pancli.hashing import file_sha256
from pancli.methods import protocol
from pancli.methods.back_projection import with_rounds
from pancli.methods.component_substitution import GSA
from pancli.methods.moments import Moments
from pancli.methods.network import NetworkMethod, _put
from pancli.methods.protocol import Sample
from pancli.methods.units import Units, band_groups
from pancli.networks.protocol import Product
from pancli.networks.weights import shipped
from pancli.placement import AxisMap, Placement
from pancli.scene import ArrayReader, array_scene, fuse_scene
from tests.networks.made import card_of, settled_network, weights_file


def made_method(**changes):
    network = settled_network()
    return NetworkMethod(network, card_of(network), **changes)


METHODS = ["made", *sorted(shipped())]


def find(name):
    return made_method() if name == "made" else NetworkMethod.load(shipped()[name], CPU)


def test_the_hash_is_that_of_the_file_that_was_loaded(tmp_path, monkeypatch):
    path = weights_file(tmp_path)
    wanted, load = file_sha256(path), safetensors.torch.load

    def replaced(content):
        """As a training run that exports while the file is read."""
        weights_file(tmp_path, "another")
        return load(content)

    monkeypatch.setattr("pancli.networks.weights.load", replaced)
    method = NetworkMethod.load(path, CPU)
    assert (method.name, method.weights_sha256) == ("mine", wanted)
    assert file_sha256(path) != wanted


def images(bands=4, side=96, ratio=4, seed=0):
    """Pan (H, W) and ms (B, h, w) that share their detail, in 11-bit numbers."""
    generator = np.random.default_rng(seed)
    coarse = generator.random((side // 8 + 1, side // 8 + 1))
    rows = np.linspace(0, side // 8, side)
    ground = np.array([np.interp(rows, np.arange(side // 8 + 1), line) for line in coarse])
    ground = np.array([np.interp(rows, np.arange(side // 8 + 1), line) for line in ground.T]).T
    ground = ground + 0.2 * generator.random((side, side))
    gains = 0.3 + generator.random(bands)
    levels = 300 + 150 * np.arange(bands)
    reference = levels[:, None, None] + 900 * gains[:, None, None] * ground
    reference = reference + 60 * generator.random((bands, side, side))
    ms = reference.reshape(bands, side // ratio, ratio, side // ratio, ratio).mean((2, 4))
    pan = 200 + 1200 * ground
    return pan.astype(np.float32), ms.astype(np.float32)


def fuse(method, pan, ms, tile=512, placement=None):
    scene = array_scene(pan, ms, placement)
    return fuse_scene(method, scene, method.fit(scene), tile).numpy()


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("masked", [False, True])
def test_tile_size_does_not_show(name, masked):
    pan, ms = images()
    if masked:
        pan[30:38, 50:60] = np.nan
        ms[:, 3:5, 17:19] = np.nan
    method = find(name)
    scene = array_scene(pan, ms)
    state = method.fit(scene)
    whole = fuse_scene(method, scene, state, 512)
    for tile in (40, 64):
        tiled = fuse_scene(method, scene, state, tile)
        torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4 * 2047, equal_nan=True)


@pytest.mark.parametrize(("masked", "threads"), [(False, 1), (False, 2), (True, 2)])
def test_pieces_do_not_show(monkeypatch, masked, threads):
    pan, ms = images()
    if masked:
        pan[30:38, 50:60] = np.nan
    method = with_rounds(find("bandset"), None)
    scene = array_scene(pan, ms)
    state = method.fit(scene)
    whole = fuse_scene(method, scene, state)
    seen = []
    run = NetworkMethod._run

    def watched(self, inputs, context):
        seen.append(inputs.pan.shape[-2:])
        return run(self, inputs, context)

    monkeypatch.setattr(protocol, "_PIECE_BYTES", 1)
    monkeypatch.setattr(protocol, "_SMALLEST_PIECE", 33)
    monkeypatch.setattr(NetworkMethod, "_run", watched)
    with using_threads(threads):
        pieced = fuse_scene(method, scene, state)
    assert len(seen) == 9
    torch.testing.assert_close(pieced, whole, rtol=0, atol=1e-5 * 2047, equal_nan=True)


def test_a_piece_is_no_larger_than_it_must_be(monkeypatch):
    """What pan is degraded from lies further out than what the network looks at."""
    pan, ms = images(side=256)
    method = find("bandset")
    scene = array_scene(pan, ms)
    state, halo = method.fit(scene), method.network.TRAITS.halo
    monkeypatch.setattr(protocol, "_PIECE_BYTES", 1)
    monkeypatch.setattr(protocol, "_SMALLEST_PIECE", 32)
    run, seen = NetworkMethod._run, []

    def watched(self, inputs, context):
        seen.append(tuple(inputs.pan.shape[-2:]))
        return run(self, inputs, context)

    monkeypatch.setattr(NetworkMethod, "_run", watched)
    fuse_scene(method, scene, state)
    assert max(seen) == (32 + 2 * halo,) * 2


def test_a_large_tile_takes_no_more_of_a_network_than_its_pieces():
    contract = find("bandset").contract
    features = 4 * 8 * contract.workspace
    for threads in (1, 2, 16):
        assert contract.working_bytes(128, 8, threads) >= features * 128**2
        assert contract.working_bytes(1024, 8, threads) < features * 1024**2 / 2
    alone, together, no_more = (contract.working_bytes(1024, 8, threads) for threads in (1, 2, 16))
    assert alone < together == no_more
    assert contract.piece(100) == protocol._SMALLEST_PIECE
    assert find("gcpnet").contract.piece(4) is None and GSA.contract.piece(4) is None


@pytest.mark.parametrize("name", ["bandset", "bandset-small"])
@pytest.mark.parametrize("shape", [(1024, 1024), (1150, 980), (300, 2000), (2000, 300), (40, 50)])
@pytest.mark.parametrize("bands", [4, 8, 100])
def test_pieces_are_alike_and_fit_and_are_no_more_than_squares_would_be(name, shape, bands):
    contract = find(name).contract
    height, width = contract.piece_shape(shape, bands)
    side, beside = contract.piece(bands), 2 * contract.piece_halo
    assert (height + beside) * (width + beside) <= (side + beside) ** 2
    down, across = math.ceil(shape[0] / height), math.ceil(shape[1] / width)
    assert height * down - shape[0] < down and width * across - shape[1] < across
    assert down * across <= math.ceil(shape[0] / side) * math.ceil(shape[1] / side)


def test_oblong_pieces_are_fewer():
    contract = find("bandset").contract
    assert contract.piece(4) < 512
    assert contract.piece_shape((1024, 1024), 4) == (512, 342)
    assert find("gcpnet").contract.piece_shape((1024, 1024), 4) is None


def test_fitting_tiles_do_not_show(monkeypatch):
    pan, ms = images()
    method = made_method()
    scene = array_scene(pan, ms)
    partial, seen = Product.partial, []

    def watched(self, weight):
        seen.append(int(weight.sum()))
        return partial(self, weight)

    monkeypatch.setattr(Product, "partial", watched)
    whole = method.fit(scene)
    parts = len(seen)
    tiled = method.fit(replace(scene, fit_tile=40))
    assert len(seen) - parts > 4 * parts
    assert sum(seen[parts:]) == sum(seen[:parts])
    for (ours,), (theirs,) in zip(tiled.contexts[0], whole.contexts[0], strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 1e-5


def test_what_is_sampled_of_a_scene_does_not_depend_on_the_tiles():
    scene = array_scene(*images())
    seen = []
    for side in (32, 12):
        mask = torch.zeros(scene.area.shape)
        for image in replace(scene, fit_tile=side).tiles(0, Sample(3, 32)):
            mask[image.tile.core.slices_in(scene.area)] += 1
        seen.append(mask)
    assert torch.equal(*seen)
    assert (int(seen[0].sum()), int(seen[0].max())) == (3 * 32 * 32, 1)


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("placement", [Placement(*[AxisMap(1 / 2.5, 0.3, 38)] * 2)])
def test_any_placement_is_seamless(name, placement):
    pan, ms = images()
    ms = np.repeat(np.repeat(ms, 2, 1), 2, 2)[:, :38, :38]
    method = find(name)
    whole, tiled = (fuse(method, pan, ms, tile, placement) for tile in (512, 50))
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-4 * 2047)


@pytest.mark.parametrize("name", METHODS)
def test_gain_offset_and_bit_depth_do_not_matter(name):
    """Offsets do to a network that sees physics: injecting in proportion to brightness needs its zero."""
    pan, ms = images()
    method = find(name)
    plain = fuse(method, pan, ms)
    gains = np.array([0.1, 2.0, 30.0, 1.0], np.float32)[:, None, None]
    offsets = np.array([5.0, -100.0, 0.0, 1000.0], np.float32)[:, None, None]
    pan_offset = 90.0
    if method.network.TRAITS.physics:
        offsets, pan_offset = np.zeros_like(offsets), 0.0
    changed = fuse(method, pan * 7 + pan_offset, ms * gains + offsets)
    np.testing.assert_allclose((changed - offsets) / gains, plain, rtol=0, atol=0.5)


@pytest.mark.parametrize("name", METHODS)
def test_band_order_does_not_matter(name):
    pan, ms = images()
    method = find(name)
    order = [2, 0, 3, 1]
    np.testing.assert_allclose(fuse(method, pan, ms[order]), fuse(method, pan, ms)[order], atol=1e-2)


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_pair_stays_constant(name):
    levels = np.array([3.0, 700.0, 65535.0, 0.0], np.float32)
    ms = np.broadcast_to(levels[:, None, None], (4, 12, 12))
    fused = fuse(find(name), np.full((48, 48), 901.0, np.float32), ms)
    np.testing.assert_allclose(
        fused, np.broadcast_to(levels[:, None, None], fused.shape), rtol=1e-6, atol=1e-3
    )


@pytest.mark.parametrize("name", METHODS)
def test_a_constant_band_stays_constant_among_others(name):
    pan, ms = images()
    ms[2] = 512.0
    fused = fuse(find(name), pan, ms)
    np.testing.assert_allclose(fused[2], 512.0, atol=1e-3)
    assert np.isfinite(fused).all()
    assert fused[0].std() > 10


def test_a_constant_pan_adds_nothing():
    _, ms = images()
    fused = fuse(made_method(), np.full((96, 96), 5.0, np.float32), ms)
    scene = array_scene(np.zeros((96, 96), np.float32), ms)
    upsampled = next(iter(scene.tiles(0))).upsampled
    np.testing.assert_allclose(fused, upsampled, atol=1e-3)


class Junk(ArrayReader):
    """Invalid pixels hold large numbers."""

    def read_pan(self, window):
        values, valid = super().read_pan(window)
        return np.where(valid, values, np.float32(9e4)), valid

    def read_ms(self, window):
        values, valid = super().read_ms(window)
        return np.where(valid, values, np.float32(-9e4)), valid


@pytest.mark.parametrize("name", METHODS)
def test_what_is_masked_does_not_matter(name):
    pan, ms = images()
    pan[:, :9] = np.nan
    ms[:, 20:, :4] = np.nan
    # Between the borders and the masks, statistics of valid pixels alone decide.
    before = fuse(find(name), pan, ms)

    method = find(name)
    scene = array_scene(pan, ms)
    junk = replace(scene, reader=Junk(pan, ms))
    after = fuse_scene(method, junk, method.fit(junk)).numpy()
    np.testing.assert_array_equal(np.isnan(after), np.isnan(before))
    np.testing.assert_array_equal(after, before)


def test_a_masked_border_changes_no_statistic_of_the_rest():
    method = made_method()
    pan, ms = images(side=128)
    scene = array_scene(pan, ms)
    part = replace(scene, area=replace(scene.area, height=64))
    masked_pan = pan.copy()
    masked_pan[64:] = np.nan
    by_area, by_mask = method.fit(part), method.fit(array_scene(masked_pan, ms))
    # Filled pixels beyond the mask are seen by the convolutions, so only roughly.
    for (ours,), (theirs,) in zip(by_mask.contexts[0], by_area.contexts[0], strict=True):
        assert float((ours - theirs).norm() / theirs.norm()) < 0.25
    assert float((by_mask.units.mean - by_area.units.mean).abs().max()) < 5


@pytest.mark.parametrize("bands", [1, 3, 4, 8, 10])
def test_any_number_of_bands(bands):
    pan, ms = images(bands)
    fused = fuse(made_method(), pan, ms)
    assert fused.shape == (bands, 96, 96)
    assert np.isfinite(fused).all()
    for band in range(bands):
        reduced = fused[band].reshape(24, 4, 24, 4).mean((1, 3))
        others = [np.abs(reduced - ms[other]).mean() for other in range(bands)]
        assert int(np.argmin(others)) == band


@pytest.mark.parametrize("bands", [1, 2, 3, 4, 5, 7, 8, 10])
def test_groups_cover_every_band(bands):
    groups = band_groups(bands, 4)
    assert all(len(group) == 4 for group in groups)
    assert set().union(*groups) == set(range(bands))
    assert len(groups) == -(-bands // 4)


@pytest.mark.parametrize("bands", [2, 3, 4])
def test_bands_that_go_in_together_may_come_in_any_order(bands):
    pan, ms = images(bands)
    order = [*range(1, bands), 0]
    method = made_method()
    np.testing.assert_allclose(fuse(method, pan, ms[order]), fuse(method, pan, ms)[order], atol=1e-2)


def test_a_repeated_band_takes_its_first_result():
    part, whole = torch.arange(4.0)[None, :, None, None], torch.empty(1, 3, 1, 1)
    _put(part, (2, 0, 1, 2), whole)
    assert whole.flatten().tolist() == [1.0, 2.0, 0.0]


def test_a_whole_number_of_groups_are_fused_each_by_itself():
    pan, ms = images(8)
    method = made_method()
    both = fuse(method, pan, ms)
    np.testing.assert_allclose(both[:4], fuse(method, pan, ms[:4]), atol=1e-2)
    np.testing.assert_allclose(both[4:], fuse(method, pan, ms[4:]), atol=1e-2)


def test_units_by_hand():
    ms = np.array([[1.0, 2, 3, 4], [8.0, 6, 4, 2], [5.0, 5, 5, 5]])
    pan = np.array([[10.0, 20, 30, 40]])
    units = Units.of(Moments.of(torch.from_numpy(np.concatenate([ms, pan]))))
    std = np.std([1, 2, 3, 4], ddof=1)
    np.testing.assert_allclose(units.scale[:2], np.array([std, -2 * std]), rtol=1e-6)
    assert bool(units.scale[2].isinf())
    bands = units.of_bands(torch.from_numpy(ms)[:, :, None].float())
    standard = units.of_pan(torch.full((1, 4, 1), 40.0))
    np.testing.assert_allclose(bands[0], bands[1], atol=1e-6)
    assert float(bands[2].abs().max()) == 0
    assert float(standard[0, 0, 0]) == pytest.approx(15 / (10 * std))
    detail = units.detail(torch.ones(3, 1, 1))[:, 0, 0]
    np.testing.assert_allclose(detail, np.array([std, -2 * std, 0]), rtol=1e-6)
    np.testing.assert_allclose(units.weight(), [1, 1, 0], rtol=1e-6)


@pytest.mark.parametrize(("of_pan", "of_a_band"), [(1e-6, 1.0), (1.0, 1e-8)])
def test_units_of_pan_and_of_a_band_do_not_show(of_pan, of_a_band):
    pan, ms = images()
    pan = (pan + np.roll(pan, 1, 0)) / 2  # half a pixel from ms, which is to be found
    units = np.array([1.0, 1.0, of_a_band, 1.0], np.float32)[:, None, None]
    method = find("bandset-small")
    fused = fuse(method, pan * np.float32(of_pan), ms * units) / units
    np.testing.assert_allclose(fused, fuse(method, pan, ms), rtol=1e-4)


def test_groups_go_in_by_falling_correlation():
    generator = np.random.default_rng(0)
    pan = generator.standard_normal(5000)
    noise = generator.standard_normal((4, 5000))
    samples = np.stack([pan + level * n for level, n in zip((2, 0.1, 9, 0.5), noise, strict=True)] + [pan])
    units = Units.of(Moments.of(torch.from_numpy(samples)))
    assert units.ordered((0, 1, 2, 3)) == (1, 3, 0, 2)
    assert units.ordered((0, 1, 0, 1)) == (1, 1, 0, 0)


def test_a_scene_without_a_valid_pixel_is_refused():
    pan, ms = images()
    with pytest.raises(MethodError, match="0 pixels are valid"):
        made_method().fit(array_scene(np.full_like(pan, np.nan), ms))


def test_half_precision_stays_near():
    pan, ms = images()
    method = made_method()
    scene = array_scene(pan, ms)
    state = method.fit(scene)
    exact = fuse_scene(method, scene, state)
    rough = fuse_scene(replace(method, precision="bfloat16"), scene, state)
    assert rough.dtype == torch.float32
    assert 0 < float((rough - exact).abs().mean()) < 0.05 * float(exact.std())


def test_contract_comes_from_the_card():
    method = made_method()
    assert (method.name, method.contract.bands, method.contract.ratios) == ("made", 4, (1.9, 4.1))
    assert method.radius(array_scene(*images()).info) == 25
