"""Opening and reading rasters; every failure in one line."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pyproj
import pyproj.exceptions
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import CRSError, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from pancli.errors import InputError
from pancli.raster.env import without_georeferencing
from pancli.raster.hearing import hearing
from pancli.raster.names import SourceName

_CORRUPT = "the file may be truncated or corrupt"
_MADE_UP = re.compile(
    r"corrupt|premature|truncat|invalid|inconsisten|discarding|not terminated|not enough|lack of|bad code",
    re.IGNORECASE,
)
"""What decoders say where they went on without data. Not every warning counts: servers ask to try again."""

_PIPE = re.compile(r"(?:/vsi[a-z]+/)*/vsistdin(?:/|$)")
"""Names of what comes through a pipe. GDAL keeps of it what it is told to, by default a megabyte."""

_NO_PIPE = (
    "a pipe cannot be read, as images are not read from first to last; write it to a file, or name "
    "/vsistdin?buffer_limit=-1, which holds all of it in memory"
)

MOST_BANDS = 1024
"""More than any imager has; a broken header can speak of thousands, which take minutes to open."""


@contextmanager
def reading(path: str) -> Iterator[None]:
    """Turn a failed read inside the block into an :class:`InputError` that names the file.

    A decoder that ran out of data and made the rest up has failed, though GDAL only warns of it.
    """
    try:
        with hearing() as heard:
            yield
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{path}: cannot be read ({_reason(error)}); {_CORRUPT}") from error
    for message in heard:
        if _MADE_UP.search(message):
            raise InputError(f"{path}: cannot be read ({message}); {_CORRUPT}")


def _reason(error: Exception) -> str:
    lines = str(error.__cause__ or error).strip().splitlines()
    return lines[0] if lines else "read error"


def open_source(name: SourceName) -> DatasetReader:
    """Open a raster.

    Raises:
        InputError: Missing, a directory, not a raster, without bands, or without the band asked for.
    """
    if name.path == "-":
        raise InputError(f"-: is no file; {_NO_PIPE}; ./- is a file of that name")
    if _PIPE.match(name.path):
        raise InputError(f"{name.path}: {_NO_PIPE}")
    if _is_empty_folder(name.path):
        raise InputError(f"{name.path}: is an empty directory, not a raster")
    try:
        with without_georeferencing():
            dataset = rasterio.open(name.path)
    except RasterioIOError as error:
        raise InputError(_why_not(name.path, error)) from error
    except UnicodeDecodeError as error:
        raise _not_text(name.path, error) from error
    except UnicodeEncodeError as error:
        raise InputError(f"{name.path!a}: cannot be opened; its name is not UTF-8") from error
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name.path}: cannot be opened ({_reason(error)})") from error
    _check_bands(dataset, name)
    _settle(dataset, name)
    _check_brightness(dataset, name)
    return dataset


def _settle(dataset: DatasetReader, name: SourceName) -> None:
    """Make GDAL read what it puts off: georeferencing, tags and masks, where a header can be broken, too.

    Asking for colours raises what went wrong before them and was not raised then.
    """
    try:
        for band in (0, *dataset.indexes):
            for domain in dataset.tag_namespaces(band):
                dataset.tags(band, ns=domain)
        for _ in (dataset.gcps, dataset.descriptions, dataset.units, dataset.mask_flag_enums):
            pass
        _ = dataset.colorinterp
        if dataset.crs is not None:
            pyproj.CRS.from_wkt(dataset.crs.to_wkt())
    except UnicodeDecodeError as error:
        raise _not_text(name.path, error) from error
    except (CRSError, pyproj.exceptions.CRSError) as error:
        raise InputError(f"{name.path}: its CRS cannot be understood; {_CORRUPT}") from error
    except (RasterioError, CPLE_BaseError) as error:
        raise InputError(f"{name.path}: cannot be opened ({_reason(error)}); {_CORRUPT}") from error


def _not_text(path: str, error: UnicodeDecodeError) -> InputError:
    return InputError(
        f"{path}: cannot be opened (what it says of its CRS is not UTF-8 text: {error.reason}); "
        f"name it anew (gdal_edit -a_srs), or {_CORRUPT}"
    )


def _why_not(path: str, error: Exception) -> str:
    remote = "://" in path or path.startswith("/vsi")
    if not remote and (barred := _barred(path)):
        return f"{path}: cannot be opened ({barred})"
    if not remote and not os.access(path, os.F_OK):
        picked = "; bands are picked as FILE,band=N" if os.access(path.partition(",")[0], os.F_OK) else ""
        return f"{path}: no such file{picked}"
    if _is_folder(path):
        return f"{path}: is a directory, not a raster; name a file in it"
    if "not recognized" in str(error):
        return f"{path}: is not a raster that GDAL can read"
    return f"{path}: cannot be opened ({str(error).splitlines()[0]})"


def _check_bands(dataset: DatasetReader, name: SourceName) -> None:
    if dataset.count > MOST_BANDS:
        raise InputError(
            f"{name.path}: has {dataset.count} bands, and pancli takes up to {MOST_BANDS}; {_CORRUPT}"
        )
    if dataset.count == 0:
        inside = ", ".join(dataset.subdatasets[:3])
        hint = f"; name one of its parts, such as {inside}" if inside else ""
        raise InputError(f"{name.path}: has no bands{hint}")
    for band in name.bands:
        if not 1 <= band <= dataset.count:
            raise InputError(f"{name.path}: has no band {band}; it has {dataset.count}")
    for band in name.bands or dataset.indexes:
        if dataset.dtypes[band - 1].startswith("complex"):
            raise InputError(
                f"{name.path}: band {band} is {dataset.dtypes[band - 1]}; pancli takes real numbers"
            )


def _check_brightness(dataset: DatasetReader, name: SourceName) -> None:
    for band in name.bands or dataset.indexes:
        if not _is_brightness(dataset, band):
            raise InputError(
                f"{name.path}: band {band} has a colour table, so that its numbers are no brightness; "
                "make bands of it (gdal_translate -expand rgb)"
            )


def _is_brightness(dataset: DatasetReader, band: int) -> bool:
    """Whether a band holds what was seen, not indices of colours; a table of rising greys says the same."""
    if dataset.colorinterp[band - 1] != ColorInterp.palette:
        return True
    table = dataset.colormap(band)
    greys = [table[key][0] for key in sorted(table) if len(set(table[key][:3])) == 1]
    return len(greys) == len(table) and all(a <= b for a, b in itertools.pairwise(greys))


def alpha_band(dataset: DatasetReader | WarpedVRT, name: SourceName) -> int | None:
    """The band that is a mask by its tag, unless the user named it as an image band."""
    for index, interpretation in zip(dataset.indexes, dataset.colorinterp, strict=True):
        if interpretation == ColorInterp.alpha and index not in name.bands:
            return int(index)
    return None


def unwarped(dataset: DatasetReader | WarpedVRT) -> DatasetReader:
    """The file itself: a warp hands on its tags of the default domain alone, and may add a mask."""
    return dataset.src_dataset if isinstance(dataset, WarpedVRT) else dataset


def by_pixel(dataset: DatasetReader | WarpedVRT) -> bool:
    """Whether bands are interleaved by pixel, so that a block holds all of them."""
    # Not rasterio's ``interleaving``, which raises where GDAL 3.11 says TILE.
    return str(dataset.tags(ns="IMAGE_STRUCTURE").get("INTERLEAVE")) == "PIXEL"


def image_bands(dataset: DatasetReader | WarpedVRT, name: SourceName) -> tuple[int, ...]:
    """The bands to fuse: those asked for, or all that are not alpha."""
    alpha = alpha_band(dataset, name)
    return name.bands or tuple(i for i in dataset.indexes if i != alpha)


def _barred(path: str) -> str | None:
    """What the system says where a folder on the way may not be entered: then nobody knows what is there."""
    try:
        Path(path).stat()
    except PermissionError as error:
        return error.strerror
    except (OSError, ValueError):
        return None
    return None


def _is_empty_folder(path: str) -> bool:
    try:
        return Path(path).is_dir() and not any(Path(path).iterdir())
    except OSError:  # it may not be read
        return False


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir()
    except OSError:  # too long for a name: GDAL takes XML, too
        return False
