"""A training run as frozen values; :mod:`pancli.training.reading` makes them of a TOML file."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

SOURCE_KINDS = ("pairs", "referenced", "truth", "spectrum", "simulated")
DECAYS = ("cosine", "steps")
OPTIMISERS = ("adamw", "adam", "sgd")
DISTANCES = ("l1", "mse")
REDUCTIONS = ("mean", "sum")
TEACHERS = ("encoder", "vae")
PRECISIONS = ("float32", "bfloat16")

LEAST_LINES = 8
"""Bands that a spectrum has at least: its cameras see mixtures of neighbours."""

LEAST_MS = 2
"""ms pixels along an axis of a region: one alone has no spread, which units are."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where training images come from.

    Attributes:
        kind: "pairs" (pan and ms; the ms is the truth at its own resolution), "referenced" (pan, ms and the
            truth on pan's grid, as ``pancli degrade`` and ``pancli simulate`` write them), "truth" (a
            multiband image; pan is made from it), "spectrum" (the same of an imaging spectrometer, its bands
            in the order of their wavelengths: bands and pan of a random camera are made from it), or
            "simulated" (scenes with exact truth, made on the fly).
        weight: How often it is drawn, relative to the others.
        folder: Holds the images, relative to the data folder; this and what follows not of kind "simulated".
        names: Which of them; a name may be a pattern such as "*", which leaves out what is validated on.
        nodata: Value of invalid pixels, over the files' tags.
        coarser: Of kinds "truth" and "spectrum": the image is first reduced by this factor, as a camera
            further away would see it.
    """

    kind: str
    weight: float = 1.0
    folder: str = ""
    names: tuple[str, ...] = ()
    nodata: float | None = None
    coarser: float = 1.0


@dataclass(frozen=True, slots=True)
class Degradation:
    """How a truth is observed; each range is drawn from uniformly.

    Attributes:
        ratios: Pan pixels per ms pixel; one of these each time.
        ms_gains: MTF at the ms Nyquist, of all bands together.
        gain_spread: How far a single band's gain may differ.
        pan_gains: MTF of pan at its own Nyquist, where pan is reduced from a finer one.
        phase: Largest distance between the corners of the two grids along each axis, in ms pixels.
        shift: Largest unknown displacement of pan against ms and the truth, in pan pixels, along each axis.
        noise: Largest standard deviation of noise, as a part of a band's.
        blunt: How often the truth is less sharp than pan, and ms made of it with hardly any low-pass.
        misfit: How often pan fits neither ms nor the truth: it may lie up to a pixel and a half elsewhere
            along each axis, or have things in it that are not there; where ms is made from a truth, that is
            then hardly low-passed, and the truth itself may be less sharp than pan.
        gain_error: How far from the true one the MTF gain lies that networks and back-projection are told.
    """

    ratios: tuple[float, ...] = (2.0, 3.0, 4.0)
    ms_gains: tuple[float, float] = (0.15, 0.5)
    gain_spread: float = 0.05
    pan_gains: tuple[float, float] = (0.1, 0.5)
    phase: float = 0.5
    shift: float = 0.25
    noise: float = 0.02
    blunt: float = 0.0
    misfit: float = 0.0
    gain_error: float = 0.0

    @property
    def least_side(self) -> int:
        """Shortest side of a truth of which ms has :data:`LEAST_MS` pixels, wherever its grid lies."""
        return math.ceil(max(self.ratios) * (LEAST_MS + self.phase))


@dataclass(frozen=True, slots=True)
class Decay:
    """How the learning rate falls.

    Attributes:
        kind: "cosine" (along half a cosine) or "steps" (suddenly, now and then).
        floor: Part of the learning rate that the cosine ends at.
        factor: What is left of the rate after each sudden fall.
        period: Steps between sudden falls.
    """

    kind: str = "cosine"
    floor: float = 0.0
    factor: float = 0.1
    period: int = 0

    def rate(self, step: int, steps: int) -> float:
        """Part of the learning rate that holds at a step of so many."""
        if self.kind == "steps":
            return float(self.factor ** (step // self.period))
        return self.floor + (1 - self.floor) * 0.5 * (1 + math.cos(math.pi * step / steps))


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: Optimiser steps of the whole run.
        regions: Image regions a step sees; units are of a region, as they are of a scene in use.
        region: Side of a region in pixels.
        patches: Patches cut from each region.
        patch: Side of a patch in pixels; its area is what the network's sums are rescaled to.
        learning_rate: At the start.
        warm_up: First steps, over which it rises from zero.
        weight_decay: Of the optimiser.
        decay: How the learning rate falls.
        clip: Largest norm of a gradient.
        settle: Part of the run after which normalisation statistics stay as they are.
        validate_every: Steps between validations.
        checkpoint_minutes: Between saves; every validation saves, too.
        threads: Of the CPU; 0 leaves them alone.
        prefetch: Batches made ahead, each in a thread of its own.
    """

    steps: int
    regions: int = 4
    region: int = 160
    patches: int = 2
    patch: int = 64
    learning_rate: float = 1e-3
    warm_up: int = 0
    decay: Decay = field(default_factory=Decay)
    weight_decay: float = 1e-4
    clip: float = 1.0
    settle: float = 0.75
    validate_every: int = 500
    checkpoint_minutes: float = 3.0
    threads: int = 0
    prefetch: int = 1

    @property
    def whole(self) -> bool:
        """Whether regions are patches as they are."""
        return self.patch == self.region and self.patches == 1

    def rate(self, step: int) -> float:
        """The learning rate that holds at a step."""
        risen = 1.0 if step >= self.warm_up else (step + 1) / (self.warm_up + 1)
        return self.learning_rate * risen * self.decay.rate(step, self.steps)


@dataclass(frozen=True, slots=True)
class Optimiser:
    """What takes the steps.

    Attributes:
        kind: "adamw", "adam" or "sgd".
        momentum: Of sgd.
        betas: Of adamw and adam.
    """

    kind: str = "adamw"
    momentum: float = 0.9
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True, slots=True)
class Loss:
    """What is made small: weights of terms of the error, in standard deviations of a band.

    Attributes:
        l1: Of absolute errors.
        mse: Of squared errors.
        sam: Of the spectral angle in radians, a mean over pixels.
        gradient: Of the absolute errors of differences between neighbours, along rows and along columns.
        ms: Of the absolute distance of the fused image, blurred and reduced, from ms.
        pan: Of the absolute distance of that mixture of its bands which is most like pan, from pan, in
            standard deviations of pan. Both for networks that see ms at its own resolution: the last stage
            of MSINN, with what comes before in ``frozen``.
        reduction: How l1 and mse are reduced. "mean"; or "sum": over each patch, squares halved, as
            GCPNet's paper does. What distances of distillation are reduced by, too.
    """

    l1: float = 0.0
    mse: float = 0.0
    sam: float = 0.0
    gradient: float = 0.0
    ms: float = 0.0
    pan: float = 0.0
    reduction: str = "mean"


@dataclass(frozen=True, slots=True)
class Teacher:
    """The first stage: a network that is shown the truth, through a code too narrow to copy it.

    Attributes:
        kind: "encoder" (GCPNet's: the truth's code takes the place of bms) or "vae" (MSINN's: a variational
            auto-encoder of the truth that ends in the student's layers).
        schedule: As the student's; what is not given is the student's.
        optimiser: The same.
        loss: The same, as a whole.
        constraint: Weight of what holds the code: for "encoder" its absolute distance from bms, for "vae" the
            divergence of its distribution from a standard normal one.
        warm_up: First part of the stage over which that weight rises from zero.
    """

    kind: str
    schedule: Schedule
    optimiser: Optimiser
    loss: Loss
    constraint: float = 1e-4
    warm_up: float = 0.0


@dataclass(frozen=True, slots=True)
class Distillation:
    """What the student takes from its teacher.

    Attributes:
        weights: Who teaches in place of a first stage, a network that is shown no more than the student: a
            weights file, or the name of one that ships with pancli. Empty where there is a first stage.
        initialise: Its first weights.
        distance: Between features, and between outputs: "l1" or "mse", reduced as the loss is.
        features: Weights of the distances of features, in the order of the data flow; empty for none.
        output: Weight of the distance of outputs.
        adapters: Compare features after learnable 1 x 1 convolutions on the student's side, discarded later.
        decay: Last part of the run over which all these weights fall to zero.
    """

    weights: str = ""
    initialise: bool = True
    distance: str = "mse"
    features: tuple[float, ...] = ()
    output: float = 0.0
    adapters: bool = False
    decay: float = 0.0


@dataclass(frozen=True, slots=True)
class Mutual:
    """A peer that is trained beside the network, each learning from the other what it is worse at.

    Attributes:
        peer: The network for shapes, as the registry has it; the recipe's own is that for spectra.
        sam: Weight of the network's spectral angle from the truth.
        gradient: Weight of the peer's distance of gradients from the truth.
        weight: Of what is learnt from the other: gradients by the network, spectral angles by the peer.
        warm_up: First part of the run without that; then it rises straight to its weight.
        balance: Learn from the other only where it is better, batch by batch.
    """

    peer: str
    sam: float = 0.1
    gradient: float = 1.0
    weight: float = 0.1
    warm_up: float = 0.1
    balance: bool = True


@dataclass(frozen=True, slots=True)
class Validation:
    """What is measured during the run, and chosen by.

    Attributes:
        kind: "pairs" (they are reduced, and their ms is the truth) or "referenced" (they come with it).
        folder: Holds pairs that are never trained on, relative to the data folder.
        names: Which of them; a name may be a pattern.
        nodata: Value of invalid pixels, over the files' tags.
        bands: Indices of their bands; all where empty.
        bits: Of their numbers: the peak of PSNR; 1 of reflectance, whose peak is 1.
        ratios: Pairs are reduced to the ms grid, and their ms once more by each of these. Simulated scenes
            have them in turn.
        crop: Side of the middle part that is used, in pixels of the truth.
        simulated: How many simulated scenes besides.
    """

    kind: str = "pairs"
    folder: str = ""
    names: tuple[str, ...] = ()
    nodata: float | None = None
    bands: tuple[int, ...] = ()
    bits: int = 8
    ratios: tuple[float, ...] = (2.0, 4.0)
    crop: int = 256
    simulated: int = 0


@dataclass(frozen=True, slots=True)
class Recipe:
    """A whole run.

    Attributes:
        name: Of the weights.
        version: Of the weights.
        network: As the registry has it.
        bands: ms bands the network takes at once.
        seed: Everything random follows from it.
        data: One line for the card: what was trained on; where it is empty, the sources are listed.
        limits: One line for the card: what the weights are known not to do well.
        licence: Of the weights, for the card; where it is empty, the card says that it is not stated, and
            under which licence the weights are that they began from or were taught by.
        sources: Training images.
        schedule: How long and how fast.
        degradation: How truths are observed.
        validation: What is measured.
        optimiser: What takes the steps.
        loss: What is made small.
        back_projections: Rounds of back-projection that end the network, in training and in use; patches
            must be whole regions.
        precision: What networks compute in: "float32" or "bfloat16"; losses and weights are float32.
        kept: Share of the weights that the run begins from in those that are validated and exported: trained
            ones are better at what they were trained for, the first ones at all else, and what lies between
            keeps most of both (Wortsman et al., "Robust fine-tuning of zero-shot models", CVPR 2022).
        averaged: Part of itself that the average of the weights keeps at every step, where that average is
            what is validated and exported, not the weights as they are; 0 for these (Polyak & Juditsky,
            "Acceleration of stochastic approximation by averaging", SIAM J. Control Optim. 1992). After n
            steps it keeps n / (n + 9) at most, so that a short run does not keep what it began with.
        largest_ratio: That the card admits, where weights were found to hold beyond the ratios they are
            trained with; 0 for the largest of these.
        frozen: Modules of the network that keep the weights they begin with, by name.
        teacher: The stage before; None to train on the truth alone.
        distillation: What is taken from it; None where there is no teacher.
        mutual: A peer to learn with; None to learn alone.
        sha256: Of the recipe file.
    """

    name: str
    schedule: Schedule
    sources: tuple[Source, ...]
    network: str = "gcpnet"
    data: str = ""
    limits: str = ""
    licence: str = ""
    version: str = "1"
    bands: int = 4
    seed: int = 0
    degradation: Degradation = field(default_factory=Degradation)
    validation: Validation = field(default_factory=Validation)
    optimiser: Optimiser = field(default_factory=Optimiser)
    loss: Loss = field(default_factory=lambda: Loss(l1=1.0))
    back_projections: int = 0
    precision: str = "float32"
    kept: float = 0.0
    averaged: float = 0.0
    largest_ratio: float = 0.0
    frozen: tuple[str, ...] = ()
    teacher: Teacher | None = None
    distillation: Distillation | None = None
    mutual: Mutual | None = None
    sha256: str = ""

    @property
    def stems(self) -> tuple[str, ...]:
        """The names of its weights files: its network's, and where there is a peer, that one's."""
        return (self.name,) if self.mutual is None else (self.name, f"{self.name}-{self.mutual.peer}")
