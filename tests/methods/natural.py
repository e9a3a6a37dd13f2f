"""Images with the spectra of natural ones, and how cameras blur them."""

import numpy as np
import torch

from pancli.resampling import blur, mtf_sigma


def natural(side=256, slope=2.0, seed=0):
    """(1, H, W), whose power falls as frequency ** -slope."""
    rng = np.random.default_rng(seed)
    down, across = np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)
    frequency = np.maximum(np.hypot(down, across), 1 / side)
    waves = np.fft.rfft2(rng.normal(size=(side, side))) * frequency ** (-slope / 2)
    image = np.fft.irfft2(waves, (side, side))
    return torch.from_numpy(500 + 100 * image / image.std()).float()[None]


def blunted(image, gain):
    """Through a Gaussian of that gain at the Nyquist frequency: exactly, which narrow kernels are not."""
    down, across = 2 * torch.fft.fftfreq(image.shape[1])[:, None], 2 * torch.fft.rfftfreq(image.shape[2])
    waves = torch.fft.rfft2(image) * gain ** (down.square() + across.square())
    return torch.fft.irfft2(waves, image.shape[1:])


def seen_from_orbit(image):
    """ms of three bands alike, a quarter as many pixels along each axis: what a camera's MTF leaves."""
    return blur(image, (mtf_sigma(4, 0.3),) * 2)[:, 2::4, 2::4].repeat(3, 1, 1).numpy()
