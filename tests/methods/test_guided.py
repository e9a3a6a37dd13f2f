import numpy as np
import pytest
import torch

from pancli.methods.guided import guided_filter
from pancli.methods.protocol import PairInfo
from pancli.methods.registry import METHODS
from pancli.scene import fuse_scene
from tests.methods.pairs import Grid, make_case, scene_of, whole_image

SMALL = PairInfo(1, Grid(1.5, 0.0).placement((24, 26)))  # a window of 7 x 7


def window_mean(image, half):
    padded = np.pad(image, half, mode="edge")
    out = np.empty_like(image)
    for r, c in np.ndindex(image.shape):
        out[r, c] = padded[r : r + 2 * half + 1, c : c + 2 * half + 1].mean()
    return out


def published(guide, image):
    """Equations 5, 6 and 8, window by window."""
    mean_i, mean_p = window_mean(guide, 3), window_mean(image, 3)
    variance = window_mean(guide * guide, 3) - mean_i**2
    a = (window_mean(guide * image, 3) - mean_i * mean_p) / (variance + 1e-4)
    return window_mean(a, 3) * guide + window_mean(mean_p - a * mean_i, 3)


@pytest.mark.parametrize(("level", "spread"), [(0, 1), (300, 0.01)], ids=["usual", "bright and flat"])
def test_the_guided_filter_is_the_published_one(level, spread):
    """Bright, flat pan too: there, moments in float32 would see a variance of their own making."""
    rng = np.random.default_rng(0)
    guide = (level + spread * rng.standard_normal((24, 26))).astype(np.float32)
    image = (1000 + rng.standard_normal((24, 26))).astype(np.float32)
    filtered = guided_filter(torch.from_numpy(guide)[None], torch.from_numpy(image)[None], SMALL)
    expected = published(guide.astype(float), image.astype(float))
    np.testing.assert_allclose(filtered[0].numpy(), expected, atol=1e-3)


def test_what_is_linear_in_the_guide_passes():
    guide = torch.randn(1, 24, 26, generator=torch.Generator().manual_seed(0))
    image = torch.cat([2 * guide + 1, -guide])
    torch.testing.assert_close(guided_filter(guide, image, SMALL), image, rtol=0, atol=2e-3)


def test_a_lone_band_linear_in_pan_is_recovered():
    """Where ms shows pan unblurred, the component is linear in pan and comes through."""
    rng = np.random.default_rng(1)
    coarse = rng.uniform(100, 900, (30, 32)).cumsum(0).cumsum(1)
    smooth = scene_of(np.zeros((120, 128)), coarse[None])
    image = whole_image(smooth)
    pan = image.upsampled[0].numpy()
    scene = scene_of(pan, 3 * coarse[None] + 5)
    fused = fuse_scene(METHODS["gfpca"], scene, METHODS["gfpca"].fit(scene)).numpy()[0]
    inside = slice(16, -16), slice(16, -16)
    np.testing.assert_allclose(fused[inside], 3 * pan[inside] + 5, rtol=0, atol=1e-3 * np.ptp(3 * pan))


@pytest.mark.parametrize("bands", [1, 4])
def test_components_are_uncorrelated(bands):
    case = make_case(bands)
    state = METHODS["gfpca"].fit(case.scene())
    scores = state.axes.T.numpy() @ case.ms.reshape(bands, -1)
    covariance = np.atleast_2d(np.cov(scores))
    np.testing.assert_allclose(covariance, np.diag(np.diag(covariance)), atol=1e-4 * covariance.max())
