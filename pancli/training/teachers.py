"""Networks that are shown the truth through a narrow code, so that a student can be shown how to do without.

A teacher ends in the layers its student has, so that the student can start from them and imitate what flows
through them.
"""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor, nn
from torch.nn.functional import interpolate

from pancli.errors import RecipeError
from pancli.networks.protocol import Network
from pancli.training.losses import distance
from pancli.training.patches import Batch
from pancli.training.recipe import Teacher as TeacherPlan

_STRIDE = 4  # without it an encoder can copy the truth and teach nothing


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


class Teacher(nn.Module):
    """A network that is shown the truth."""

    def forward(self, batch: Batch) -> Taught:
        """Run; ``batch.target`` is the truth."""
        raise NotImplementedError

    def initialise(self, student: Network) -> None:
        """Give a student the weights of the layers that both have."""
        raise NotImplementedError


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


def make_teacher(plan: TeacherPlan, student: Network) -> Teacher:
    """A teacher for a student.

    Args:
        plan: Of the recipe.
        student: A network of the student's class, which becomes the teacher's.

    Raises:
        RecipeError: The network cannot be taught so.
    """
    if student.TRAITS.ratio is not None:
        raise RecipeError("teacher.kind 'encoder' needs a network that takes bms alone, without lrms")
    return EncoderTeacher(student, plan.loss.reduction)
