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


def bicubic(image, scale):
    """(C, h, w) to ``scale`` times the size: pixel i is taken at (i + 1/2) / scale - 1/2, rims go on."""
    for axis in (1, 2):
        size = image.shape[axis]
        matrix = np.zeros((round(size * scale), size))
        for i in range(len(matrix)):
            at = (i + 0.5) / scale - 0.5
            for j in range(-4, size + 4):
                matrix[i, min(max(j, 0), size - 1)] += keys(at - j)
        image = np.moveaxis(np.tensordot(matrix, image, (1, axis)), 0, axis)
    return image
