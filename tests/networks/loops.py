"""Layers of networks in plain NumPy, float64, one output pixel at a time: (channels, rows, columns)."""

import numpy as np


def array(tensor):
    return tensor.detach().numpy().astype(np.float64)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def softmax(values):
    raised = np.exp(values - values.max())
    return raised / raised.sum()


def relu(values):
    return np.maximum(values, 0)


def linear(layer, values):
    """A linear layer of a vector."""
    return array(layer.weight) @ values + array(layer.bias)


def convolve(layer, image):
    """A convolution with its own stride and padding."""
    kernel = array(layer.weight)
    size, step, margin = kernel.shape[2], layer.stride[0], layer.padding[0]
    around = ((0, 0), (margin, margin), (margin, margin))
    padded = (
        np.pad(image, around, mode="reflect") if layer.padding_mode == "reflect" else np.pad(image, around)
    )
    rows, cols = ((n - size) // step + 1 for n in padded.shape[1:])
    found = np.zeros((len(kernel), rows, cols))
    for row in range(rows):
        for col in range(cols):
            patch = padded[:, step * row : step * row + size, step * col : step * col + size]
            found[:, row, col] = (kernel * patch).sum((1, 2, 3))
    return found if layer.bias is None else found + array(layer.bias)[:, None, None]


def channel_gate(gate, *summaries):
    """The factor of every channel, from vectors."""
    answers = [linear(gate.excite, relu(linear(gate.squeeze, summary))) for summary in summaries]
    return sigmoid(sum(answers))[:, None, None]


def pixel_gate(gate, image):
    """The factor of every pixel, (1, rows, columns)."""
    return sigmoid(convolve(gate.conv, np.stack([image.mean(0), image.max(0)])))
