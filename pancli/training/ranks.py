"""Several processes that train as one, started by torchrun: each makes its share of a step's regions.

Every process holds the whole network and takes the same steps, with gradients averaged over all. Only the
first validates, writes and tells.

Batch normalisation is not synchronised: it normalises by the share of its own process, and what it remembers
is averaged. So a network with it, as gcpnet, learns a little differently with every number of processes.
torch.nn.SyncBatchNorm works on CUDA alone, and is not used.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from pancli.device import CPU
from pancli.errors import UsageError

_PATIENCE = datetime.timedelta(hours=2)  # validation keeps the others waiting
_WAY_OUT = "start with torchrun, or unset WORLD_SIZE"


@dataclass(frozen=True)
class Ranks:
    """The processes of a run, as one of them sees them.

    Attributes:
        rank: Which it is.
        count: How many there are.
        device: Where it computes.
    """

    rank: int = 0
    count: int = 1
    device: torch.device = CPU

    @property
    def first(self) -> bool:
        """Whether it is the one that writes."""
        return self.rank == 0

    def average(self, tensors: Sequence[Tensor]) -> None:
        """Replace floating tensors by their means over all processes."""
        if self.count == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        distributed.all_reduce(flat)
        flat /= self.count
        parts = torch.split(flat, [tensor.numel() for tensor in tensors])
        for tensor, part in zip(tensors, parts, strict=True):
            tensor.copy_(part.view(tensor.shape))

    def share(self, tensors: Sequence[Tensor]) -> None:
        """Replace tensors by those of the first process."""
        if self.count > 1:
            for tensor in tensors:
                whole = tensor.contiguous()
                distributed.broadcast(whole, 0)
                tensor.copy_(whole)

    def sums(self, *numbers: float) -> list[float]:
        """Numbers summed over all processes."""
        if self.count == 1:
            return list(numbers)
        total = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        distributed.all_reduce(total)
        return [float(number) for number in total]

    def wait(self) -> None:
        """Until all processes are here."""
        self.sums(0.0)


@contextmanager
def joined(device: torch.device) -> Iterator[Ranks]:
    """The processes torchrun started, or this one alone.

    Gradients and what batch normalisation remembers are averaged over them; what it normalises by in a step
    is of each process alone, so give each several regions (``schedule.regions``).

    Args:
        device: Where to compute; with CUDA, each process takes the device of its own number.

    Raises:
        UsageError: The machine has fewer devices than processes, or torchrun did not start them.
    """
    count = _told("WORLD_SIZE") if "WORLD_SIZE" in os.environ else 1
    if count == 1:
        yield Ranks(device=device)
        return
    rank, local = _told("RANK"), _told("LOCAL_RANK")
    if rank >= count:
        raise UsageError(f"RANK is {rank}, but WORLD_SIZE {count}; {_WAY_OUT}")
    if device.type == "cuda":
        if local >= torch.cuda.device_count():
            raise UsageError(
                f"process {local + 1} of this machine has no CUDA device of its own; start at most "
                f"{torch.cuda.device_count()}, or use --device cpu"
            )
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    try:
        distributed.init_process_group(backend, rank=rank, world_size=count, timeout=_PATIENCE)
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UsageError(f"WORLD_SIZE is {count}, but processes cannot join: {reason}; {_WAY_OUT}") from error
    try:
        yield Ranks(rank, count, device)
    finally:
        distributed.destroy_process_group()


def _told(name: str) -> int:
    """What torchrun tells a process of it."""
    text = os.environ.get(name)
    if text is None:
        raise UsageError(f"WORLD_SIZE is {os.environ['WORLD_SIZE']}, but {name} is not set; {_WAY_OUT}")
    if not text.isdecimal() or len(text) > 9:
        raise UsageError(f"{name} is {text!r}, which is no whole number; {_WAY_OUT}")
    return int(text)
