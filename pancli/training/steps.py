"""The steps of a stage: batches made ahead, and what is done with one."""

from __future__ import annotations

import math
import multiprocessing
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from pancli.errors import TrainingError
from pancli.training.checkpoint import Part
from pancli.training.patches import Batch
from pancli.training.ranks import Ranks
from pancli.training.run import Run
from pancli.training.sampling import Sampler, step_seed


def make_batches(
    sampler: Sampler, steps: range, ahead: int, workers: int | None = None
) -> Iterator[tuple[int, Batch]]:
    """The batches of these steps, in order, made while others are learnt from; always the same.

    Args:
        sampler: Makes one.
        steps: Which.
        ahead: How many threads make them where there are no workers; much of the work is Python's, so that
            two are hardly faster than one.
        workers: Processes that make them; None for threads.

    Raises:
        TrainingError: One of the processes ended.
    """
    count = workers or ahead
    with _pool(sampler, ahead, workers) as (pool, make):
        waiting: list[Future[Batch]] = []
        for step in steps:
            while len(waiting) <= count and step + len(waiting) < steps.stop:
                waiting.append(pool.submit(make, step + len(waiting)))
            yield step, waiting.pop(0).result()


@contextmanager
def _pool(
    sampler: Sampler, ahead: int, workers: int | None
) -> Iterator[tuple[Executor, Callable[[int], Batch]]]:
    """Threads or processes, and what each is to do with a step; what has not begun at the end never does."""
    pool: Executor
    if workers is None:
        pool, make = ThreadPoolExecutor(ahead, thread_name_prefix="pancli-batch"), sampler.batch
    else:
        # A fork would inherit threads that hold locks, and CUDA.
        spawn = multiprocessing.get_context("spawn")
        pool, make = ProcessPoolExecutor(workers, spawn, _begin_worker, (sampler,)), _make_in_worker
    try:
        yield pool, make
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that makes batches ended, as for want of memory; give fewer --workers, and the same "
            "command goes on from what was saved"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


_sampler_of_worker: list[Sampler] = []


def _begin_worker(sampler: Sampler) -> None:
    """What a process is told once: all images are in it."""
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who asked stops it
    _sampler_of_worker[:] = [sampler]


def _make_in_worker(step: int) -> Batch:
    return _sampler_of_worker[0].batch(step)


@dataclass
class Waiting:
    """How long learning waits for batches.

    Attributes:
        began: When counting began.
        seconds: Spent waiting since.
    """

    began: float = field(default_factory=time.monotonic)
    seconds: float = 0.0

    def over(self, batches: Iterator[tuple[int, Batch]]) -> Iterator[tuple[int, Batch]]:
        """The same batches, the time they take counted."""
        while True:
            start = time.monotonic()
            following = next(batches, None)
            self.seconds += time.monotonic() - start
            if following is None:
                return
            yield following

    @property
    def share(self) -> float:
        """Of all the time since counting began."""
        return self.seconds / max(time.monotonic() - self.began, 1e-9)


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
    for name, average in stage.averages.items():
        average.update_parameters(stage.networks[name])
    return Taken(value, stop > 0, terms, {**norms, "learning rate": rate})


def _clip(part: Part, largest: float, ranks: Ranks) -> float:
    """Bring the gradients of all processes together and their norm below a bound; returns what it was."""
    gradients = [p.grad for p in part.module.parameters() if p.grad is not None]
    ranks.average(gradients)
    return float(nn.utils.clip_grad_norm_(part.module.parameters(), largest))


def _check_finite(run: Run, step: int, what: str, value: float) -> None:
    if not math.isfinite(value):
        # Some of torch 2.13's gradients of bfloat16 convolutions on CPUs are NaN, whatever the rate.
        half = run.recipe.precision != "float32"
        lower = "Set precision to float32, or lower" if half else "Lower"
        raise TrainingError(
            f"the {what} of step {step} is {value}; what was saved before stays in {run.folder}. {lower} "
            "schedule.learning_rate or schedule.clip, and start with --fresh, or elsewhere (--out) from "
            "weights that are there (--init)"
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
