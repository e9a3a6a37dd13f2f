"""A scene that looks alike at all scales, so that what is learnt a ratio coarser holds."""

import numpy as np


def waves(side=256, ratio=4, shortest=4.5):
    """Pan (H, W), ms (4, h, w) and truth (4, H, W) of waves of all lengths, longer ones higher."""
    rows, cols = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    ground = np.zeros((side, side))
    generator = np.random.default_rng(0)
    for length in np.geomspace(shortest, 150, 40):
        angle, phase = generator.uniform(0, 2 * np.pi, 2)
        way = np.cos(angle) * rows + np.sin(angle) * cols
        ground += np.sqrt(length) * np.sin(2 * np.pi * way / length + phase)
    ground /= ground.std()
    gains = np.array([30.0, 60.0, 50.0, 90.0])[:, None, None]
    truth = 400 + gains * ground
    truth[2:] += 20 * np.sin(2 * np.pi * rows / 87)
    ms = truth.reshape(4, side // ratio, ratio, side // ratio, ratio).mean((2, 4))
    return (500 + 80 * ground).astype(np.float32), ms.astype(np.float32), truth.astype(np.float32)
