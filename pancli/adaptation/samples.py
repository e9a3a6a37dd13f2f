"""Windows of a scene to learn from, some held back; and each as the pair that it is at reduced resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from pancli.errors import MethodError
from pancli.methods.coarser import coarser, coarser_margin
from pancli.methods.crispness import PICKED, crisp_image, missing_crispness
from pancli.methods.moments import Moments
from pancli.methods.protocol import TileImage
from pancli.methods.units import Units
from pancli.scene import TiledScene
from pancli.tiling import Tile, Window, leaders

MOST = 30  # windows
_EVERY = 5  # the first of so many windows is held back
_SIDES = (128, 64, 32)  # of a window, ms pixels: the largest of which there are enough


@dataclass(frozen=True, slots=True)
class Sample:
    """A window.

    Attributes:
        image: What a network sees.
        truth: (B, H, W), what it should make of it; None where nobody knows.
    """

    image: TileImage
    truth: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Samples:
    """Windows to learn from, those held back, and their units."""

    learnt: tuple[Sample, ...]
    held_back: tuple[Sample, ...]
    units: Units


def split(samples: Sequence[Sample], units: Units) -> Samples:
    """Hold back every fifth window.

    Raises:
        MethodError: There are too few.
    """
    held_back = tuple(samples[::_EVERY])
    learnt = tuple(sample for index, sample in enumerate(samples) if index % _EVERY)
    if not learnt:
        raise MethodError(
            f"--adapt needs two windows of {_SIDES[-1]} x {_SIDES[-1]} valid MS pixels or more, one to learn "
            "from and one to hold back; this scene is too small or masked"
        )
    return Samples(learnt, held_back, units)


def ms_windows(scene: TiledScene) -> list[Window]:
    """Where to look: at most :data:`MOST` square windows of the ms grid, spread over the scene's area."""
    inside = scene.info.placement.ms_inside(scene.area)
    found: list[Window] = []
    for side in _SIDES:
        whole = Window(inside.row, inside.col, *(n // side * side for n in inside.shape))
        found = list(whole.blocks(side)) if whole.size else []
        if len(found) >= 2 * _EVERY:
            break
    return leaders(found, MOST)


def reduced_samples(scene: TiledScene) -> Samples:
    """Windows by Wald's protocol, as :func:`pancli.methods.coarser.coarser` makes them.

    Raises:
        MethodError: There are too few.
        InputError: The files cannot be read.
    """
    samples = [sample for window in ms_windows(scene) if (sample := _reduced(scene, window)) is not None]
    if samples and scene.pan_crisper != 1.0:  # reduced, it is as blunt as the camera would have left it
        missing = sample_crispness(samples)
        samples = [Sample(crisp_image(sample.image, missing), sample.truth) for sample in samples]
    moments = Moments.empty(scene.info.bands + 1)
    for sample in samples:
        moments = moments.merge(_moments(sample.image))
    return split(samples, Units.of(moments))


def sample_crispness(samples: Sequence[Sample]) -> float:
    """By how much the pan of one scene's samples is to be made crisp; 1 where its ms was picked."""
    info = samples[0].image.info
    if info.mean_gain > PICKED:
        return 1.0
    return missing_crispness((sample.image for sample in samples), info)


def _reduced(scene: TiledScene, window: Window) -> Sample | None:
    info = scene.info
    reach = scene.margin(coarser_margin(info))
    around = info.placement.pan_on(window).grow(reach).intersect(scene.bounds)
    image = scene.load(Tile(around, around))
    if image is None or window.intersect(image.ms_window) != window:
        return None
    found = coarser(image, window, info.gains)
    return None if found is None else Sample(*found)


def _moments(image: TileImage) -> Moments:
    """Of ms and pan on the coarse grid, as units are taken of a scene."""
    gain = image.info.mean_gain
    return Moments.of(torch.cat(image.ms_core_samples(gain)))


def full_samples(scene: TiledScene, units: Units) -> Samples:
    """Windows as they are, without a truth.

    Raises:
        MethodError: There are too few.
        InputError: The files cannot be read.
    """
    samples = []
    for window in ms_windows(scene):
        pan = scene.info.placement.pan_on(window).intersect(scene.bounds)
        image = scene.load(Tile(pan, pan))
        if image is not None:
            samples.append(Sample(image))
    return split(samples, units)
