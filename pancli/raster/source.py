"""Opening what the user names: paths, URIs, and ``file.tif,band=3``; every failure in one line."""

from __future__ import annotations

import itertools
import logging
import math
import os
import re
import stat
import threading
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyproj
import pyproj.exceptions
import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.env import Env, hasenv
from rasterio.errors import CRSError, NotGeoreferencedWarning, RasterioError, RasterioIOError
from rasterio.io import DatasetReader
from rasterio.vrt import WarpedVRT

from pancli.errors import InputError, OutputError, UsageError
from pancli.raster.commit import sidecars

Name = str | os.PathLike[str]
"""What a user names: a path, a URI, or ``path,band=N``."""

_CORRUPT = "the file may be truncated or corrupt"
_MADE_UP = re.compile(
    r"corrupt|premature|truncat|invalid|inconsisten|discarding|not terminated|not enough|lack of|bad code",
    re.IGNORECASE,
)
"""What decoders say where they went on without data. Not every warning counts: servers ask to try again."""

_MADE_OF_OTHERS = ("VRT", "GTI")  # drivers whose files are rasters, with files of their own
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_INSIDE = re.compile(
    r"/vsi(?:zip|tar|gzip|7z|rar|cached|sparse|crypt)[/?]|/vsisubfile/\d+_\d+,|\b(?:zip|tar|gzip)(?:\+file)?://",
    re.IGNORECASE,
)
"""What stands before the name of a file of which a part is read, or which is unpacked."""

_PIPE = re.compile(r"(?:/vsi[a-z]+/)*/vsistdin(?:/|$)")
"""Names of what comes through a pipe. GDAL keeps of it what it is told to, by default a megabyte."""

_NO_PIPE = (
    "a pipe cannot be read, as images are not read from first to last; write it to a file, or name "
    "/vsistdin?buffer_limit=-1, which holds all of it in memory"
)

_BAND_SUFFIX = re.compile(r"^(?P<path>.+?)(?P<bands>(,band=\d+)+)$")

MOST_BANDS = 1024
"""More than any imager has; a broken header can speak of thousands, which take minutes to open."""

GDAL_CACHE_BYTES = 64 * 2**20
"""GDAL's block cache. In bytes: rasterio hands integers to GDAL unscaled."""

MOST_STRIPS = 2**30
"""Bytes of strips that are held where nobody says how much memory there is."""


def gdal_env(cache: int | None = None) -> Env:
    """The GDAL settings of a thread that opens files.

    Args:
        cache: Bytes of decoded blocks that GDAL holds, in the whole process: whoever sets less has the rest
            thrown away. None for as many as around this; outermost, :data:`GDAL_CACHE_BYTES`.
    """
    size = cache or (None if hasenv() else GDAL_CACHE_BYTES)
    options = {} if size is None else {"GDAL_CACHEMAX": size}
    return Env(GDAL_TIFF_INTERNAL_MASK=True, **options)


def cache_for(strips: int) -> int:
    """Bytes of GDAL's cache in which so many of strips stay, whatever else goes through it."""
    # A few strips there is always room for; many must not be driven out by what is written beside them.
    return GDAL_CACHE_BYTES + (strips if 2 * strips > GDAL_CACHE_BYTES else 0)


def strips_env(strips: int) -> Env:
    """The GDAL settings for reading rows of windows that lie on so many bytes of strips: these are held."""
    return gdal_env(cache_for(strips) if strips <= MOST_STRIPS else None)


@dataclass(frozen=True, slots=True)
class SourceName:
    """A file the user named, and which of its bands; an empty ``bands`` means all."""

    path: str
    bands: tuple[int, ...] = ()

    @classmethod
    def parse(cls, name: Name) -> SourceName:
        """Split ``file.tif,band=3`` (repeatable) as GDAL's pansharpening programs write it.

        >>> SourceName.parse("scene.tif,band=3")
        SourceName(path='scene.tif', bands=(3,))
        """
        text = os.fspath(name)
        match = _BAND_SUFFIX.match(text)
        if match is None or os.path.lexists(text):
            return cls(text)
        return cls(match["path"], tuple(int(n) for n in re.findall(r"\d+", match["bands"])))

    def __str__(self) -> str:
        """What :meth:`parse` splits.

        >>> str(SourceName("scene.tif", (3, 1)))
        'scene.tif,band=3,band=1'
        """
        return self.path + "".join(f",band={number}" for number in self.bands)


def as_texts(names: Sequence[Name]) -> list[str]:
    """Names of ms files as texts.

    Raises:
        UsageError: It is one name, whose letters would be taken for names.
    """
    if isinstance(names, str | os.PathLike):
        name = os.fspath(names)
        raise UsageError(f"ms is {name!r}, one name: give names in a sequence, such as [{name!r}]")
    return [os.fspath(name) for name in names]


def spare_inputs(outputs: Iterable[Path], inputs: Iterable[Name]) -> None:
    """Refuse to write over what goes in, however it is named, and over what that is made of.

    What GDAL would take for a part of an output is removed with the file that is replaced, and counts as one.

    Raises:
        OutputError: An output is an input.
    """
    replaced = [each for path in outputs for each in (path, *sidecars(path))]
    there = {real: path for path in replaced if os.path.lexists(real := os.path.realpath(path))}
    taken = files_read(SourceName.parse(source).path for source in inputs) if there else {}
    for real, path in there.items():
        if real in taken:
            raise OutputError(f"{path}: is an input; name another output")


def files_read(names: Iterable[str], *, beside: bool = True) -> dict[str, Path]:
    """What is read where some rasters are: they, what GDAL counts to them, and what they are made of (VRTs).

    What lies elsewhere (on servers, in archives) is only named, not opened; archives that lie here count.

    Args:
        names: Of the rasters.
        beside: Whether what lies beside a GeoTIFF counts, which must be opened for that.

    Returns:
        Names as they were given or as GDAL has them, by what they resolve to; not all need be local files.
    """
    found: dict[str, Path] = {}
    left = list(names)
    while left:
        name = left.pop()
        path = os.path.realpath(name)
        if path in found:
            continue
        found[path] = Path(name)
        left += _holders(name)
        if not _is_openable(name) or (not beside and name.lower().endswith((".tif", ".tiff"))):
            continue
        with (
            suppress(RasterioError, CPLE_BaseError, UnicodeError),
            without_georeferencing(),
            rasterio.open(name) as dataset,
        ):
            if dataset.driver in _MADE_OF_OTHERS:
                left += dataset.files
            else:
                found |= {os.path.realpath(file): Path(file) for file in dataset.files}
    return found


def _holders(name: str) -> Iterator[str]:
    """The files here that hold what a name speaks of: ``/vsizip/d.zip/pan.tif``, ``zip://d.zip!pan.tif``."""
    for match in _INSIDE.finditer(name):
        inside = name[match.end() :].removeprefix("file=").removeprefix("{")
        ends = [*(end.start() for end in re.finditer(r"[/!}&<,]", inside)), len(inside)]
        longest = next((inside[:end] for end in reversed(ends) if os.path.isfile(inside[:end])), None)  # noqa: PTH113
        if longest is not None:
            yield longest


def _is_openable(name: str) -> bool:
    """Whether something lies here, and can be read more than once."""
    try:
        mode = Path(name).stat().st_mode
    except (OSError, ValueError):  # no file: a server, or a name that only GDAL understands
        scheme = _SCHEME.match(name)
        return "/vsi" not in name and (scheme is None or scheme[0] in ("vrt://", "file://"))
    return stat.S_ISREG(mode) or stat.S_ISDIR(mode)


@contextmanager
def without_georeferencing() -> Iterator[None]:
    """Let images without a geotransform be: pancli says itself what it makes of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


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


class _Ears(logging.Filter):
    """Notes what rasterio logs of GDAL's warnings, for those who listen in the thread that they come in.

    A program may let errors only through, or disable loggers: its handlers then get no more than it lets
    through, but the warnings come as far as this. Only ``logging.disable`` stops them before.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._loggers = [logging.getLogger(f"rasterio.{name}") for name in ("_env", "_err")]
        self._listening: list[tuple[int, list[str]]] = []
        self._before: dict[str, tuple[int, bool, float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno >= logging.WARNING:
            told = record.getMessage().partition(":")[2].strip() or record.getMessage()
            for thread, messages in tuple(self._listening):
                if thread == record.thread:
                    messages.append(told)
        return record.levelno >= self._before[record.name][2]

    @contextmanager
    def listen(self) -> Iterator[list[str]]:
        messages: list[str] = []
        with self._lock:
            if not self._listening:
                self._begin()
            self._listening.append((threading.get_ident(), messages))
        try:
            yield messages
        finally:
            with self._lock:
                self._listening = [one for one in self._listening if one[1] is not messages]
                if not self._listening:
                    self._end()

    def _begin(self) -> None:
        for logger in self._loggers:
            passing = math.inf if logger.disabled else logger.getEffectiveLevel()
            self._before[logger.name] = logger.level, logger.disabled, passing
            logger.addFilter(self)
            if passing > logging.WARNING:
                logger.setLevel(logging.WARNING)
                logger.disabled = False

    def _end(self) -> None:
        for logger in self._loggers:
            logger.removeFilter(self)
            level, disabled, passing = self._before[logger.name]
            if passing > logging.WARNING:
                logger.setLevel(level)
                logger.disabled = disabled


_EARS = _Ears()


def hearing() -> AbstractContextManager[list[str]]:
    """What GDAL warns of in this thread inside the block; it goes on to whoever else listens."""
    return _EARS.listen()


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
