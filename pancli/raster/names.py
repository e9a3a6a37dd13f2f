"""What the user names: paths, URIs, and ``file.tif,band=3``; and which files are read for it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from pancli.errors import OutputError, UsageError
from pancli.raster.commit import sidecars
from pancli.raster.env import without_georeferencing

Name = str | os.PathLike[str]
"""What a user names: a path, a URI, or ``path,band=N``."""

_MADE_OF_OTHERS = ("VRT", "GTI")  # drivers whose files are rasters, with files of their own
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")

_INSIDE = re.compile(
    r"/vsi(?:zip|tar|gzip|7z|rar|cached|sparse|crypt)[/?]|/vsisubfile/\d+_\d+,|\b(?:zip|tar|gzip)(?:\+file)?://",
    re.IGNORECASE,
)
"""What stands before the name of a file of which a part is read, or which is unpacked."""

_BAND_SUFFIX = re.compile(r"^(?P<path>.+?)(?P<bands>(,band=\d{1,9})+)$")


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
