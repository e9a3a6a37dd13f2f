"""What can be asked of a sharpening, as one frozen value."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from numbers import Real
from pathlib import Path
from typing import Literal

from pancli.adaptation import AdaptTerms
from pancli.adaptation.objectives import LOSSES
from pancli.device import cpu_count
from pancli.encoding import fits
from pancli.errors import UsageError
from pancli.networks.protocol import MOST_ROUNDS
from pancli.raster.pair import PairOptions
from pancli.raster.spec import DTYPES, FORMATS

DEFAULT_METHOD = "bandset"
PRECISIONS = ("auto", "float32", "bfloat16", "float16")
EXTENTS = ("intersection", "union", "none")
MIN_TILE = 64


@dataclass(frozen=True)
class SharpenOptions:
    """Options of :func:`pancli.sharpening.sharpen`; the defaults are the program's.

    Attributes:
        method: A name that ``pancli methods`` lists, or a weights file: what ends in ``.safetensors``.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        precision: Of a network's convolutions; ``auto`` is float32.
        tile: Side of a tile's core in pan pixels; None chooses by ``max_memory``.
        max_memory: MB for pixels and caches; the libraries need about 400 MB more.
        threads: CPU threads; None for all.
        pair: Nodata, bands, reprojection.
        aoi: GeoJSON file whose polygons are sharpened.
        bbox: (west, south, east, north) in pan's CRS.
        dtype: Of the output; None for that of ms.
        driver: ``GTiff`` or ``COG``.
        creation: GDAL creation options over the defaults.
        overwrite: Replace an existing output.
        sensor: Whose MTF to assume.
        coregister: ``none``; ``auto`` to move ms onto pan, or the (down, right) shift in pan pixels that does
            so; ``pan`` to lay pan on ms.
        crisp_pan: Make a pan that its camera left blunt crisp first, as networks that see physics do by
            themselves.
        adapt: Seconds to fine-tune the network on the scene itself first; None for not at all.
        adapt_loss: What it learns from: ``reduced`` (the scene a ratio coarser) or ``full`` (consistency).
        back_project: Rounds of back-projection; None for as many as the method asks for.
        quicklook: PNG to be written beside the output; True for its name with ``.png``.
        stac: Write a STAC item beside the output, of its name with ``.json``.
        extent: ``intersection`` (pan where there is ms), ``none`` (all of pan), ``union`` (pan and ms).
        inputs_sha256: What a batch knows the result by again (:mod:`pancli.batch.record`); goes to a tag.
    """

    method: str = DEFAULT_METHOD
    device: str = "auto"
    precision: str = "auto"
    tile: int | None = None
    max_memory: int = 1024
    threads: int | None = None
    pair: PairOptions = field(default_factory=PairOptions)
    aoi: Path | None = None
    bbox: tuple[float, float, float, float] | None = None
    dtype: str | None = None
    driver: str = "GTiff"
    creation: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    sensor: str = "generic"
    coregister: Literal["none", "auto", "pan"] | tuple[float, float] = "none"
    crisp_pan: bool = False
    adapt: float | None = None
    adapt_loss: str = "reduced"
    back_project: int | None = None
    quicklook: Path | bool = False
    stac: bool = False
    extent: str = "intersection"
    inputs_sha256: str | None = None

    def __post_init__(self) -> None:
        _one_of("--precision", self.precision, PRECISIONS)
        _one_of("--of", self.driver, FORMATS)
        _one_of("--spatial-extent-adjustment", self.extent, EXTENTS)
        if self.dtype is not None:
            _one_of("--dtype", self.dtype, DTYPES)
        if self.tile is not None and self.tile < MIN_TILE:
            raise UsageError(f"--tile {self.tile}: the smallest tile is {MIN_TILE}")
        if self.max_memory < 1:
            raise UsageError(f"--max-memory {self.max_memory}: must be at least 1 MB")
        if self.threads is not None and self.threads < 1:
            raise UsageError(f"--num-threads {self.threads}: must be at least 1, or ALL_CPUS")
        if self.back_project is not None and not 0 <= self.back_project <= MOST_ROUNDS:
            raise UsageError(f"--back-project {self.back_project}: must be from 0 to {MOST_ROUNDS}")
        _one_of("--adapt-loss", self.adapt_loss, tuple(LOSSES))
        if self.adapt is not None:
            AdaptTerms(self.adapt, self.adapt_loss)
        elif self.adapt_loss != SharpenOptions.adapt_loss:
            raise UsageError(f"--adapt-loss {self.adapt_loss}: says what --adapt learns from; give both")
        if isinstance(self.quicklook, Path) and self.quicklook.suffix.lower() != ".png":
            raise UsageError(f"--quicklook {self.quicklook}: it is written as PNG; name it so (.png)")
        if self.aoi is not None and self.bbox is not None:
            raise UsageError("--aoi and --bbox both name an area; give one")
        _check_coregister(self.coregister)
        self._check_nodata()

    def _check_nodata(self) -> None:
        if (
            isinstance(self.pair.nodata, float)
            and self.dtype is not None
            and not fits(self.pair.nodata, self.dtype)
        ):
            raise UsageError(f"--nodata {self.pair.nodata:g} does not fit --dtype {self.dtype}")

    @property
    def cpu_threads(self) -> int:
        """Threads to compute with."""
        return self.threads or cpu_count()


def _one_of(option: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UsageError(f"{option} {value}: must be one of {', '.join(allowed)}")


def _check_coregister(asked: object) -> None:
    """Refuse what is neither a word that is known nor a shift: it would be taken for no shift at all."""
    if asked not in ("none", "auto", "pan") and not _is_shift(asked):
        raise UsageError(f"--coregister {asked}: must be none, auto, pan, or PAN pixels down and right")


def _is_shift(asked: object) -> bool:
    if not isinstance(asked, tuple) or len(asked) != 2:
        return False
    return all(isinstance(number, Real) and math.isfinite(number) for number in asked)
