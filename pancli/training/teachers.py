"""Networks that are shown the truth through a narrow code, so that a student can be shown how to do without.

A teacher ends in the layers its student has, so that the student can start from them and imitate what flows
through them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from pancli.errors import RecipeError
from pancli.networks.msinn import MSINN
from pancli.networks.protocol import Network
from pancli.training.losses import distance
from pancli.training.patches import Batch
from pancli.training.recipe import Teacher as TeacherPlan

_STRIDE = 4  # without it an encoder can copy the truth and teach nothing
_WIDTH = 32  # of the variational teacher's layers
_CODE = 16  # channels of its code
_SLOPE = 0.2
_LARGEST = 8.0  # logarithm of a variance


class Taught(NamedTuple):
    """What a teacher makes of a batch.

    Attributes:
        fused: (N, K, H, W), in the network's units.
        features: What students imitate, in the order of the data flow.
        constraint: What holds its code.
    """

    fused: Tensor
    features: tuple[Tensor, ...]
    constraint: Tensor


class Teacher(nn.Module, ABC):
    """A network that is shown the truth."""

    @abstractmethod
    def forward(self, batch: Batch) -> Taught:
        """Run; ``batch.target`` is the truth."""

    @abstractmethod
    def initialise(self, student: Network) -> None:
        """Give a student the weights of the layers that both have."""


class Encoder(nn.Module):
    """The truth (N, K, H, W) through a bottleneck of a quarter of its sides, as an image of the same size.

    Lee et al., "Learning with privileged information for efficient image super-resolution" (PISR), ECCV 2020:
    90,611 parameters at 4 bands. GCPNet's paper names that work and does not describe its own encoder.
    """

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(bands, 56, 5, padding=2),
            nn.PReLU(),
            nn.Conv2d(56, 56, 5, stride=_STRIDE, padding=2),
            nn.PReLU(),
            nn.Conv2d(56, 12, 3, padding=1),
            nn.PReLU(),
            nn.Conv2d(12, bands, 3, padding=1),
        )

    def forward(self, truth: Tensor) -> Tensor:
        """The code (N, K, H, W)."""
        code: Tensor = interpolate(self.layers(truth), truth.shape[2:], mode="bicubic", align_corners=False)
        return code


class EncoderTeacher(Teacher):
    """GCPNet's: an encoder, and a decoder that is the student's own class, given the code in place of bms.

    Yan, Zhou et al., IEEE TGRS 2022, eqs. 10 to 14. The constraint is the code's absolute distance from bms.

    Args:
        decoder: Of the student's class; it takes bms without lrms.
        reduction: Of the constraint.
    """

    def __init__(self, decoder: Network, reduction: str) -> None:
        super().__init__()
        self.encoder = Encoder(decoder.bands)
        self.decoder = decoder
        self.reduction = reduction

    def forward(self, batch: Batch) -> Taught:
        """See :class:`Teacher`."""
        code = self.encoder(batch.target)
        outcome = self.decoder(batch.inputs._replace(bms=code))
        apart = (code.float() - batch.inputs.bms) * batch.weight
        fused = outcome.residual + code
        return Taught(fused, outcome.features, distance("l1", apart, self.reduction))

    def initialise(self, student: Network) -> None:
        """See :class:`Teacher`: all of the student's weights are the decoder's."""
        student.load_state_dict(self.decoder.state_dict())


class Residual(nn.Module):
    """Two convolutions around a leaky ReLU, and the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(_SLOPE),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(N, width, H, W) to the same shape."""
        out: Tensor = x + self.layers(x)
        return out


def _down(inner: int, outer: int, stride: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inner, outer, 3, stride=stride, padding=1)
    return [convolution, nn.LeakyReLU(_SLOPE), Residual(outer)]


def _up(width: int) -> list[nn.Module]:
    return [nn.Conv2d(width, 4 * width, 3, padding=1), nn.PixelShuffle(2), nn.LeakyReLU(_SLOPE)]


class VariationalTeacher(Teacher):
    """MSINN's: a variational auto-encoder of the truth, which ends in the student's own layers.

    After the abstract of Zhou et al., IEEE TGRS 2022, doi 10.1109/TGRS.2022.3199210; the layers before the
    student's are ours, the paper's are not openly known. 251,606 parameters at 4 bands, where the code has a
    quarter of the truth's numbers. The constraint is the divergence of its distribution from a standard
    normal one (Kingma and Welling, "Auto-encoding variational Bayes", ICLR 2014), a mean over its numbers.

    Args:
        student: Whose ``extract`` and ``refine`` become the teacher's.
    """

    def __init__(self, student: MSINN) -> None:
        super().__init__()
        width = student.of_pan.out_channels + student.of_ms.out_channels
        self.encoder = nn.Sequential(
            *_down(student.bands, _WIDTH, 1),
            *_down(_WIDTH, _WIDTH, 2),
            *_down(_WIDTH, _WIDTH, 2),
            nn.Conv2d(_WIDTH, 2 * _CODE, 1),
        )
        self.head = nn.Sequential(
            *_down(_CODE, _WIDTH, 1),
            *_up(_WIDTH),
            *_up(_WIDTH),
            nn.Conv2d(_WIDTH, width, 3, padding=1),
        )
        self.extract = student.extract
        self.refine = student.refine

    def forward(self, batch: Batch) -> Taught:
        """See :class:`Teacher`; the code is its distribution's mean, and drawn from it in training."""
        mean, spread = self.encoder(batch.target).float().chunk(2, 1)
        spread = spread.clamp(-_LARGEST, _LARGEST)  # the logarithm of the variance
        divergence = 0.5 * (mean.square() + spread.exp() - 1 - spread).mean()
        noise = torch.randn_like(mean) if self.training else torch.zeros_like(mean)
        start = self.head(mean + (0.5 * spread).exp() * noise)
        middle = self.extract(start)
        return Taught(self.refine(middle), (start, middle), divergence)

    def initialise(self, student: Network) -> None:
        """See :class:`Teacher`: the layers from the first imitated feature to the output."""
        if isinstance(student, MSINN):
            student.extract.load_state_dict(self.extract.state_dict())
            student.refine.load_state_dict(self.refine.state_dict())


def make_teacher(plan: TeacherPlan, student: Network) -> Teacher:
    """A teacher for a student.

    Args:
        plan: Of the recipe.
        student: A network of the student's class, which becomes the teacher's.

    Raises:
        RecipeError: The network cannot be taught so.
    """
    if plan.kind == "vae":
        if not isinstance(student, MSINN):
            raise RecipeError("teacher.kind 'vae' teaches msinn and msinn-refined; use 'encoder' for others")
        return VariationalTeacher(student)
    if student.TRAITS.ratio is not None:
        raise RecipeError("teacher.kind 'encoder' needs a network that takes bms alone, without lrms")
    return EncoderTeacher(student, plan.loss.reduction)
