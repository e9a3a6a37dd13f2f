"""GCPNet: sizes as published, its graphs against plain loops, and how far it really looks."""

import numpy as np
import pytest
import torch

from pancli.networks.gcpnet import BandGraph, GCPNet, GraphUnit, SpatialGraph, pixel_product
from tests.networks.made import settled_network

WIDTH = 24


def count(module):
    return sum(p.numel() for p in module.parameters())


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def network():
    return settled_network()


def test_has_the_published_number_of_parameters():
    assert count(GCPNet()) == 86_759


def test_each_module_has_its_published_size():
    network = GCPNet()
    sizes = {
        "head": 10_369,
        "head2": 244,
        "conv1": 9_601,
        "conv2": 10_369,
        "output_conv": 4_000,
        "unit1.spatial": 1_380,
        "unit1.scales": 23_736,
        "unit1.spectral": 972,
        "unit2.spatial": 1_380,
        "unit2.scales": 23_736,
        "unit2.spectral": 972,
    }
    assert {name: count(network.get_submodule(name)) for name in sizes} == sizes
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d)]
    assert len(norms) == 10


@pytest.mark.parametrize(("bands", "height", "width"), [(4, 32, 32), (4, 33, 47), (3, 40, 21), (8, 9, 30)])
def test_output_has_the_shape_of_bms(bands, height, width):
    network = GCPNet(bands).eval()
    out = network(noise(2, bands, height, width), noise(2, 1, height, width))
    assert out.shape == (2, bands, height, width)


def test_without_a_last_layer_it_returns_bms(network):
    silent = settled_network()
    torch.nn.init.zeros_(silent.output_conv.weight)
    bms, pan = noise(1, 4, 20, 24), noise(1, 1, 20, 24, seed=1)
    torch.testing.assert_close(silent(bms, pan), bms, rtol=0, atol=0)
    assert not torch.allclose(network(bms, pan), bms, atol=1e-2)


def test_gradients_reach_every_parameter():
    network = GCPNet()
    network(noise(2, 4, 24, 24), noise(2, 1, 24, 24)).square().mean().backward()
    assert all(p.grad is not None and bool(p.grad.isfinite().all()) for p in network.parameters())


def settled_graph(kind):
    """A graph with its unit's settled weights, random biases included."""
    return getattr(settled_network().unit1, kind)


def normalise(values, norm):
    """Batch normalisation of (channels, ...) by stored statistics, in NumPy."""
    mean, var = norm.running_mean.numpy(), norm.running_var.numpy()
    gain, offset = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    shape = (-1,) + (1,) * (values.ndim - 1)
    scaled = (values - mean.reshape(shape)) / np.sqrt(var.reshape(shape) + norm.eps)
    return scaled * gain.reshape(shape) + offset.reshape(shape)


def pointwise(layer, values):
    """A 1x1 convolution of (channels, pixels) in NumPy."""
    matrix = layer.weight.detach().numpy().reshape(layer.out_channels, -1)
    bias = 0 if layer.bias is None else layer.bias.detach().numpy()[:, None]
    return matrix @ values + bias


def test_spatial_graph_agrees_with_plain_loops():
    graph = settled_graph("spatial")
    x = noise(1, WIDTH, 5, 6)
    flat = x[0].flatten(1).numpy()
    phi, theta, delta = (pointwise(layer, flat) for layer in (graph.phi, graph.theta, graph.delta))
    affinity = np.zeros((12, 12))
    for i in range(12):
        products = np.array([sum(delta[i, p] * theta[j, p] for p in range(30)) for j in range(12)])
        affinity[i] = np.exp(products - products.max()) / np.exp(products - products.max()).sum()
    states = np.zeros((12, 30))
    for j in range(12):
        for i in range(12):
            states[j] += affinity[i, j] * phi[i]
    expected = np.maximum(pointwise(graph.out, normalise(pointwise(graph.mix, states), graph.norm)) + flat, 0)
    found = graph(x, pixel_product(graph.factors(x)))[0].flatten(1)
    np.testing.assert_allclose(found.detach(), expected, atol=2e-4)


def test_band_graph_agrees_with_plain_loops():
    graph = settled_graph("spectral")
    x = noise(1, WIDTH, 5, 6)
    flat = x[0].flatten(1).numpy()
    states = normalise(pointwise(graph.phi, flat), graph.phi_norm)
    nodes = normalise(pointwise(graph.theta, flat), graph.theta_norm)
    summed = np.array([[sum(states[i] * nodes[j]) for j in range(6)] for i in range(12)])
    first = normalise(pointwise(graph.adjacency, summed.T), graph.adjacency_norm).T + summed
    second = normalise(pointwise(graph.weight, first), graph.weight_norm)
    expected = np.maximum(flat + pointwise(graph.out, second @ nodes), 0)
    factors = graph.factors(x)
    found = graph(x, factors[1], pixel_product(factors))[0].flatten(1)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=1e-3)


def run_spatial(graph, x):
    gram = pixel_product(graph.factors(x))
    return gram, graph(x, gram)


def run_spectral(graph, x):
    factors = graph.factors(x)
    states = pixel_product(factors)
    return states, graph(x, factors[1], states)


@pytest.mark.parametrize(("kind", "run"), [("spatial", run_spatial), ("spectral", run_spectral)])
def test_graphs_do_not_care_where_pixels_are(kind, run):
    graph = settled_graph(kind)
    x = noise(1, WIDTH, 6, 8)
    order = torch.randperm(48, generator=torch.Generator().manual_seed(3))
    shuffled = x.flatten(2)[:, :, order].unflatten(2, (6, 8))
    matrix, out = run(graph, x)
    matrix_shuffled, out_shuffled = run(graph, shuffled)
    torch.testing.assert_close(matrix_shuffled, matrix, rtol=1e-4, atol=1e-3)
    torch.testing.assert_close(out_shuffled.flatten(2), out.flatten(2)[:, :, order], rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("kind", ["spatial", "spectral"])
def test_sums_grow_with_the_area(kind):
    graph = settled_graph(kind)
    x = noise(1, WIDTH, 6, 8)
    once, four_times = (pixel_product(graph.factors(image)) for image in (x, x.repeat(1, 1, 2, 2)))
    torch.testing.assert_close(four_times, 4 * once, rtol=1e-4, atol=1e-3)


def test_rescaled_sums_do_not_grow_with_the_area(network):
    maps = noise(1, 12, 6, 8), noise(1, 6, 6, 8, seed=1)
    repeated = tuple(image.repeat(1, 1, 2, 2) for image in maps)
    once, four_times = (network._statistic(factors, 0, None) for factors in (maps, repeated))
    torch.testing.assert_close(four_times, once, rtol=1e-4, atol=1e-4)
    trained_at = noise(1, 12, 32, 32), noise(1, 6, 32, 32, seed=1)
    torch.testing.assert_close(network._statistic(trained_at, 0, None), pixel_product(trained_at))


def test_a_unit_without_graph_weights_is_its_scales():
    unit = GraphUnit(WIDTH).eval()
    for layer in (unit.spatial.out, unit.spectral.out):
        torch.nn.init.zeros_(layer.weight)
    assert unit.spatial.out.bias is not None
    torch.nn.init.zeros_(unit.spatial.out.bias)
    x = noise(1, WIDTH, 9, 9)
    steps = unit.steps(x)
    next(steps)
    steps.send(noise(1, 12, 12))
    with pytest.raises(StopIteration) as done:
        steps.send(noise(1, 12, 6))
    torch.testing.assert_close(done.value.value, torch.relu(unit.scales(torch.relu(x))) + x)


def test_its_own_statistics_given_from_outside_change_nothing(network):
    bms, pan = noise(1, 4, 30, 34), noise(1, 1, 30, 34, seed=1)
    weight = torch.ones(30, 34)
    context: list[torch.Tensor] = []
    for stage in range(4):
        total = network.statistics(stage, bms, pan, context, weight)
        assert total.dtype == torch.float64
        context.append(total * (network.nominal_pixels / weight.numel()))
    torch.testing.assert_close(network(bms, pan, context), network(bms, pan), rtol=1e-4, atol=1e-4)


def test_statistics_leave_out_pixels_of_no_weight(network):
    bms, pan = noise(1, 4, 60, 60), noise(1, 1, 60, 60, seed=1)
    weight = torch.zeros(60, 60)
    weight[:20] = 1
    before = network.statistics(0, bms, pan, [], weight)
    bms[:, :, 31:], pan[:, :, 31:] = 1e3, -1e3
    torch.testing.assert_close(network.statistics(0, bms, pan, [], weight), before, rtol=0, atol=0)


def test_sums_are_never_of_half_precision():
    half = torch.full((1, 12, 64, 64), 30.0, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        total = pixel_product((half, half))
    assert total.dtype == torch.float32
    assert float(total.mean()) == pytest.approx(900 * 64 * 64, rel=1e-6)


def reach(output, inputs):
    """How far from the middle of an image its middle output pixel looks."""
    middle = output.shape[2] // 2
    gradients = torch.autograd.grad(output[:, :, middle, middle].sum(), inputs)
    seen = sum(g.abs().sum((0, 1)) for g in gradients).nonzero()
    return int((seen - middle).abs().max())


def test_radius_is_true(network):
    bms, pan = noise(1, 4, 61, 61).requires_grad_(), noise(1, 1, 61, 61, seed=1).requires_grad_()
    context = [noise(1, 12, 12), noise(1, 12, 6), noise(1, 12, 12), noise(1, 12, 6)]
    assert reach(network(bms, pan, context) - bms, (bms, pan)) == GCPNet.RADIUS


@pytest.mark.parametrize("stage", range(4))
def test_radius_of_each_statistic_is_true(network, stage):
    bms, pan = noise(1, 4, 61, 61).requires_grad_(), noise(1, 1, 61, 61, seed=1).requires_grad_()
    context = [noise(1, 12, 12), noise(1, 12, 6), noise(1, 12, 12)]
    steps = network._steps(bms, pan)
    factors = next(steps)
    for matrix in context[:stage]:
        factors = steps.send(matrix)
    assert reach(torch.cat(factors, 1), (bms, pan)) == GCPNet.STAGE_RADII[stage]


def test_penultimate_feature_makes_the_output(network):
    bms, pan = noise(1, 4, 20, 20), noise(1, 1, 20, 20, seed=1)
    features = network.features(bms, pan)
    assert features.penultimate.shape == (1, 24, 20, 20)
    last = network.output_conv(torch.cat((features.penultimate, features.shallow), 1))
    torch.testing.assert_close(network(bms, pan), last + bms)


def test_graph_classes_follow_their_width():
    assert count(SpatialGraph(WIDTH)) == 1_380
    assert count(BandGraph(WIDTH)) == 972
