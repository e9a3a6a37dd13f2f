"""What networks that see physics are told of a scene: how its pan and ms are related."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pancli.methods.alignment import NOWHERE, Aligned, Shift, scene_shift, unasked
from pancli.methods.mtf import HIGHEST_GAIN, believed_gains, estimate_gain
from pancli.methods.protocol import Scene


@dataclass(frozen=True)
class Measured:
    """How pan and ms of a scene are related, as if pan lay on ms.

    Attributes:
        gains: MTF at the ms Nyquist, one per band, as it is believed.
        shown: The same as the pair shows it, whatever the sensor's is.
        agreement: (B, 8), how well pan and ms fit.
        found: How far pan lies from ms.
        shift: How far it is moved, to lie there: not at all where it is too far to be moved unasked.
        told: Whether they agree so well that where pan lies could be told.
    """

    gains: tuple[float, ...]
    shown: float
    agreement: Tensor
    found: Shift = NOWHERE
    shift: Shift = NOWHERE
    told: bool = True

    @classmethod
    def of(cls, scene: Scene) -> Measured:
        """Measure a pair.

        Where it shows that its ms was made by picking pixels, pan lies elsewhere because others were picked
        than the georeferencing says, so that it is moved however far it lies.
        """
        found, agreement, told = scene_shift(scene)
        shown = estimate_gain(Aligned(scene, found))
        shift = found if shown > HIGHEST_GAIN else unasked(found)
        return cls(believed_gains(shown, scene.info), shown, agreement.numbers(), found, shift, told)
