"""Saving a run so that it goes on as if it had never stopped: safetensors, written all or not at all."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from pancli.errors import TrainingError
from pancli.networks.protocol import Network


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        step: Steps done.
        recipe_sha256: Of the recipe it follows.
        best: Best score so far; None before the first validation.
        seconds: Time spent on the run, resumed or not.
    """

    step: int
    recipe_sha256: str
    best: float | None = None
    seconds: float = 0.0


def save_checkpoint(
    path: Path, network: Network, optimizer: torch.optim.Optimizer, progress: Progress
) -> None:
    """Write everything that a resumed run needs. What is random follows from the step."""
    tensors = {f"network.{name}": tensor for name, tensor in network.state_dict().items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
    flat = {
        name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
        for name, tensor in tensors.items()
    }
    temporary = path.with_name(path.name + ".tmp")
    save_file(flat, temporary, metadata={"progress": json.dumps(asdict(progress))})
    temporary.replace(path)


def load_checkpoint(path: Path, network: Network, optimizer: torch.optim.Optimizer) -> Progress:
    """Put a checkpoint into a network and its optimiser.

    Raises:
        TrainingError: The file is damaged or of another network.
    """
    try:
        with safe_open(path, framework="pt") as file:
            progress = Progress(**json.loads((file.metadata() or {})["progress"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        network.load_state_dict(_under("network.", tensors))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(
            f"{path}: cannot be resumed from ({error}); use --fresh to start again"
        ) from error
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer.", tensors).items():
        index, _, field = name.partition(".")
        state.setdefault(int(index), {})[field] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return progress


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
