"""The layers of networks in plain NumPy, float64, written from their definitions: what tests compare with."""

import numpy as np


def weights_of(network):
    """Parameters by name."""
    return {name: value.double().numpy() for name, value in network.state_dict().items()}


def array(image):
    """The only sample of a tensor (1, C, H, W)."""
    return image[0].detach().double().numpy()


def convolve(image, weight, bias=None):
    """Of (C, H, W) by (D, C, k, k), zeros beyond the rim."""
    kernel = weight.shape[-1]
    padded = np.pad(image, ((0, 0), (kernel // 2,) * 2, (kernel // 2,) * 2))
    out = np.zeros((weight.shape[0], *image.shape[1:]))
    for row in range(kernel):
        for col in range(kernel):
            seen = padded[:, row : row + image.shape[1], col : col + image.shape[2]]
            out += np.einsum("dc,chw->dhw", weight[:, :, row, col], seen)
    return out if bias is None else out + bias[:, None, None]


def transposed(image, weight, bias, stride, padding):
    """A transposed convolution: every pixel of (C, h, w) paints its (C, D, k, k)."""
    size, kernel = image.shape[1:], weight.shape[-1]
    out = np.zeros((weight.shape[1], *((n - 1) * stride + kernel for n in size)))
    for row in range(size[0]):
        for col in range(size[1]):
            painted = np.einsum("c,cdij->dij", image[:, row, col], weight)
            out[:, stride * row :, stride * col :][:, :kernel, :kernel] += painted
    return out[:, padding:-padding, padding:-padding] + bias[:, None, None]


def rectify(image, slope=0.0):
    """ReLU, or with a slope PReLU."""
    return np.where(image > 0, image, slope * image)


def box_mean(image, side):
    """Over the pixels of a box that exist."""
    out, half = np.empty_like(image), side // 2
    for row in range(image.shape[1]):
        for col in range(image.shape[2]):
            rows, cols = (slice(max(at - half, 0), at + half + 1) for at in (row, col))
            out[:, row, col] = image[:, rows, cols].mean((1, 2))
    return out


def keys(distance):
    """Keys' cubic kernel with a = -0.75."""
    d, a = abs(distance), -0.75
    if d <= 1:
        return (a + 2) * d**3 - (a + 3) * d**2 + 1
    return a * (d**3 - 5 * d**2 + 8 * d - 4) if d < 2 else 0.0


def bicubic_matrix(size, new):
    """(new, size), one axis on the half-pixel grid; the kernel is not widened, the border is repeated."""
    matrix = np.zeros((new, size))
    for row in range(new):
        place = (row + 0.5) * size / new - 0.5
        for col in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            matrix[row, min(max(col, 0), size - 1)] += keys(place - col)
    return matrix


def bicubic(image, scale):
    """(C, h, w) to ``scale`` times the size: pixel i is taken at (i + 1/2) / scale - 1/2, rims go on."""
    for axis in (1, 2):
        matrix = bicubic_matrix(image.shape[axis], round(image.shape[axis] * scale))
        image = np.moveaxis(np.tensordot(matrix, image, (1, axis)), 0, axis)
    return image


def ratios_by_hand(lrms):
    """PNN's two ratios of four bands, where all are above the bottom of the range."""
    _, second, third, fourth = 0.5 + lrms / 8
    return np.stack([(second - fourth) / (second + fourth), (fourth - third) / (fourth + third)])


def numbers(tensor):
    """Any tensor."""
    return tensor.detach().numpy().astype(np.float64)


def sigmoid(values):
    return 1 / (1 + np.exp(-values))


def softmax(values):
    raised = np.exp(values - values.max())
    return raised / raised.sum()


def linear(layer, values):
    """A linear layer of a vector."""
    return numbers(layer.weight) @ values + numbers(layer.bias)


def through(layer, image):
    """A convolution layer with its own stride and padding, one output pixel at a time."""
    kernel = numbers(layer.weight)
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
    return found if layer.bias is None else found + numbers(layer.bias)[:, None, None]


def channel_gate(gate, *summaries):
    """The factor of every channel, from vectors."""
    answers = [linear(gate.excite, rectify(linear(gate.squeeze, summary))) for summary in summaries]
    return sigmoid(sum(answers))[:, None, None]


def pixel_gate(gate, image):
    """The factor of every pixel, (1, rows, columns)."""
    return sigmoid(through(gate.conv, np.stack([image.mean(0), image.max(0)])))


def max_pool(image, side):
    """The maximum of blocks."""
    channels, rows, cols = image.shape
    return image.reshape(channels, rows // side, side, cols // side, side).max((2, 4))
