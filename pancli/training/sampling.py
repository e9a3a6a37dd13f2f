"""Which examples a step is trained on: it follows from the recipe's seed, the step and the stage alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from pancli.device import CPU
from pancli.errors import RecipeError, TrainingError
from pancli.networks.protocol import Traits
from pancli.networks.registry import find_network
from pancli.tiling import Window
from pancli.training.images import Image, Room, pan_under
from pancli.training.patches import Batch, cut_patch, random_corners, random_group
from pancli.training.recipe import LEAST_LINES, LEAST_MS, Recipe, Schedule, Source
from pancli.training.regions import (
    Region,
    choose_window,
    draw_region,
    integer,
    referenced_region,
    shown_region,
    simulated_region,
)
from pancli.training.sources import load_images

_STREAMS = 2  # of random numbers

CARD_SLACK = 0.1
"""Of a ratio: beyond those trained on, this far is still taken."""


@dataclass(frozen=True)
class Sampler:
    """Makes the batch of any step; which one follows from the recipe's seed and the step alone.

    Attributes:
        recipe: The run.
        schedule: Of the stage: regions of a step, patches of a region.
        images: Per source of the recipe, what it holds.
        rooms: Per source and image, where regions may lie.
        traits: Of the network: its ratio and alignment.
        stream: Of random numbers: every stage has its own.
        share: Which of how many parts of a step's regions are made: part ``share[0]`` of ``share[1]``.
        device: Where regions are drawn and observed.
    """

    recipe: Recipe
    schedule: Schedule
    images: tuple[tuple[Image, ...], ...]
    rooms: tuple[tuple[Room, ...], ...]
    traits: Traits
    stream: int = 0
    share: tuple[int, int] = (0, 1)
    device: torch.device = CPU

    @classmethod
    def load(cls, recipe: Recipe, data: Path) -> Sampler:
        """Read all images of a recipe.

        Raises:
            RecipeError: An image is missing or not as expected, or the network takes no such patches.
            TrainingError: An image is smaller than a patch, so small that ms shows nothing, or has nowhere a
                region without nodata.
        """
        traits = find_network(recipe.network).TRAITS
        _check_traits(recipe, traits)
        images = tuple(load_images(source, data, recipe.validation) for source in recipe.sources)
        for source, held in zip(recipe.sources, images, strict=True):
            for image in held:
                _check_image(image, source, recipe, traits)
        region = recipe.schedule.region
        rooms = tuple(
            tuple(Room.of(image, _side(image, region, source)) for image in held)
            for source, held in zip(recipe.sources, images, strict=True)
        )
        return cls(recipe, recipe.schedule, images, rooms, traits)

    def batch(self, step: int) -> Batch:
        """The examples of one step, or this sampler's share of them."""
        regions = range(self.share[0], self.schedule.regions, self.share[1])
        return Batch.join([self._examples(step, region) for region in regions])

    def _examples(self, step: int, region: int) -> Batch:
        """The patches of one region; its random numbers are its own, so that others can make the others."""
        seed = step_seed(self.recipe.seed, step, _STREAMS * region + self.stream)
        generator = torch.Generator().manual_seed(seed)
        weights = torch.tensor([source.weight for source in self.recipe.sources])
        index = int(torch.multinomial(weights, 1, generator=generator))
        schedule, source = self.schedule, self.recipe.sources[index]
        seen = shown_region(self._draw(index, generator), self.traits)
        group = random_group(seen.reference.shape[0], self.recipe.bands, generator)
        corners = random_corners(seen, (schedule.patches, schedule.patch), self.traits.align, generator)
        patches = Batch.join([cut_patch(seen, group, corner, self.traits) for corner in corners])
        if source.kind != "referenced":
            return patches
        return patches.turned(integer(generator, 4), mirror=bool(integer(generator, 2)))

    def _draw(self, source: int, generator: torch.Generator) -> Region:
        """A region of a source."""
        degradation = self.recipe.degradation
        kind = self.recipe.sources[source].kind
        if kind == "simulated":
            least = max(self.recipe.bands, 4)
            return simulated_region(self.schedule.region, least, degradation, generator, self.device)
        index = integer(generator, len(self.images[source]))
        image, room = self.images[source][index], self.rooms[source][index]
        window = choose_window(room, generator)
        if kind == "referenced":
            return referenced_region(image, window, self.schedule.region, self.device)
        return draw_region(kind, image, window, degradation, generator, self.device)


def step_seed(seed: int, step: int, sequence: int) -> int:
    """Where the random numbers of a step begin, in one of several sequences.

    torch's generators look at 32 bits alone. Multiples of the golden section of 2^32 keep sequences apart:
    two of the first 128 are further apart than any run has steps.
    """
    return (seed * 1_000_003 + step + sequence * 2_654_435_769) % 2**32


def _side(image: Image, region: int, source: Source) -> int:
    """Side of a region in pixels of the bands; of referenced ones, that lie under one on pan's grid."""
    return math.ceil(region / image.ratio) if source.kind == "referenced" else region


def _check_traits(recipe: Recipe, traits: Traits) -> None:
    side = recipe.schedule.patch
    if traits.window not in (None, side):
        raise RecipeError(
            f"{recipe.network} takes windows of {traits.window} pixels; set schedule.patch to that"
        )
    if side % traits.align:
        raise RecipeError(
            f"{recipe.network} takes sides that are multiples of {traits.align}, but schedule.patch is {side}"
        )
    if recipe.mutual is not None:
        peer = find_network(recipe.mutual.peer).TRAITS
        # Who sees physics is shown pan crisp and laid on ms, in use too; others are not.
        asked = [(one.ratio, one.align, one.window, one.physics) for one in (peer, traits)]
        if asked[0] != asked[1]:
            raise RecipeError(f"{recipe.network} and {recipe.mutual.peer} do not take the same inputs")
    ratios = {*recipe.degradation.ratios, *recipe.validation.ratios, recipe.largest_ratio} - {0}
    if odd := [
        ratio for ratio in ratios if traits.ratio is not None and abs(ratio - traits.ratio) > CARD_SLACK
    ]:
        raise RecipeError(
            f"{recipe.network} takes ratio {traits.ratio} alone, but the recipe has {min(odd):g}; set "
            f"degradation.ratios and validation.ratios to [{traits.ratio}], and leave out largest_ratio"
        )


def _check_image(image: Image, source: Source, recipe: Recipe, traits: Traits) -> None:
    """Refuse an image that no patch, or no region that shows anything, can be cut from.

    Raises:
        RecipeError: Its ratio is not the network's, or it is no spectrum.
        TrainingError: It is too small.
    """
    referenced, patch = source.kind == "referenced", recipe.schedule.patch
    whole = Window(0, 0, *image.bands.shape[1:])
    known = (pan_under(image.placement, whole)[0] if referenced else whole).shape
    if min(known) < patch:
        raise TrainingError(f"no patch of {patch} pixels fits into {image.name} of {known} pixels")
    side = min(*whole.shape, _side(image, recipe.schedule.region, source))
    if side < (LEAST_MS if referenced else recipe.degradation.least_side):
        raise TrainingError(
            f"{image.name}: a region would have fewer than {LEAST_MS} ms pixels a side; raise "
            "schedule.region, lower degradation.ratios, or leave the image out"
        )
    if source.kind == "spectrum" and len(image.bands) < LEAST_LINES:
        raise RecipeError(
            f"{image.name} has {len(image.bands)} bands; a spectrum has {LEAST_LINES} or more, in "
            "the order of their wavelengths; an image of fewer is of kind 'truth'"
        )
    if referenced and traits.ratio is not None and abs(image.ratio - traits.ratio) > CARD_SLACK:
        raise RecipeError(
            f"{image.name} has ratio {image.ratio:.4g}, but the network takes {traits.ratio} alone"
        )
