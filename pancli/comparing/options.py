"""What can be asked of a comparison, as one frozen value."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pancli.degrading import DegradeOptions
from pancli.device import find_device
from pancli.errors import UsageError
from pancli.evaluation import EvaluateOptions
from pancli.evaluation.figures import exact
from pancli.methods.registry import METHODS
from pancli.networks.weights import SUFFIX
from pancli.raster.pair import PairOptions
from pancli.sharpening import SharpenOptions
from pancli.sharpening.catalog import GDAL, method_names, rounds_meant, shown_name

BASELINE = "exp"
"""Interpolation: what every method is to be better than."""

Mode = Literal["full", "reduced", "reference"]


def is_baseline(label: str) -> bool:
    """Whether a row is the baseline, as it comes or with back-projection: neither sees pan.

    >>> is_baseline("exp"), is_baseline("exp+bp2"), is_baseline("gsa+bp2")
    (True, True, False)
    """
    return label.partition("+bp")[0] == BASELINE


@dataclass(frozen=True)
class Entrant:
    """What one row is about: a method with so many rounds of back-projection.

    Attributes:
        name: What the method is called.
        method: What ``--method`` takes: its name, or a weights file.
        back_project: Rounds; None for as many as the method asks for.
    """

    name: str
    method: str
    back_project: int | None = None

    @property
    def label(self) -> str:
        """Names the row and its files.

        >>> Entrant("gsa", "gsa", 2).label, Entrant("gsa", "gsa", 0).label
        ('gsa+bp2', 'gsa')
        """
        return f"{self.name}+bp{self.back_project}" if self.back_project else self.name


@dataclass(frozen=True)
class CompareOptions:
    """Options of :func:`pancli.comparing.compare`; the defaults are the program's.

    Attributes:
        methods: Names that ``pancli methods`` lists, weights files, or ``all``, ``classical``, ``networks``.
        reduced: Compare at reduced resolution, by Wald's protocol, with ms as the reference.
        reference: What the fused image should be, on pan's pixels; or None.
        ratio: Reference pixels per new ms pixel of a reduced pair; None for the pair's own.
        back_project: Rounds of back-projection; every method is measured as it comes, and with them. None
            for as it comes alone, 0 for without any, even where it asks for some.
        sensor: Whose MTF to assume.
        block: Side of the blocks of quality indices, pan pixels.
        peak: Largest digital number, for PSNR and SSIM; None for the sensor's, or 255 of 8-bit images.
        pair: Nodata, bands, reprojection.
        coregister: As :class:`pancli.sharpening.SharpenOptions` has it.
        crisp_pan: Likewise, for every method.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        keep: Folder that keeps the fused images as METHOD.tif (METHOD+bpN.tif with back-projection), and the
            reduced pair they were made of.
        report: Folder for index.html.
        overwrite: Replace what exists in these folders.
    """

    methods: Sequence[str] = ("all",)
    reduced: bool = False
    reference: str | None = None
    ratio: float | None = None
    back_project: int | None = None
    sensor: str = "generic"
    block: int = 32
    peak: float | None = None
    pair: PairOptions = field(default_factory=PairOptions)
    coregister: Literal["none", "auto", "pan"] | tuple[float, float] = "none"
    crisp_pan: bool = False
    device: str = "auto"
    keep: Path | None = None
    report: Path | None = None
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Refuse what no method could do.

        Raises:
            UsageError: An option is out of range, or goes with another.
            WeightsError: A weights file among the methods is missing or has no card.
        """
        if self.ratio is not None and not self.reduced:
            raise UsageError("--ratio goes with --reduced")
        if self.reduced and self.reference is not None:
            raise UsageError("--reduced makes its own reference; leave out --reduced or --reference")
        for entrant in self.entrants():
            self.sharpening(entrant, self.pair)
        if self.reduced and self.coregister not in ("none", "pan"):
            raise UsageError(
                "with --reduced MS is the reference and must lie still; use --coregister pan, or compare at "
                "full resolution"
            )
        find_device(self.device)
        self.degrading()
        self.measuring(self.pair, None)

    @property
    def mode(self) -> Mode:
        """Against what is measured: nothing, ms itself, or a reference that was given."""
        return "reduced" if self.reduced else "full" if self.reference is None else "reference"

    @property
    def shift(self) -> str:
        """What ``--coregister`` takes.

        >>> CompareOptions(coregister=(2.5, -1.0)).shift
        '2.5,-1'
        """
        asked = self.coregister
        return asked if isinstance(asked, str) else ",".join(map(exact, asked))

    def degrading(self) -> DegradeOptions:
        """How the pair is reduced."""
        return DegradeOptions(self.ratio, self.sensor, self.pair, overwrite=self.overwrite)

    def entrants(self) -> tuple[Entrant, ...]:
        """What is compared, in the order it is run.

        >>> [entrant.label for entrant in CompareOptions(["exp", "gsa"], back_project=2).entrants()]
        ['exp', 'exp+bp2', 'gsa', 'gsa+bp2']

        Raises:
            UsageError: As :func:`name_methods`.
            WeightsError: As :func:`name_methods`.
        """
        rounds = (None, self.back_project) if self.back_project else (self.back_project,)
        named = name_methods(self.methods).items()
        return tuple(Entrant(name, method, n) for name, method in named for n in rounds)

    def sharpening(self, entrant: Entrant, pair: PairOptions) -> SharpenOptions:
        """How one entrant is sharpened.

        Args:
            entrant: The method, and its rounds.
            pair: How the pair is opened that it sharpens, which may be the reduced one.
        """
        return SharpenOptions(
            method=entrant.method,
            back_project=entrant.back_project,
            device=self.device,
            pair=pair,
            overwrite=self.overwrite,
            sensor=self.sensor,
            coregister=self.coregister,
            crisp_pan=self.crisp_pan,
        )

    def measuring(self, pair: PairOptions, map_path: Path | None) -> EvaluateOptions:
        """How a fused image is measured.

        Args:
            pair: How the pair is opened that it was made of.
            map_path: Gets the local distortions, or None.
        """
        return EvaluateOptions(
            sensor=self.sensor,
            block=self.block,
            peak=self.peak,
            pair=pair,
            map_path=map_path,
            device=self.device,
        )


def choose_methods(names: Sequence[str]) -> tuple[str, ...]:
    """Method names with ``all``, ``classical`` and ``networks`` spelled out, each name once.

    >>> choose_methods(["gsa", "exp", "gsa"])
    ('gsa', 'exp')

    Raises:
        UsageError: No name at all, or one that is not known; the message lists the known ones.
    """
    known = method_names()
    groups = {
        "all": known,
        "classical": list(METHODS),
        "networks": [name for name in known if name not in METHODS and name != GDAL],
    }
    for name in names:
        if name not in groups and name not in known and not name.endswith(SUFFIX):
            listed = f"not known; known are {', '.join((*groups, *known, f'FILE{SUFFIX}'))}"
            raise UsageError(f"--methods {name or '(empty)'}: {rounds_meant(name) or listed}")
    if not names:
        raise UsageError(f"--methods: names none; known are {', '.join((*groups, *known))}")
    return tuple(dict.fromkeys(method for name in names for method in groups.get(name, [name])))


def name_methods(names: Sequence[str]) -> dict[str, str]:
    """The methods of :func:`choose_methods` by what they are called, which is what rows and files are named.

    >>> name_methods(["gsa", "exp"])
    {'gsa': 'gsa', 'exp': 'exp'}

    Raises:
        UsageError: As there, or two are called the same.
        WeightsError: A weights file is missing or has no card.
    """
    called: dict[str, str] = {}
    for method in choose_methods(names):
        name = shown_name(method)
        if name in called:
            raise UsageError(
                f"--methods: {called[name]} and {method} are both named {name}; compare them one by one, "
                "or train with another name in the recipe"
            )
        called[name] = method
    return called
