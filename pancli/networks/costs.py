"""What a network costs: its parameters, and its multiply-accumulates per pan pixel."""

from __future__ import annotations

import torch
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils.flop_counter import FlopCounterMode

from pancli.networks.protocol import Network, blank_inputs

_SIDE = 256  # pixels; the largest window any network asks for, and a multiple of every alignment
_aten = torch.ops.aten
_COUNTED = (_aten.convolution, _aten.addmm, _aten.mm)


def count_parameters(network: Network) -> int:
    """Trainable scalars, each once."""
    return sum(parameter.numel() for parameter in network.parameters() if parameter.requires_grad)


def macs_per_pixel(kind: type[Network], bands: int = 4, side: int | None = None) -> float:
    """Multiply-accumulates of convolutions and linear layers per pan pixel; nothing is computed.

    Transposed convolutions count by their input. Products of maps with maps, Fourier transforms and
    element-wise work are left out, as they are in the literature.

    Args:
        kind: The network.
        bands: ms bands.
        side: Of the image, pan pixels; by default the network's window, or 256.
    """
    side = side or kind.TRAITS.window or _SIDE
    with FakeTensorMode(), torch.no_grad():
        network = kind(bands, side * side).eval()
        with FlopCounterMode(display=False) as counter:
            network(blank_inputs(kind.TRAITS, bands, side))
    counts = counter.get_flop_counts()["Global"]
    return sum(int(counts.get(operation, 0)) for operation in _COUNTED) / 2 / side**2
