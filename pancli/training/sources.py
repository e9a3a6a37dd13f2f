"""Images with a known truth, held in memory as delivered: small integers stay small.

An image NAME in a folder is found as arrays (``NAME-pan.npy``, ``NAME-ms.npy``, ``NAME-truth.npy``), which
machines without GDAL can read, or as rasters (``NAME/pan.tif``, ``NAME/ms.tif`` and, where the truth is
known, ``NAME/reference.tif``; ``NAME.tif`` for a truth alone). Rasters are placed by their georeferencing,
where they have any, and what is not valid in them is never trained on. Arrays of a pair share their corners,
if ``NAME-placement.npy`` does not say otherwise: scale and offset (:class:`pancli.placement.AxisMap`) of
rows, then of columns.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pancli.errors import PancliError, RecipeError
from pancli.methods.mtf import shown_gain
from pancli.placement import AxisMap, Placement
from pancli.resampling import degrade
from pancli.scene import array_scene
from pancli.sensors import GENERIC
from pancli.tiling import Window
from pancli.training.images import Array, BoolArray, Image, crop, cut_to_pan, valid_under
from pancli.training.recipe import Source, Validation

if TYPE_CHECKING:
    from pancli.raster.pair import Pair

_PATTERN = frozenset("*?[")
_FILES = {"pairs": "pan.tif and ms.tif", "referenced": "pan.tif, ms.tif and reference.tif"}


def load_images(source: Source, data: Path, validation: Validation | None = None) -> tuple[Image, ...]:
    """Read the images of a source.

    Args:
        source: Which.
        data: Folder that the source's folder is relative to.
        validation: What must not be trained on.

    Raises:
        RecipeError: One is missing, cannot be read, is validated on, or pan and ms do not fit.
    """
    if source.kind == "simulated":
        return ()
    folder = data / source.folder
    taken = _held_back(validation, data) if validation else frozenset()
    names = find_names(folder, source.names, source.kind, taken)
    if double := [name for name in names if taken & _files_of(folder, name, source.kind)]:
        raise RecipeError(f"{folder / min(double)} is validated on; it cannot be trained on too")
    load = {"pairs": load_pair, "referenced": load_referenced}.get(source.kind, _load_truth)
    images = (load(folder, name, source.nodata) for name in names)
    if source.coarser > 1:
        images = (_coarser(image, source.coarser) for image in images)
    return tuple(_measured(image) if source.kind == "referenced" else image for image in images)


def _coarser(image: Image, factor: float) -> Image:
    """A truth as a camera would see it whose pixels are larger by a factor."""
    sides = image.valid.shape
    onto = Placement(*(AxisMap(1 / factor, 0.0, math.floor(side / factor)) for side in sides))
    whole, wanted = Window(0, 0, *sides), Window(0, 0, *onto.ms_shape)
    bands = degrade(crop(image.bands, whole), onto, whole, wanted, GENERIC.ms_gains[0]).numpy()
    return _truth(image.name, bands, valid_under(onto, image.valid))


def _measured(image: Image) -> Image:
    """With the MTF that pan and ms show, pan as it is."""
    ms = np.where(image.valid, image.bands, np.float32(np.nan))
    scene = array_scene(np.asarray(image.pan), ms, image.placement)
    return replace(image, shown=shown_gain(scene))


def find_names(
    folder: Path, names: Sequence[str], kind: str, without: frozenset[Path] = frozenset()
) -> tuple[str, ...]:
    """Names as given, and in the place of each pattern those in a folder that match it, sorted.

    Args:
        folder: Where images are.
        names: Names and patterns.
        kind: Of source.
        without: Files, resolved; patterns leave out images that are made of any of them.

    Raises:
        RecipeError: A pattern finds nothing, or is none.
    """
    found: list[str] = []
    for name in names:
        if not _PATTERN & set(name):
            found.append(name)
            continue
        matching = sorted(
            n for n in _matching(folder, name, kind) if not without & _files_of(folder, n, kind)
        )
        if not matching:
            made = f"a folder with {_FILES[kind]}" if kind in _FILES else "a .tif file"
            more = " or all are validated on" if without else ""
            raise RecipeError(f"{folder}: nothing matches '{name}'{more}; each image must be {made}")
        found += matching
    return tuple(dict.fromkeys(found))


def _matching(folder: Path, pattern: str, kind: str) -> set[str]:
    suffix, role = ("/pan.tif", "pan") if kind in _FILES else (".tif", "truth")
    try:
        files = [(path, suffix) for path in folder.glob(pattern + suffix)]
        files += [(path, f"-{role}.npy") for path in folder.glob(f"{pattern}-{role}.npy")]
    except (ValueError, NotImplementedError) as error:  # the second is what pathlib says of "/..."
        raise RecipeError(f"{folder}: '{pattern}' cannot be looked for ({error})") from error
    return {path.relative_to(folder).as_posix().removesuffix(end) for path, end in files}


def _held_back(validation: Validation, data: Path) -> frozenset[Path]:
    """The files that are validated on, however they are named."""
    folder, kind = data / validation.folder, validation.kind
    names = find_names(folder, validation.names, kind)
    return frozenset().union(*(_files_of(folder, name, kind) for name in names))


def _files_of(folder: Path, name: str, kind: str) -> frozenset[Path]:
    """What an image may be read from, resolved."""
    roles = {"pairs": ("pan", "ms"), "referenced": ("pan", "ms", "reference")}.get(kind, ("truth",))
    rasters = (_raster(folder, name, role) for role in roles)
    arrays = (folder / f"{name}-{role}.npy" for role in roles)
    return frozenset(path.resolve() for path in (*rasters, *arrays))


def load_pair(folder: Path, name: str, nodata: float | None = None) -> Image:
    """Pan and ms of one pair, cut to the ms pixels that lie on pan.

    Args:
        folder: Where it is.
        name: Its name.
        nodata: Value of invalid pixels, over the files' tags; None to obey those.

    Raises:
        RecipeError: One is missing, cannot be read, or they do not fit.
    """
    arrays = _load_arrays(folder, name, ("pan", "ms"))
    if arrays is not None:
        placed = folder / f"{name}-placement.npy"
        axes = _axes_from_array(placed) if placed.is_file() else None
        return cut_to_pan(_paired_arrays(f"{folder / name}", arrays, axes, nodata))
    from pancli.raster.pair import PairOptions, open_pair

    path = folder / name
    try:
        options = PairOptions(nodata=nodata)
        with open_pair(f"{path / 'pan.tif'}", [f"{path / 'ms.tif'}"], options) as pair:
            return cut_to_pan(_paired_rasters(f"{path}", pair))
    except PancliError as error:
        raise RecipeError(f"{path}: {error}") from error


def load_referenced(folder: Path, name: str, nodata: float | None = None) -> Image:
    """Pan, ms and the truth on pan's grid; arguments as of :func:`load_pair`.

    Raises:
        RecipeError: One is missing, cannot be read, or they do not fit.
    """
    image = load_pair(folder, name, nodata)
    reference, valid = load_image(folder, name, "reference", nodata)
    asked = image.bands.shape[0], *(() if image.pan is None else image.pan.shape)
    if reference.shape != asked:
        raise RecipeError(
            f"{folder / name}: the reference is {reference.shape} but pan and ms ask for {asked} (bands, "
            "rows, columns); use what pancli degrade or pancli simulate wrote"
        )
    return replace(image, reference=reference, valid=image.valid & valid_under(image.placement, valid))


def _load_truth(folder: Path, name: str, nodata: float | None) -> Image:
    return _truth(f"{folder / name}", *load_image(folder, name, "truth", nodata))


def _truth(name: str, bands: Array, valid: BoolArray) -> Image:
    """An image without a pan, whose bands lie on themselves."""
    axes = (AxisMap(1.0, 0.0, side) for side in valid.shape)
    return Image(name, bands, valid, Placement(*axes))


def load_image(folder: Path, name: str, role: str, nodata: float | None) -> tuple[Array, BoolArray]:
    """One image (B, H, W) as an array of its own type, and (H, W), where it is valid.

    Args:
        folder: Where it is.
        name: Its name.
        role: "reference" or "truth".
        nodata: As of :func:`load_pair`.

    Raises:
        RecipeError: It is missing or cannot be read.
    """
    arrays = _load_arrays(folder, name, (role,))
    if arrays is not None:
        return arrays[0], _valid(arrays[0], nodata)
    from pancli.raster.bands import open_band, read_bands
    from pancli.raster.env import gdal_env
    from pancli.raster.names import SourceName
    from pancli.raster.source import open_source

    path = _raster(folder, name, role)
    try:
        with gdal_env(), open_source(SourceName(str(path))) as dataset:
            # Named one by one, bands that are tagged alpha are images too.
            source = SourceName(str(path), tuple(dataset.indexes))
            bands = [open_band(dataset, index, source, nodata) for index in dataset.indexes]
            values, valid = read_bands(bands, Window(0, 0, *dataset.shape), np.float32)
            return _as_stored(values, valid, dataset.dtypes), valid
    except PancliError as error:
        raise RecipeError(str(error)) from error


def _raster(folder: Path, name: str, role: str) -> Path:
    return folder / f"{name}.tif" if role == "truth" else folder / name / f"{role}.tif"


def _load_arrays(folder: Path, name: str, roles: Sequence[str]) -> list[Array] | None:
    """The arrays of an image; None where it is rasters."""
    arrays = [folder / f"{name}-{role}.npy" for role in roles]
    if all(path.is_file() for path in arrays):
        return [_from_array(path) for path in arrays]
    for path, role in zip(arrays, roles, strict=True):
        raster = _raster(folder, name, role)
        if not raster.is_file():
            raise RecipeError(
                f"neither {raster} nor {path} exists; is --data the folder the recipe speaks of?"
            )
    return None


def _from_array(path: Path) -> Array:
    try:
        array: Array = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise RecipeError(f"{path} is not a plain .npy array of numbers; write it with numpy.save") from error
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3:
        raise RecipeError(f"{path} has {array.ndim} dimensions; expected 2 or 3")
    return array


def _axes_from_array(path: Path) -> Array:
    """(2, 2): scale and offset of rows, then of columns."""
    axes: Array = _from_array(path)[0]
    if axes.shape != (2, 2):
        raise RecipeError(f"{path} has the shape {axes.shape}; expected (2, 2)")
    if not np.isfinite(axes).all() or not axes[:, 0].all():
        raise RecipeError(f"{path}: scales and offsets must be finite, and no scale zero")
    return axes


def _paired_arrays(path: str, arrays: Sequence[Array], axes: Array | None, nodata: float | None) -> Image:
    """Arrays that are not placed share their corners, so that only whole ratios can be meant."""
    pan, ms = arrays
    if axes is None:
        ratio = round(pan.shape[1] / ms.shape[1])
        if ratio < 2 or pan.shape != (1, ratio * ms.shape[1], ratio * ms.shape[2]):
            raise RecipeError(
                f"{path}: pan of {pan.shape[1:]} and ms of {ms.shape[1:]} pixels are not at a whole ratio; "
                "arrays without a placement need exactly 2, 3, 4 ... pan pixels per ms pixel, georeferenced "
                ".tif files do not"
            )
        axes = np.array([[1 / ratio, 0.0]] * 2)
    sides = zip(axes.tolist(), ms.shape[1:], strict=True)
    placement = Placement(*(AxisMap(scale, offset, side) for (scale, offset), side in sides))
    valid = valid_under(placement, _valid(pan, nodata)) & _valid(ms, nodata)
    return Image(path, ms, valid, placement, pan[0])


def _paired_rasters(path: str, pair: Pair) -> Image:
    pan, pan_valid = pair.read_pan(pair.pan_grid.window)
    ms, ms_valid = pair.read_ms(pair.ms_grid.window)
    pan = _as_stored(pan, pan_valid, [pair.pan_dtype])
    ms = _as_stored(ms, ms_valid, [band.dtype for band in pair.bands])
    valid = valid_under(pair.placement, pan_valid) & ms_valid
    return Image(path, ms, valid, pair.placement, pan, warnings=pair.warnings)


def _as_stored(values: Array, valid: BoolArray, dtypes: Sequence[str]) -> Array:
    """Values of a type that holds all of the given ones; zero where they are invalid."""
    return np.where(valid, values, 0).astype(np.result_type(*dtypes))


def _valid(array: Array, nodata: float | None) -> BoolArray:
    """(H, W), where all bands (B, H, W) are numbers, and none is nodata."""
    valid = np.isfinite(array) if nodata is None else np.isfinite(array) & (array != nodata)
    return np.asarray(valid.all(0))
