"""What networks that see physics are told of a scene: how its pan and ms are related."""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from pancli.methods.alignment import NOWHERE, Shift, aligned_scene, scene_shift, unasked
from pancli.methods.crispness import PICKED, crisp_scene, missing_crispness
from pancli.methods.mtf import HIGHEST_GAIN, believed_gains, estimate_gain
from pancli.methods.protocol import Scene
from pancli.methods.statistics import MEASURES


@dataclass(frozen=True)
class Measured:
    """How pan and ms of a scene are related, as if pan lay on ms, and were as crisp as networks know it.

    Attributes:
        gains: MTF at the ms Nyquist, one per band, as it is believed.
        shown: The same as the pair shows it, whatever the sensor's is.
        agreement: (B, 8), how well pan and ms fit.
        found: How far pan lies from ms.
        shift: How far it is moved, to lie there: not at all where it is too far to be moved unasked.
        told: Whether they agree so well that where pan lies could be told.
        missing: By how much pan is to be made crisp, as :func:`pancli.methods.crispness.crisp` takes it.
    """

    gains: tuple[float, ...]
    shown: float
    agreement: Tensor
    found: Shift = NOWHERE
    shift: Shift = NOWHERE
    told: bool = True
    missing: float = 1.0

    @classmethod
    def of(cls, scene: Scene) -> Measured:
        """Measure a pair.

        Where it shows that its ms was made by picking pixels, pan lies elsewhere because others were picked
        than the georeferencing says, so that it is moved however far it lies.
        """
        missing = missing_crispness(scene.tiles(0, MEASURES), scene.info)
        measured = replace(cls._of(crisp_scene(scene, missing)), missing=missing)
        return measured if missing == 1.0 or measured.shown <= PICKED else cls._of(scene)

    @classmethod
    def of_coarser(cls, scene: Scene) -> Measured:
        """The same of a pair a ratio coarser, whose pan stays as it is if ms looks picked beside that.

        How strong detail must be, which is learnt there, comes out nearer to the truth so.
        """
        measured = cls._of(scene)
        return measured if measured.shown > HIGHEST_GAIN else cls.of(scene)

    @classmethod
    def _of(cls, scene: Scene) -> Measured:
        found, agreement, told = scene_shift(scene)
        shown = estimate_gain(aligned_scene(scene, found))
        shift = found if shown > HIGHEST_GAIN else unasked(found)
        return cls(believed_gains(shown, scene.info), shown, agreement.numbers(), found, shift, told)
