"""The steps of a stage: batches made ahead, and what is done with one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pancli.errors import TrainingError
from pancli.training.checkpoint import Part
from pancli.training.patches import Batch
from pancli.training.ranks import Ranks
from pancli.training.run import Run
from pancli.training.sampling import Sampler, step_seed


def make_batches(sampler: Sampler, steps: range, ahead: int) -> Iterator[tuple[int, Batch]]:
    """The batches of these steps, in order, ``ahead`` of them being made at a time, each in a thread."""
    with ThreadPoolExecutor(ahead, thread_name_prefix="pancli-batch") as pool:
        waiting: list[Future[Batch]] = []
        for step in steps:
            while len(waiting) <= ahead and step + len(waiting) < steps.stop:
                waiting.append(pool.submit(sampler.batch, step + len(waiting)))
            yield step, waiting.pop(0).result()


class Taken(NamedTuple):
    """A step that was taken.

    Attributes:
        loss: Mean over all processes, in standard deviations of a band.
        late: Whether time is up.
        terms: Of the loss, in this process.
        told: What else TensorBoard is told.
    """

    loss: float
    late: bool
    terms: dict[str, Tensor]
    told: dict[str, float]

    def numbers(self) -> dict[str, float]:
        """All of it as numbers."""
        return {
            "loss": self.loss,
            **{f"terms/{k}": float(v.detach()) for k, v in self.terms.items()},
            **self.told,
        }


def take_step(run: Run, step: int, batch: Batch, *, late: bool) -> Taken:
    """One step of every optimiser.

    Args:
        run: At that step.
        step: Of the stage.
        batch: What to learn from.
        late: Whether time is up, as the first process sees it.

    Raises:
        TrainingError: The loss or its gradient is not finite; nothing was changed.
    """
    stage, schedule, ranks = run.stage, run.stage.schedule, run.terms.ranks
    # Noise inside a teacher follows from the step, so that no state of a generator needs saving.
    torch.manual_seed(step_seed(run.recipe.seed, step, ranks.rank))
    settled = step >= schedule.settle * schedule.steps
    rate = schedule.rate(step)
    for part in stage.parts.values():
        _set_mode(part, settled=settled)
        for group in part.optimiser.param_groups:
            group["lr"] = rate
    terms = stage.objective(batch.to(ranks.device), step / schedule.steps)
    loss = torch.stack(list(terms.values())).sum()
    value, stop = ranks.sums(loss.item() / ranks.count, float(ranks.first and late))
    _check_finite(run, step, "loss", value)
    for part in stage.parts.values():
        part.optimiser.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    norms = {f"gradient/{name}": _clip(part, schedule.clip, ranks) for name, part in stage.parts.items()}
    _check_finite(run, step, "gradient", sum(norms.values()))
    for part in stage.parts.values():
        part.optimiser.step()
        if not settled:
            ranks.average([b for b in part.module.buffers() if b.is_floating_point()])
    return Taken(value, stop > 0, terms, {**norms, "learning rate": rate})


def _clip(part: Part, largest: float, ranks: Ranks) -> float:
    """Bring the gradients of all processes together and their norm below a bound; returns what it was."""
    gradients = [p.grad for p in part.module.parameters() if p.grad is not None]
    ranks.average(gradients)
    return float(nn.utils.clip_grad_norm_(part.module.parameters(), largest))


def _check_finite(run: Run, step: int, what: str, value: float) -> None:
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} of step {step} is {value}; what was saved before stays in {run.folder}. "
            "Lower schedule.learning_rate or schedule.clip, and start with --fresh, or elsewhere (--out) "
            "from weights that are there (--init)"
        )


def _set_mode(part: Part, *, settled: bool) -> None:
    """Training mode; once settled, normalisation uses the statistics that inference will use."""
    part.module.train()
    for module in part.frozen:
        module.eval()
    if settled:
        for module in part.module.modules():
            if isinstance(module, nn.modules.batchnorm._NormBase):
                module.eval()
