"""What a raster is, as a hash of its contents; and whether one on disk can be read to its last block."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Container
from pathlib import Path
from typing import Any

import rasterio
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader

from pancli.errors import InputError
from pancli.hashing import file_sha256
from pancli.raster.carried import STATISTICS
from pancli.raster.checksums import block_checks
from pancli.raster.env import gdal_env, without_georeferencing
from pancli.raster.names import SourceName, files_read
from pancli.raster.source import open_source, reading
from pancli.tiling import Window

_BESIDE = ".aux.xml"
_OF_NAMES = {"SUBDATASETS", "DERIVED_SUBDATASETS", "xml:VRT"}


def content_sha256(name: str) -> str:
    """SHA-256 of what the user named: every file that GDAL reads for it, and the bands asked for.

    Files are hashed as they lie on the disk, with masks and headers beside them, and what a VRT is made of,
    by their names without folders: the same delivery in another folder is the same. What is not named as a
    file (in archives, on servers, a page or a subdataset of a file) is hashed as decoded pixels with their
    header. Smaller copies and statistics, which viewers leave beside a file, do not count. Memory does not
    grow with the image.

    Args:
        name: Path, URI, or ``path,band=N``.

    Raises:
        InputError: It cannot be opened or read.
    """
    source = SourceName.parse(name)
    with gdal_env(), open_source(source) as dataset, reading(source.path):
        parts = _local_parts(source.path)
        if not parts:
            named = dataset.files[0] if dataset.files else source.path
            parts = [(Path(named).name, _pixels_sha256(dataset))]
    return hashlib.sha256(repr((parts, source.bands)).encode(errors="surrogateescape")).hexdigest()


def _local_parts(path: str) -> list[tuple[str, str]]:
    """Names and hashes of all files that a raster is read from, in order.

    Empty where it is no file, or some lie elsewhere.
    """
    if not os.path.lexists(path):
        return []
    found = files_read([path])
    files = [(file, name) for name, file in found.items() if not (file.is_dir() or _is_overview(name, found))]
    if not all(file.is_file() for file, _ in files):
        return []
    parts = []
    for file, name in sorted(files, key=lambda each: (each[0].name, each[0])):
        described = found.get(name.removesuffix(_BESIDE)) if name.endswith(_BESIDE) else None
        if (told := file_sha256(file) if described is None else _told_beside(described)) is not None:
            parts.append((file.name, told))
    return parts


def _told_beside(path: Path) -> str | None:
    """Hash of what is told of a raster with the ``.aux.xml`` beside it; None where it is the same without."""
    with without_georeferencing(), rasterio.open(path) as dataset:
        told = _header(dataset)
    with rasterio.Env(GDAL_PAM_ENABLED="NO"), without_georeferencing(), rasterio.open(path) as dataset:
        alone = _header(dataset)
    return None if told == alone else hashlib.sha256(told).hexdigest()


def _is_overview(name: str, found: Container[str]) -> bool:
    """Whether a file holds only smaller copies of another that is read, which viewers make at any time."""
    return name.endswith(".ovr") and name.removesuffix(".ovr") in found


def _header(dataset: DatasetReader) -> bytes:
    """All that is said of a raster, but for its statistics."""
    told = (
        sorted((key, str(value)) for key, value in dataset.profile.items()),
        dataset.descriptions,
        dataset.scales,
        dataset.offsets,
        dataset.units,
        dataset.nodatavals,
        [interpretation.name for interpretation in dataset.colorinterp],
        [_tags(dataset, band) for band in (0, *dataset.indexes)],
        [(point.row, point.col, point.x, point.y, point.z) for point in dataset.gcps[0]],
        str(dataset.gcps[1]),
    )
    return repr(told).encode(errors="surrogateescape")


def _pixels_sha256(dataset: DatasetReader) -> str:
    digest = hashlib.sha256(_header(dataset))
    for _, window in dataset.block_windows(1):
        digest.update(dataset.read(window=window).tobytes())
        digest.update(dataset.read_masks(window=window).tobytes())
    return digest.hexdigest()


def _tags(dataset: DatasetReader, band: int) -> list[tuple[str, list[tuple[str, str]]]]:
    """All that is said of a band, or with 0 of the whole.

    But for statistics, and lists of names, which hold folders.
    """
    domains = {"", *dataset.tag_namespaces(band)} - _OF_NAMES
    tags = [(domain, dataset.tags(band, ns=domain or None).items()) for domain in sorted(domains)]
    return [
        (domain, sorted(tag for tag in told if not tag[0].startswith(STATISTICS))) for domain, told in tags
    ]


def read_tag(path: Path, tag: str) -> str | None:
    """A dataset tag of a local file; None where the file is no raster or has no such tag."""
    try:
        with gdal_env(), without_georeferencing(), rasterio.open(path) as dataset:
            value: Any = dataset.tags().get(tag)
    except RasterioError:
        return None
    return None if value is None else str(value)


def opens_whole(path: Path) -> bool:
    """Whether every block of every band, and of the mask, can be read and decoded.

    Of DEFLATE, which pancli writes by default, the checksum of every block is compared as well: GDAL stops
    decoding when it has its pixels, and so passes over many a flipped byte.
    """
    try:
        with (
            gdal_env(),
            without_georeferencing(),
            reading(str(path)),
            rasterio.open(path) as dataset,
        ):
            for checks in (block_checks(dataset, index) for index in dataset.indexes):
                if checks is not None:
                    checks.verify(Window(0, 0, *dataset.shape))
                if checks is None or checks.shared:
                    break
            for _, window in dataset.block_windows(1):
                dataset.read(window=window)
                dataset.read_masks(1, window=window)
    except (RasterioError, OSError, InputError):
        return False
    return True
