"""Whether a network still learns: its figures on the validation scenes, from one validation to the next."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from pancli.training.run import Run

_STILL = 0.02  # dB that PSNR may move and still stand
_PATIENCE = 4  # validations
_LEARNING = 0.1  # of the first learning rate: below, to stand still is how a run ends


def standstill(run: Run) -> str:
    """A warning, once, where validation does not move although the run still learns; else empty.

    A network whose units have died trains on as if nothing were wrong, and only its figures tell. They are
    read from metrics.csv, so that a run resumed knows what was before.

    Args:
        run: Just validated.
    """
    schedule, progress = run.stage.schedule, run.progress
    if schedule.decay.rate(progress.step, schedule.steps) < _LEARNING:
        return ""
    for stem in run.stage.networks or ("",):  # a teacher has no weights file
        steps = standing(run.metrics.psnrs(run.stage.name, stem))
        if steps:
            return (
                f"the validation of {stem or run.stage.name} has not moved by {_STILL} dB for {steps} steps; "
                "if its training has only begun, it may be dead: lower schedule.learning_rate or give "
                "schedule.warm_up, and start with --fresh"
            )
    return ""


def standing(validations: Sequence[tuple[int, tuple[float, ...]]]) -> int:
    """Steps that nothing has moved for, where that has just become noteworthy; else 0.

    Args:
        validations: The step of each, and the PSNR of every group of scenes.

    >>> standing([(100 * n, (30.0, 31.0)) for n in range(5)])
    400
    >>> standing([(100 * n, (30.0, 31.0)) for n in range(6)])
    0
    """
    count = 0
    for (_, before), (_, after) in reversed(list(pairwise(validations))):
        if not all(abs(b - a) <= _STILL for a, b in zip(before, after, strict=True)):
            break
        count += 1
    if count != _PATIENCE or not validations[-1][1]:
        return 0
    return validations[-1][0] - validations[-1 - count][0]
