"""A device that is far away, for machines that have none: the CPU computes, but nothing may be mixed.

Inside :func:`far_away`, tensors on :data:`FAR` are held by the CPU. An operation on some of them and some
on the CPU fails, as it does with CUDA, unless those on the CPU are single numbers.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing

from pancli.device import CPU

FAR = torch.device("meta")
_INDEXED = {torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default}  # by indices from anywhere
_MOVES = {torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default}


class _FarTensor(Tensor):
    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> _FarTensor:
        far: _FarTensor = torch.Tensor._make_wrapper_subclass(
            cls,
            held.shape,
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=FAR,
        )
        far.held = held
        return far

    def item(self) -> Any:
        return self.held.item()

    def tolist(self) -> Any:
        return self.held.tolist()

    def __bool__(self) -> bool:
        return bool(self.held)

    def __float__(self) -> float:
        return float(self.held)

    def __int__(self) -> int:
        return int(self.held)

    __index__ = __int__

    def __getitem__(self, index: Any) -> Tensor:
        parts = index if isinstance(index, tuple) else (index,)
        listed = tuple(torch.tensor(part) if isinstance(part, list) else part for part in parts)
        return super().__getitem__(listed)

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]
        return _computed(func, args, kwargs or {})


class _Far(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _computed(func, args, kwargs or {})


def _no_inference(mode: bool = True) -> AbstractContextManager[None]:
    """Inference mode takes no tensors that are held by others."""
    return torch.no_grad() if mode else torch.enable_grad()


def _is_far(part: Any) -> bool:
    return isinstance(part, _FarTensor)


def _tensors(part: Any) -> Iterator[Tensor]:
    """Those in an operation's arguments, where torch's own trees take most of a test's time."""
    if isinstance(part, Tensor):
        yield part
    elif isinstance(part, list | tuple):
        for inner in part:
            yield from _tensors(inner)


def _each(change: Callable[[Any], Any], part: Any) -> Any:
    return (
        type(part)([_each(change, inner) for inner in part])
        if isinstance(part, list | tuple)
        else change(part)
    )


def _held(part: Any) -> Any:
    return part.held if isinstance(part, _FarTensor) else part


def _far(part: Any) -> Any:
    return _FarTensor(part) if isinstance(part, Tensor) else part


def _computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    indexed = func in _INDEXED and _is_far(args[0])
    tensors = list(_tensors((*args[:1], *args[2:]) if indexed else (*args, *kwargs.values())))
    far = any(map(_is_far, tensors))
    if far and any(tensor.dim() and not _is_far(tensor) for tensor in tensors) and func not in _MOVES:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device")
    if any(tensor.device == FAR and not _is_far(tensor) for tensor in tensors):
        raise RuntimeError(f"{func}: a tensor that nothing is known of; make {__name__} know how it was made")
    asked = kwargs.get("device")
    if asked is not None:
        kwargs = {**kwargs, "device": CPU}
        far = torch.device(asked) == FAR
    if func is torch.ops.aten.copy_.default:
        far = _is_far(args[0])
    held_kwargs = {name: _each(_held, value) for name, value in kwargs.items()}
    made = func(*_each(_held, args), **held_kwargs)
    return return_and_correct_aliasing(func, args, kwargs, _each(_far, made)) if far else made


@contextmanager
def far_away() -> Iterator[torch.device]:
    """The device, as long as it lasts, for this thread and those begun meanwhile."""
    run = threading.Thread.run

    def run_there(thread: threading.Thread) -> None:
        with _Far():
            run(thread)

    with (
        _Far(),
        patch.object(threading.Thread, "run", run_there),
        patch("torch.inference_mode", _no_inference),
        patch("torch.autocast", lambda *_, **__: nullcontext()),  # all is computed in float32
    ):
        yield FAR


def near(tensor: Tensor) -> Tensor:
    """A tensor on the CPU, wherever it lies."""
    return tensor.held if isinstance(tensor, _FarTensor) else tensor
