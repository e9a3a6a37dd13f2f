"""GCPNet: sizes as published, its graphs against plain loops, and how far it really looks."""

import numpy as np
import pytest
import torch

from pancli.networks.gcpnet import BandGraph, GCPNet, GraphUnit, MultiScale, SpatialGraph
from pancli.networks.protocol import Inputs, Product, pixel_product
from tests.networks.made import count, noise, settled_network

WIDTH = 24


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


def value(product: Product) -> torch.Tensor:
    """A sum that is not rescaled."""
    return pixel_product(product.left, product.right)


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
    found = graph(x, value(graph.gram(x)))[0].flatten(1)
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
    wanted = graph.states(x)
    found = graph(x, wanted.right, value(wanted))[0].flatten(1)
    np.testing.assert_allclose(found.detach(), expected, rtol=1e-4, atol=1e-3)


def run_spatial(graph, x):
    gram = value(graph.gram(x))
    return gram, graph(x, gram)


def run_spectral(graph, x):
    wanted = graph.states(x)
    return value(wanted), graph(x, wanted.right, value(wanted))


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


def test_a_unit_without_graph_weights_is_its_scales():
    unit = GraphUnit(WIDTH).eval()
    for layer in (unit.spatial.out, unit.spectral.out):
        torch.nn.init.zeros_(layer.weight)
    assert unit.spatial.out.bias is not None
    torch.nn.init.zeros_(unit.spatial.out.bias)
    x = noise(1, WIDTH, 9, 9)
    steps = unit.steps(x)
    next(steps)
    steps.send([noise(1, 12, 12)])
    with pytest.raises(StopIteration) as done:
        steps.send([noise(1, 12, 6)])
    torch.testing.assert_close(done.value.value, torch.relu(unit.scales(torch.relu(x))) + x)


def test_sums_are_never_of_half_precision():
    half = torch.full((1, 12, 64, 64), 30.0, dtype=torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        total = pixel_product(half, half)
    assert total.dtype == torch.float32
    assert float(total.mean()) == pytest.approx(900 * 64 * 64, rel=1e-6)


def test_gradients_in_half_precision_are_numbers():
    scales, x = MultiScale(WIDTH), noise(2, WIDTH, 48, 48)
    with torch.autocast("cpu", torch.bfloat16):
        half = scales(x.contiguous(memory_format=torch.channels_last)).float().square().mean()
    parameters = list(scales.parameters())
    rough = torch.autograd.grad(half, parameters)
    for ours, exact in zip(rough, torch.autograd.grad(scales(x).square().mean(), parameters), strict=True):
        assert float((ours - exact).norm()) < 0.05 * float(exact.norm())


def test_penultimate_feature_makes_the_output(network):
    inputs = Inputs(noise(1, 4, 20, 20), noise(1, 1, 20, 20, seed=1))
    outcome = network(inputs)
    (penultimate,) = outcome.features
    assert penultimate.shape == (1, 24, 20, 20)
    shallow = network.head(torch.cat((inputs.bms, inputs.pan, network.head2(inputs.pan)), 1))
    torch.testing.assert_close(outcome.residual, network.output_conv(torch.cat((penultimate, shallow), 1)))


def test_graph_classes_follow_their_width():
    assert count(SpatialGraph(WIDTH)) == 1_380
    assert count(BandGraph(WIDTH)) == 972
