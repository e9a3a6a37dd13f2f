"""Pan laid where ms shows the ground: the last pixel of misregistration, taken out before networks look.

Where pan is a linear mixture of the bands and lies ``d`` away from them, it is to first order that mixture
plus ``d`` times its own gradient, so that least squares on the ms grid find ``d`` (Lucas and Kanade, "An
iterative image registration technique", IJCAI 1981); what was found is taken out and the rest measured again.
This reaches less far than ``--coregister auto``, and works on anything from a training patch to a scene. What
is fused keeps the geometry of ms: the colours stay where they are, and the detail is laid on them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from pancli.methods.agreement import Agreement, agreement_margin, agreement_of
from pancli.methods.protocol import Changed, PairInfo, Scene, TileImage
from pancli.methods.statistics import MEASURES, coarsest_ratio
from pancli.resampling import SINC_TAPS, displace

Shift = tuple[float, float]
"""(down, right), pan pixels: how far pan's things lie from where they are in ms."""

NOWHERE: Shift = (0.0, 0.0)

UNASKED = 1.0
"""Pan pixels from which on nobody lays pan on ms unless asked to: the output would lie visibly beside pan."""

_ROUNDS = 4
_SETTLED = 0.05  # pan pixels: a smaller rest ends the rounds
_LEAST = 0.1  # pan pixels: a smaller shift costs more sharpness, interpolated, than it hurts
_FARTHEST = 1.25  # ms pixels of the axis where they are larger, for both
_SEEN = (0.5, 3.0)  # of a shift, what is measured of it
_GAIN = 0.9  # of what bands do not explain of pan, no more than so much may be left in its new place


def aligned(pan: Tensor, shift: Shift) -> Tensor:
    """Pan (1, H, W) laid where ms shows its things; beyond its rim, its outermost pixels."""
    return pan if shift == NOWHERE else displace(pan, shift)


def aligned_mask(valid: Tensor, shift: Shift) -> Tensor:
    """(H, W) bool, of pan as delivered: whether what :func:`aligned` shows at a pixel lies on a valid one."""
    if shift == NOWHERE:
        return valid
    rows, cols = (
        (torch.arange(size, device=valid.device) + round(away)).clamp(0, size - 1)
        for size, away in zip(valid.shape, shift, strict=True)
    )
    return valid[rows][:, cols]


def alignment_radius(info: PairInfo) -> int:
    """Pan pixels that :func:`aligned` may look beyond a window."""
    return math.ceil(_FARTHEST * coarsest_ratio(info.placement)) + SINC_TAPS


class Alignment(NamedTuple):
    """What was found of a pair.

    Attributes:
        shift: How far pan lies from ms; :data:`NOWHERE` where that is small, doubtful or too large to tell.
        agreement: How well ms and pan agree once that is taken out.
        told: Whether they agree at all, so that no shift means that there is hardly any.
    """

    shift: Shift
    agreement: Agreement
    told: bool


def unasked(shift: Shift) -> Shift:
    """What of a shift is taken out of what is fused though nobody asked for it: all or nothing."""
    return shift if math.hypot(*shift) < UNASKED else NOWHERE


def find_shift(measure: Callable[[Shift], Agreement]) -> Alignment:
    """How far pan lies from ms, given how ms and a pan agree that was aligned by a shift."""
    first = measure(NOWHERE)
    left_alone = Alignment(NOWHERE, first, first.related())
    shift, agreement, seen = NOWHERE, first, 1.0
    farthest, least = _FARTHEST * max(map(abs, first.steps)), _LEAST
    for _ in range(_ROUNDS):
        before = agreement.shift()
        if math.hypot(*before) < least:
            break
        step = before[0] / seen, before[1] / seen
        shift, least = (shift[0] + step[0], shift[1] + step[1]), _SETTLED
        if max(map(abs, shift)) > farthest:
            return left_alone
        agreement = measure(shift)
        after = agreement.shift()
        # Where ms is sharpened or aliased, twice the shift is measured: the next step minds that.
        moved = sum((b - a) * s for b, a, s in zip(before, after, step, strict=True))
        seen = min(max(moved / (step[0] ** 2 + step[1] ** 2), _SEEN[0]), _SEEN[1])
    if math.hypot(*shift) < _LEAST or agreement.unexplained() > _GAIN * first.unexplained():
        return left_alone
    return Alignment(shift, agreement, told=True)


def scene_shift(scene: Scene) -> Alignment:
    """As :func:`find_shift`, of a scene."""
    margin = agreement_margin(scene.info)

    def measure(shift: Shift) -> Agreement:
        return agreement_of(aligned_scene(scene, shift).tiles(margin, MEASURES), scene.info)

    return find_shift(measure)


def aligned_scene(scene: Scene, shift: Shift) -> Scene:
    """A scene whose pan is aligned."""
    if shift == NOWHERE:
        return scene
    return Changed(scene, partial(aligned_image, shift=shift), alignment_radius(scene.info))


def aligned_image(image: TileImage, shift: Shift) -> TileImage:
    """A tile with its pan aligned; exact :func:`alignment_radius` pixels inside its window.

    Where what is laid there is no valid pan, the pixel is not valid.
    """
    if shift == NOWHERE:
        return image
    pan_valid = aligned_mask(image.pan_valid, shift)
    pan = aligned(image.pan, shift)
    return replace(image, pan=pan, pan_valid=pan_valid, valid=image.valid & pan_valid)
