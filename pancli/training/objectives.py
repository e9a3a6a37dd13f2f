"""What a stage makes small of a batch: objectives that return the weighted terms of a loss, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from pancli.methods.back_projection import after_rounds, lacking
from pancli.networks.protocol import Network
from pancli.tiling import Window
from pancli.training.losses import (
    distance,
    gradient_distance,
    spectral_angle,
    supervised_terms,
    weighted_error,
)
from pancli.training.patches import Batch, Observed
from pancli.training.recipe import Distillation, Loss, Mutual
from pancli.training.recipe import Teacher as TeacherPlan
from pancli.training.teachers import Taught, Teacher

LossTerms = dict[str, Tensor]
"""The weighted terms of a loss, by name; the loss is their sum."""

Objective = Callable[[Batch, float], LossTerms]
"""What is made small of a batch, given how much of the stage is done, 0 to 1."""


def _autocast(batch: Batch, precision: str) -> torch.autocast:
    return torch.autocast(batch.target.device.type, torch.bfloat16, enabled=precision == "bfloat16")


@dataclass(frozen=True)
class Supervised:
    """The truth alone.

    Attributes:
        network: What is trained.
        loss: Weights of its terms.
        precision: What the network computes in.
        back_projections: Rounds that follow the network.
    """

    network: Network
    loss: Loss
    precision: str
    back_projections: int = 0

    def run(self, batch: Batch) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The fused image, float32, and the features."""
        with _autocast(batch, self.precision):
            outcome = self.network(batch.inputs)
        fused = outcome.residual.float() + batch.inputs.bms
        if self.back_projections:
            trusts = [None] * len(fused) if outcome.trust is None else outcome.trust.float()
            parts = zip(fused, trusts, batch.observed, strict=True)
            fused = torch.stack([_consistent(*part, self.back_projections) for part in parts])
        return fused, outcome.features

    def __call__(self, batch: Batch, at: float) -> LossTerms:
        """See :data:`Objective`."""
        return supervised_terms(self.loss, self.run(batch)[0], batch)


def _consistent(fused: Tensor, trust: Tensor | None, observed: Observed, rounds: int) -> Tensor:
    """A whole region (K, H, W) after rounds of back-projection, of each of which a share is added."""
    ms, placement = observed.ms, observed.placement
    windows = Window(0, 0, *fused.shape[1:]), Window(0, 0, *ms.shape[1:])
    gains = (observed.gain,) * len(ms)
    lacks = partial(lacking, ms=ms, placement=placement, windows=windows, gains=gains)
    return after_rounds(fused, trust, rounds, lacks)


@dataclass(frozen=True)
class Teaching:
    """The truth, which the teacher is shown, and what holds its code."""

    teacher: Teacher
    plan: TeacherPlan
    precision: str

    def __call__(self, batch: Batch, at: float) -> LossTerms:
        """See :data:`Objective`."""
        with _autocast(batch, self.precision):
            taught = self.teacher(batch)
        terms = supervised_terms(self.plan.loss, taught.fused, batch)
        risen = 1.0 if self.plan.warm_up == 0 else min(1.0, at / self.plan.warm_up)
        return {**terms, "constraint": self.plan.constraint * risen * taught.constraint}


@dataclass(frozen=True)
class Given:
    """A trained network as a teacher, who is shown what the student is."""

    supervised: Supervised

    def __call__(self, batch: Batch) -> Taught:
        """Run; there is no code to constrain."""
        fused, features = self.supervised.run(batch)
        return Taught(fused, features, fused.new_zeros(()))


@dataclass(frozen=True)
class Distilled:
    """The truth, and what a frozen teacher makes of it."""

    supervised: Supervised
    teacher: Callable[[Batch], Taught]
    distillation: Distillation
    adapters: nn.ModuleList | None

    def __call__(self, batch: Batch, at: float) -> LossTerms:
        """See :data:`Objective`."""
        fused, features = self.supervised.run(batch)
        terms = supervised_terms(self.supervised.loss, fused, batch)
        plan, left = self.distillation, weight_left(self.distillation.decay, at)
        if left == 0 or not (plan.features or plan.output):
            return terms
        with torch.no_grad(), _autocast(batch, self.supervised.precision):
            taught = self.teacher(batch)
        reduction = self.supervised.loss.reduction
        if plan.output:
            apart = weighted_error(fused, batch._replace(target=taught.fused.float()))
            terms["output"] = left * plan.output * distance(plan.distance, apart, reduction)
        imitated = slice(len(plan.features))
        own_and_theirs = (self._adapted(features[imitated]), taught.features[imitated])
        for number, (weight, own, theirs) in enumerate(zip(plan.features, *own_and_theirs, strict=True)):
            apart = own.float() - theirs.float()
            terms[f"feature {number}"] = left * weight * distance(plan.distance, apart, reduction)
        return terms

    def _adapted(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        if self.adapters is None:
            return features
        pairs = zip(self.adapters, features, strict=True)
        return tuple(adapter(feature.float()) for adapter, feature in pairs)


@dataclass(frozen=True)
class Mutually:
    """The truth, and for each of two networks the other, in what the other is there for.

    After Peng et al., Remote Sensing 14(18) 4682, 2022, whose losses are not openly known: the first network
    answers for spectra and learns gradients from the second, which answers for gradients and learns spectra.
    What is learnt from is held fixed, so each network has a loss of its own.
    """

    spectral: Supervised
    spatial: Supervised
    plan: Mutual

    def __call__(self, batch: Batch, at: float) -> LossTerms:
        """See :data:`Objective`."""
        spectral, spatial = self.spectral.run(batch)[0], self.spatial.run(batch)[0]
        terms = _named("spectral", supervised_terms(self.spectral.loss, spectral, batch))
        terms |= _named("spatial", supervised_terms(self.spatial.loss, spatial, batch))
        angles = spectral_angle(spectral, batch.target, batch).mean()
        edges = gradient_distance(weighted_error(spatial, batch))
        terms["spectral own"] = self.plan.sam * angles
        terms["spatial own"] = self.plan.gradient * edges
        plan = self.plan
        weight = plan.weight * max(0.0, at - plan.warm_up) / (1.0 - plan.warm_up)
        if weight == 0:
            return terms
        with torch.no_grad():
            other_edges = gradient_distance(weighted_error(spectral, batch))
            other_angles = spectral_angle(spatial, batch.target, batch).mean()
        if not plan.balance or float(edges.detach()) < float(other_edges):
            peer = batch._replace(target=spatial.detach())
            terms["spectral from peer"] = weight * gradient_distance(weighted_error(spectral, peer))
        if not plan.balance or float(angles.detach()) < float(other_angles):
            terms["spatial from peer"] = weight * spectral_angle(spatial, spectral.detach(), batch).mean()
        return terms


def _named(network: str, terms: LossTerms) -> LossTerms:
    return {f"{network} {name}": term for name, term in terms.items()}


def weight_left(decay: float, at: float) -> float:
    """What is left of a weight: all of it, then a straight fall to zero over the last part of a run.

    Args:
        decay: That part, 0 to 1.
        at: How much of the run is done, 0 to 1.
    """
    return 1.0 if decay == 0 else min(1.0, (1.0 - at) / decay)
