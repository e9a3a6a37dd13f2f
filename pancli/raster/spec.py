"""What a file to be written is to be: grid, bands, what it says of itself, what appears beside it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rasterio.enums import ColorInterp

from pancli.raster.carried import GroundModel
from pancli.raster.grid import Grid

FORMATS = ("GTiff", "COG")
DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float32", "float64")
PAIR_FILES = ("pan.tif", "ms.tif", "reference.tif")
"""A pair with a known answer, as it lies in a folder."""


def truth(value: str) -> bool:
    """What GDAL takes the value of a creation option for."""
    return value.upper() not in ("NO", "FALSE", "OFF", "0")


def _number(value: str) -> float:
    """What GDAL takes the value of a creation option for, where it is a number; else zero."""
    try:
        return float(value)
    except ValueError:
        return 0.0


@dataclass(frozen=True)
class OutputBand:
    """What an output band says of itself."""

    description: str | None = None
    scale: float = 1.0
    offset: float = 0.0
    units: str | None = None
    colorinterp: ColorInterp = ColorInterp.undefined
    tags: Mapping[str, str] = field(default_factory=dict)
    imagery: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Companion:
    """A small file that is made of the output when it is complete, and appears with it or not at all.

    Attributes:
        path: Its name.
        make: Called with the complete output, under a temporary name still, and with where to write.
    """

    path: Path
    make: Callable[[Path, Path], None]


@dataclass(frozen=True)
class OutputSpec:
    """The file to be written.

    Attributes:
        path: Its name; the folder must exist.
        grid: CRS, transform, size.
        bands: One per band.
        dtype: One of :data:`DTYPES`.
        nodata: Value of invalid pixels, or None.
        masked: Whether invalid pixels may occur; without a nodata value they go to an internal mask.
        tags: Dataset tags.
        imagery: What is known of the acquisition.
        ground: RPCs, and control points instead of a geotransform.
        driver: One of :data:`FORMATS`.
        creation: GDAL creation options over the defaults.
        overwrite: Whether an existing file may be replaced.
        threads: Compression threads: a number, or ALL_CPUS.
        companions: What is to appear beside it.
    """

    path: Path
    grid: Grid
    bands: tuple[OutputBand, ...]
    dtype: str
    nodata: float | None = None
    masked: bool = False
    tags: Mapping[str, str] = field(default_factory=dict)
    imagery: Mapping[str, str] = field(default_factory=dict)
    ground: GroundModel = field(default_factory=GroundModel)
    driver: str = "GTiff"
    creation: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False
    threads: str = "ALL_CPUS"
    companions: tuple[Companion, ...] = ()

    @property
    def options(self) -> dict[str, str]:
        """The creation options, their names as rasterio has them: in small letters."""
        return {key.lower(): value for key, value in self.creation.items()}

    @property
    def bits(self) -> int | None:
        """How many bits of an unsigned type, or of float32, the creation options keep; None for all."""
        told = self.options.get("nbits", "")
        kept = int(told) if told.isdecimal() and self.dtype.startswith(("uint", "float32")) else None
        return None if (self.dtype, kept) == ("float32", 32) else kept

    @property
    def rounds(self) -> str | None:
        """The creation option by which the file holds other numbers than it is given; None where none does.

        DISCARD_LSB rounds as well, but GDAL leaves nodata out of that.
        """
        options = {name: value.upper() for name, value in self.options.items()}
        compress = options.get("compress", "")
        lossless = {
            "WEBP": truth(options.get("webp_lossless", "NO"))
            or (self.driver, options.get("quality")) == ("COG", "100"),
            "JXL": truth(options.get("jxl_lossless", "YES")),
        }
        if compress == "JPEG" or not lossless.get(compress, True):
            return f"COMPRESS={compress}"
        if compress.startswith("LERC") and _number(options.get("max_z_error", "0")) > 0:
            return f"MAX_Z_ERROR={options['max_z_error']}" if self.nodata == self.nodata else None
        half = self.dtype == "float32" and self.bits is not None
        return f"NBITS={self.bits}" if half and self.nodata == self.nodata else None  # NaN is kept

    @property
    def needs_mask(self) -> bool:
        """Whether validity goes to an internal mask."""
        return self.masked and self.nodata is None
