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


def _keys(distance):
    """Keys' cubic kernel with a = -0.75."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0


def bicubic_matrix(size, new):
    """(new, size), one axis on the half-pixel grid; the kernel is not widened, the border is repeated."""
    matrix = np.zeros((new, size))
    for row in range(new):
        place = (row + 0.5) * size / new - 0.5
        for col in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            matrix[row, min(max(col, 0), size - 1)] += _keys(place - col)
    return matrix


def max_pool(image, side):
    """The maximum of blocks."""
    channels, rows, cols = image.shape
    return image.reshape(channels, rows // side, side, cols // side, side).max((2, 4))
