"""Learning from a scene for a while, and keeping what was learnt only if it holds where it was not learnt."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from pancli.adaptation.objectives import LOSSES, Objective, Patch
from pancli.adaptation.samples import Sample, Samples, sample_crispness
from pancli.errors import MethodError, UsageError
from pancli.methods.agreement import agreement_of
from pancli.methods.alignment import NOWHERE
from pancli.methods.back_projection import after_rounds, lacking
from pancli.methods.crispness import crisp_image
from pancli.methods.measured import Measured
from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import TileImage
from pancli.networks.protocol import Inputs
from pancli.progress import Progress
from pancli.scene import TiledScene
from pancli.tiling import Window

_RATE = 1e-4  # of Adam
_CLIP = 1.0
_CHECKS = 8  # how often the windows held back are looked at
_SEED = 0  # which windows come when


@dataclass(frozen=True, slots=True)
class AdaptTerms:
    """How to adapt.

    Attributes:
        seconds: How long to learn; looking for windows comes before.
        loss: A key of :data:`pancli.adaptation.objectives.LOSSES`.
        rounds: Of back-projection that follow the network. What comes of them is judged; the network learns
            before them, which brings more.
    """

    seconds: float
    loss: str = "reduced"
    rounds: int = 0

    def __post_init__(self) -> None:
        if not (self.seconds > 0 and math.isfinite(self.seconds)):
            raise UsageError(f"--adapt {self.seconds:g}: must be a number of seconds above 0")
        if self.loss not in LOSSES:
            raise UsageError(f"--adapt-loss {self.loss}: must be one of {', '.join(LOSSES)}")


@dataclass(frozen=True, slots=True)
class Adaptation:
    """What came of it.

    Attributes:
        loss: What was made small.
        seconds: Spent.
        steps: Of the optimiser.
        before: The loss on the windows held back, of the network as shipped.
        after: The least that was reached there.
    """

    loss: str
    seconds: float
    steps: int
    before: float
    after: float

    @property
    def kept(self) -> bool:
        """Whether the adapted network is better on windows held back, and therefore used."""
        return self.after < self.before

    def as_dict(self) -> dict[str, float | str | bool]:
        """For reports."""
        return {
            "loss": self.loss,
            "seconds": round(self.seconds, 2),
            "steps": self.steps,
            "held_back_before": self.before,
            "held_back_after": self.after,
            "kept": self.kept,
        }

    def describe(self) -> str:
        """One line."""
        verdict = "kept" if self.kept else "not kept: the network as shipped is used"
        return (
            f"{self.steps} steps in {self.seconds:.0f} s on the {self.loss} loss, on windows held back "
            f"{self.before:.4g} -> {self.after:.4g}, {verdict}"
        )


def adapt(
    method: NetworkMethod, scene: TiledScene, terms: AdaptTerms, progress: Progress | None = None
) -> tuple[NetworkMethod, Adaptation]:
    """Fine-tune a network on the scene it will fuse.

    Normalisation statistics stay as they are. How many steps fit into the time depends on the machine, so two
    adaptations differ a little; everything else follows from the seed.

    Args:
        method: The network.
        scene: What will be fused.
        terms: How long, on what.
        progress: Called as time passes.

    Raises:
        MethodError: The scene is too small to learn from, or the loss is not a number.
        InputError: The files cannot be read.
    """
    objective = LOSSES[terms.loss]
    with torch.inference_mode(mode=False):
        samples = objective.gather(_as_measured(method, scene))
        adapted = replace(method, network=copy.deepcopy(method.network))
        learner = _Learner(adapted, samples, objective, terms.rounds)
        before = after = learner.held_back()
        best = copy.deepcopy(learner.network.state_dict())
        optimizer = torch.optim.Adam(learner.network.parameters(), lr=_RATE)
        generator = torch.Generator().manual_seed(_SEED)
        steps, checks, started = 0, 0, time.monotonic()
        while (spent := time.monotonic() - started) < terms.seconds:
            learner.step(optimizer, generator)
            steps += 1
            due = math.floor(_CHECKS * (time.monotonic() - started) / terms.seconds)
            if due > checks:
                checks = due
                error = learner.held_back()
                if error < after:
                    after, best = error, copy.deepcopy(learner.network.state_dict())
            if progress is not None:
                progress("adapt", min(round(spent), round(terms.seconds)), round(terms.seconds))
        learner.network.load_state_dict(best)
    found = Adaptation(terms.loss, time.monotonic() - started, steps, before, after)
    return (replace(method, network=learner.network) if found.kept else method), found


def _as_measured(method: NetworkMethod, scene: TiledScene) -> TiledScene:
    """The scene as it shows itself: its MTF, or what is learnt would undo another blur than it has.

    For a network that sees physics pan is laid on ms, too, as it will be shown it.
    """
    measured = Measured.of(scene)
    sensor = replace(scene.info.sensor, ms_gains=measured.gains)
    scene = replace(scene, info=replace(scene.info, sensor=sensor))
    if method.network.TRAITS.physics and scene.pan_shift == NOWHERE:
        scene = replace(scene, pan_shift=measured.shift)
    return scene


class _Learner:
    """A network being adapted, and what it learns from."""

    def __init__(self, method: NetworkMethod, samples: Samples, objective: Objective, rounds: int) -> None:
        self.network = method.network.eval().requires_grad_()
        self._method, self._samples, self._objective, self._rounds = method, samples, objective, rounds
        info = samples.learnt[0].image.info
        measured = None
        if self.network.TRAITS.physics:
            missing = sample_crispness(samples.learnt)
            agreement = agreement_of((crisp_image(sample.image, missing) for sample in samples.learnt), info)
            measured = Measured(info.gains, info.mean_gain, agreement.numbers(), missing=missing)
        self._state = method.begin(samples.units, info, measured)

    def step(self, optimizer: torch.optim.Optimizer, generator: torch.Generator) -> None:
        """Learn from one random patch of one random window, one group of bands, before rounds."""
        sample = self._samples.learnt[_integer(generator, len(self._samples.learnt))]
        group = _integer(generator, len(self._state.groups))
        loss = self._loss(sample, group, self._random_window(sample, generator), rounds=0)
        if not math.isfinite(loss.item()):
            raise MethodError("--adapt: the loss is not a number; leave --adapt out for this scene")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), _CLIP)
        optimizer.step()

    @torch.no_grad()
    def held_back(self) -> float:
        """The mean loss on the windows held back, each seen as a whole, after rounds."""
        losses = [
            self._loss(sample, group, self._whole_window(sample), self._rounds).item()
            for sample in self._samples.held_back
            for group in range(len(self._state.groups))
        ]
        return sum(losses) / len(losses)

    def _loss(self, sample: Sample, group: int, window: Window, rounds: int) -> Tensor:
        measured = self._state.measured
        seen = sample.image if measured is None else crisp_image(sample.image, measured.missing)
        views = list(self._method.views(seen, self._state, (window,)))
        members, inputs = self._state.groups[group], views[group]
        outcome = self.network(inputs)
        trust = None if outcome.trust is None else outcome.trust[0]
        fused = (inputs.bms + outcome.residual)[0]
        if rounds:
            fused = after_rounds(fused, trust, rounds, self._lacks(sample.image, inputs, window, members))
        return self._objective.loss(Patch(fused, members, window), sample, self._state.units)

    def _lacks(
        self, image: TileImage, inputs: Inputs, window: Window, members: Sequence[int]
    ) -> Callable[[Tensor], Tensor]:
        """What a fused window lacks of ms, in units."""
        chosen, info, masks = list(members), image.info, None
        if inputs.valid is not None and not bool(inputs.valid.all()):
            masks = inputs.valid[0, 0] > 0, image.ms_valid
        return partial(
            lacking,
            ms=self._state.units.of_bands(image.ms)[chosen],
            placement=info.placement,
            windows=(window, image.ms_window),
            gains=tuple(info.gains[member] for member in chosen),
            masks=masks,
        )

    def _random_window(self, sample: Sample, generator: torch.Generator) -> Window:
        have, traits = sample.image.tile.window, self.network.TRAITS
        room = min(self._objective.side, *have.shape)
        side = traits.window or max(room // traits.align, 1) * traits.align
        row, col = (
            _next(first + _integer(generator, max(size - side, 0) + 1), traits.align)
            for first, size in ((have.row, have.height), (have.col, have.width))
        )
        return Window(row, col, side, side)

    def _whole_window(self, sample: Sample) -> Window:
        """As much of a sample as alignment leaves; of networks that see windows of one size, the first."""
        have, traits = sample.image.tile.window, self.network.TRAITS
        row, col = _next(have.row, traits.align), _next(have.col, traits.align)
        if traits.window is not None:
            return Window(row, col, traits.window, traits.window)
        height, width = (n // traits.align * traits.align for n in (have.row_stop - row, have.col_stop - col))
        return Window(row, col, max(height, traits.align), max(width, traits.align))


def _next(position: int, align: int) -> int:
    return math.ceil(position / align) * align


def _integer(generator: torch.Generator, stop: int) -> int:
    return int(torch.randint(stop, (), generator=generator))
