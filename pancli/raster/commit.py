"""Names of files while they are made, and how they get those they are asked for: all, or none."""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from rasterio._err import CPLE_BaseError
from rasterio.drivers import raster_driver_extensions
from rasterio.errors import RasterioError

from pancli.errors import OutputError

_LITTLE = 64 * 2**20  # bytes left on a disk that may have been too few
_LONGEST_ENDING = ".cog.tif"  # of hidden names
_REMOTE = re.compile(r"/vsi|[A-Za-z][A-Za-z0-9+.-]+:/")  # a path has no two slashes in a row
SIDECARS = (".aux.xml", ".ovr", ".msk", ".msk.ovr")
"""Endings that GDAL takes for parts of the file whose name they follow."""
_BELIEVED = (".RPB", ".rpb", ".RPC", ".rpc", "_RPC.TXT", "_RPC.txt", "_rpc.txt", ".IMD", ".imd")
"""Endings, in place of a GeoTIFF's own, of files that GDAL believes before what the GeoTIFF says itself."""
_TIFFS = ("", ".tif", ".tiff")

FAILURES = (OSError, RasterioError, CPLE_BaseError)
"""What a disk that is full, or gone, makes of a call; rasterio lets some of GDAL's own errors through."""


def names_folder(name: str) -> bool:
    """Whether a name is that of a folder by how it is written; of ``new/``, a Path would make a file's."""
    return name.rpartition("/")[2] in ("", ".", "..")


def check_output(path: Path, *, overwrite: bool) -> None:
    """Refuse early what could not be written at the end.

    Raises:
        OutputError: A directory, a device or pipe, an existing file or what GDAL takes for a part of it
            without ``overwrite``, a missing, closed or unwritable folder, a name too long or not UTF-8, a
            GeoTIFF of which a file beside it would say how it was seen.
    """
    if str(path) == "-":
        raise OutputError("-: outputs are files, not streams; name one")
    _check_name(path)
    in_root = path.parent == Path("/")  # as Path has /vsistdout/
    if _REMOTE.match(str(path)) and (in_root or not path.parent.is_dir()):
        raise OutputError(f"{path}: outputs are local files; write it locally and copy it")
    if path.is_dir():
        raise OutputError(f"{path}: is a directory; name a file in it")
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: is a device, pipe or socket, which no file takes the place of")
    if os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: exists already; use --overwrite to replace it")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: its folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.R_OK | os.W_OK | os.X_OK):
        raise OutputError(f"{path}: its folder {path.parent} is not readable and writable")
    if not overwrite and (old := sidecars(path)):
        raise OutputError(
            f"{path}: {old[0].name} lies there and would be taken for a part of it; "
            "remove it, or use --overwrite"
        )
    _check_believed(path)


def _check_believed(path: Path) -> None:
    """Refuse a name by which GDAL takes another image's RPCs or acquisition for this one's.

    They are not removed with what is replaced: they may be of an image of another format.
    """
    beside = [path.parent / f"{path.stem}{ending}" for ending in _BELIEVED if path.suffix.lower() in _TIFFS]
    for other in beside:
        if os.path.lexists(other):
            raise OutputError(
                f"{path}: {other.name} lies there, and GDAL would believe it before what the output says "
                "of RPCs and acquisition; remove it, or name another output"
            )


def prepare_folder(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Create a folder where there is none, and refuse early what could not be written into it.

    Raises:
        OutputError: The folder cannot be made, or a file of these names exists and is not to be replaced.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot create folder {folder}: {error.strerror}; name another") from error
    check_folder(folder, names, overwrite=overwrite)


def check_folder(folder: Path, names: Sequence[str], *, overwrite: bool) -> None:
    """Refuse early what could not be written into a folder, which need not exist yet.

    Raises:
        OutputError: It is a file, or a file of these names exists and is not to be replaced.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OutputError(f"{folder}: is a file, not a folder; name another")
    for name in names:
        check_output(folder / name, overwrite=overwrite)


def _check_name(path: Path) -> None:
    """Refuse what the file system says no to when it is asked for the longest of the names a file gets."""
    _check_text(path)
    if not path.name:
        return
    hidden = hidden_name(path)
    try:
        hidden.with_name(hidden.name + _LONGEST_ENDING).lstat()
    except PermissionError as error:
        raise OutputError(f"{path}: its folder {path.parent} may not be entered, or one above it") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise OutputError(
                f"{path}: its name is too long for the file system, where it is longer until it is made"
            ) from error


def _check_text(path: Path) -> None:
    try:
        str(path).encode()
    except UnicodeEncodeError as error:
        raise OutputError(
            f"{path}: is no name for an output, as it is not UTF-8; name it otherwise"
        ) from error


def sidecars(path: Path) -> list[Path]:
    """What is there of files that GDAL would take for parts of this one."""
    beside = (path.with_name(path.name + ending) for ending in SIDECARS)
    return [name for name in beside if name.is_file()]


def check_tiff_name(path: Path) -> None:
    """Refuse a name by which programs would take a GeoTIFF for something else, or that GDAL cannot write.

    Raises:
        OutputError: Its ending is that of another format, or it is not UTF-8.
    """
    _check_text(path)
    if _extensions().get(path.suffix.lower().lstrip("."), "GTiff") != "GTiff":
        raise OutputError(f"{path}: is to be a GeoTIFF, which {path.suffix} says it is not; name it .tif")


@cache
def _extensions() -> dict[str, str]:
    return dict(raster_driver_extensions())


def remove_leftovers(path: Path, process: int) -> None:
    """Remove what a killed process on this machine left beside an output it was making."""
    remove_beginning(path.parent, _leftover_stem(path, process))


def remove_beginning(folder: Path, beginning: str) -> None:
    """Remove the files of a folder whose names begin so; a name may hold characters that glob would read."""
    with suppress(FileNotFoundError, NotADirectoryError):  # somebody removed it, or put a file in its place
        for leftover in list(folder.iterdir()):
            if leftover.name.startswith(beginning):
                leftover.unlink(missing_ok=True)


def _leftover_stem(path: Path, process: int) -> str:
    return f".{path.name}.{process}-"


def hidden_name(path: Path) -> Path:
    """A new name beside a file, for it or parts of it while this process makes them."""
    return path.with_name(f"{_leftover_stem(path, os.getpid())}{secrets.token_hex(4)}.tmp")


def commit_all(files: Sequence[tuple[Path, Path]], *, overwrite: bool) -> None:
    """Give files their names, all or none; the last is the output, so that it is never without companions.

    What GDAL would take for parts of a file belonged to the one that was replaced, and goes with it.
    """
    fresh: list[Path] = []
    replaced: list[tuple[Path, Path]] = []
    try:
        for temporary, path in files:
            existed = os.path.lexists(path)
            if existed and overwrite:
                replaced += _kept(path)
            _commit(temporary, path, overwrite=overwrite)
            if not existed:
                fresh.append(path)
    except BaseException:
        for path in fresh:
            with suppress(OSError):  # the folder may be gone with it
                path.unlink()
        for old, path in replaced:
            with suppress(OSError):
                old.replace(path)
                old.unlink(missing_ok=True)  # of two names for one file, replacing leaves both
        raise
    for old, _ in replaced:
        with suppress(OSError):
            old.unlink()
    if overwrite:
        _remove_sidecars([path for _, path in files])


def _remove_sidecars(paths: Sequence[Path]) -> None:
    for path in paths:
        for part in sidecars(path):
            try:
                part.unlink(missing_ok=True)
            except OSError as error:
                raise OutputError(
                    f"{part}: cannot be removed ({error.strerror}), and would be taken for a part of {path}, "
                    "which is complete"
                ) from error


def _kept(path: Path) -> list[tuple[Path, Path]]:
    """A second, hidden name for a file that is to be replaced, with its own; none without hard links."""
    hidden = hidden_name(path)
    try:
        os.link(path, hidden, follow_symlinks=False)
    except OSError:
        return []
    return [(hidden, path)]


def _commit(finished: Path, path: Path, *, overwrite: bool) -> None:
    """Give the file its name; without ``overwrite`` even a file that appeared meanwhile is kept."""
    try:
        if overwrite:
            finished.replace(path)
        else:
            _link(finished, path)
        _settle_folder(path.parent)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: appeared while it was being made; use --overwrite to replace it"
        ) from error
    except OSError as error:
        raise write_error(path, error) from error


def _settle_folder(folder: Path) -> None:
    """Have the names in a folder on the disk; not every file system can say so."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _link(finished: Path, path: Path) -> None:
    try:
        path.hardlink_to(finished)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        finished.rename(path)


def write_error(path: Path, error: Exception) -> OutputError:
    """What to tell of one of :data:`FAILURES`."""
    if not path.parent.is_dir():
        return OutputError(f"{path}: cannot be written; its folder {path.parent} is gone")
    reason = str(error.__cause__ or error).strip().splitlines()[0]
    return OutputError(f"{path}: cannot be written ({reason}){doubt(path, error)}")


def doubt(path: Path, error: Exception | None = None) -> str:
    """What to add where a disk that is full may be why; empty where it is not."""
    full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
    with suppress(OSError):
        full = full or shutil.disk_usage(path.parent).free < _LITTLE
    return "; is the disk full?" if full else ""
