"""Saving a run so that it goes on as if it had never stopped: safetensors, written all or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from pancli.errors import TrainingError
from pancli.networks.weights import save_tensors


@dataclass(frozen=True)
class Part:
    """What one optimiser trains.

    Attributes:
        module: Its parameters are all and only the optimiser's.
        optimiser: With its state.
        frozen: Modules inside that stay as they are, their statistics too.
    """

    module: nn.Module
    optimiser: torch.optim.Optimizer
    frozen: tuple[nn.Module, ...] = ()


@dataclass(frozen=True)
class Progress:
    """Where a run is.

    Attributes:
        recipe_sha256: Of the recipe it follows.
        stage: The stage it is in.
        step: Steps of that stage that are done.
        began_from: What weights it began from; empty for random ones.
        taught_by: Given weights that teach; empty where there are none.
        best: Best score so far per weights file; empty before the first validation.
        seconds: Time spent on the run, resumed or not.
    """

    recipe_sha256: str
    stage: str
    step: int = 0
    began_from: str = ""
    taught_by: str = ""
    best: dict[str, float] = field(default_factory=dict)
    seconds: float = 0.0


def save_checkpoint(
    path: Path, parts: Mapping[str, Part], averages: Mapping[str, nn.Module], progress: Progress
) -> None:
    """Write everything that a resumed run needs. What is random follows from the step.

    Args:
        path: Where.
        parts: What is trained.
        averages: Of weights, where there are any.
        progress: Where the run is.

    Raises:
        TrainingError: A weight is no number; what was saved before stays.
        OutputError: It cannot be written; what was saved before stays.
    """
    tensors: dict[str, Tensor] = {}
    for name, part in parts.items():
        weights = part.module.state_dict()
        if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
            raise TrainingError(
                f"weights are no numbers after step {progress.step}; what was saved before stays in "
                f"{path.parent}. Lower schedule.learning_rate or schedule.clip"
            )
        tensors |= {f"{name}.module.{key}": tensor for key, tensor in weights.items()}
        for index, state in part.optimiser.state_dict()["state"].items():
            for key, value in state.items():
                if value is not None:
                    tensors[f"{name}.optimiser.{index}.{key}"] = torch.as_tensor(value)
    for name, average in averages.items():
        tensors |= {f"{name}.average.{key}": tensor for key, tensor in average.state_dict().items()}
    save_tensors(path, tensors, {"progress": json.dumps(asdict(progress))})


def read_progress(path: Path) -> Progress:
    """Where a saved run is.

    Raises:
        TrainingError: The file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            return Progress(**json.loads((file.metadata() or {})["progress"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise _damaged(path, error) from error


def load_parts(path: Path, parts: Mapping[str, Part], averages: Mapping[str, nn.Module]) -> None:
    """Put a checkpoint into modules, their optimisers and the averages of weights.

    Raises:
        TrainingError: The file is damaged or of other networks.
    """
    try:
        tensors = load_file(path)
        for name, part in parts.items():
            part.module.load_state_dict(_under(f"{name}.module.", tensors))
            state: dict[int, dict[str, Tensor]] = {}
            for key, tensor in _under(f"{name}.optimiser.", tensors).items():
                index, _, value = key.partition(".")
                state.setdefault(int(index), {})[value] = tensor
            part.optimiser.load_state_dict({**part.optimiser.state_dict(), "state": state})
        for name, average in averages.items():
            average.load_state_dict(_under(f"{name}.average.", tensors))
    except (SafetensorError, OSError, KeyError, ValueError, RuntimeError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> TrainingError:
    return TrainingError(f"{path}: cannot be resumed from ({error}); use --fresh to start again")


def _under(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name[len(prefix) :]: tensor for name, tensor in tensors.items() if name.startswith(prefix)}
