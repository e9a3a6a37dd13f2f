"""A GeoTIFF that exists under its name only when it is complete.

Pixels go to a temporary file in the same folder. When all are written it is closed, flushed to disk,
reopened and verified, and only then given its name; a file that had that name survives every failure.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import rasterio
from rasterio.enums import MaskFlags
from rasterio.io import DatasetReader, DatasetWriter

from pancli.errors import OutputError
from pancli.raster.checksums import block_bytes
from pancli.raster.commit import (
    FAILURES,
    check_output,
    commit_all,
    doubt,
    hidden_name,
    remove_beginning,
    write_error,
)
from pancli.raster.creation import check_place, create, describe, make_cog
from pancli.raster.env import gdal_env, without_georeferencing
from pancli.raster.grid import rasterio_window
from pancli.raster.source import by_pixel
from pancli.raster.spec import Companion, OutputSpec
from pancli.tiling import Window


class Output:
    """An open output: cores are written once each, in any order; pixels never written are invalid."""

    def __init__(self, spec: OutputSpec, dataset: DatasetWriter) -> None:
        self._spec = spec
        self._dataset = dataset
        blocks = [-(-n // b) for n, b in zip(spec.grid.shape, dataset.block_shapes[0], strict=True)]
        self.touched = np.zeros(blocks, np.bool_)
        self.valid: int | None = None
        """Pixels that the mask is to show; None before it is begun."""

    def write(self, window: Window, values: npt.NDArray[Any], valid: npt.NDArray[np.bool_]) -> None:
        """Write a window of the output grid.

        Args:
            window: Where, on the output grid.
            values: (B, h, w), already of the output's dtype, invalid pixels already set to nodata.
            valid: (h, w).

        Raises:
            OutputError: The disk is full or the write fails.
        """
        if not self._spec.masked and not valid.all():
            raise OutputError(f"{self._spec.path}: has invalid pixels and nowhere to say so; this is a bug")
        target = rasterio_window(window)
        try:
            self._dataset.write(values, window=target)
            if self._spec.needs_mask:
                self._dataset.write_mask(valid, window=target)
                self.valid = (self.valid or 0) + int(valid.sum())
        except FAILURES as error:
            raise write_error(self._spec.path, error) from error
        self._touch(window, values)

    def begin_mask(self) -> None:
        """Have a mask even where nothing was valid: of what is never written, it says that."""
        if self._spec.needs_mask and self.valid is None:
            self._dataset.write_mask(np.zeros((1, 1), np.bool_), window=rasterio_window(Window(0, 0, 1, 1)))
            self.valid = 0

    def _touch(self, window: Window, values: npt.NDArray[Any]) -> None:
        """Note the blocks that must be in the file: those given anything but zero or nodata."""
        given = values != 0
        if self._spec.nodata is not None:
            nodata = values.dtype.type(self._spec.nodata)
            given &= ~np.isnan(values) if np.isnan(nodata) else values != nodata
        height, width = self._dataset.block_shapes[0]
        for row in range(window.row // height, (window.row_stop - 1) // height + 1):
            for col in range(window.col // width, (window.col_stop - 1) // width + 1):
                part = Window(row * height, col * width, height, width).intersect(window)
                self.touched[row, col] |= given[:, *part.slices_in(window)].any()


@contextmanager
def atomic_output(spec: OutputSpec) -> Iterator[Output]:
    """Open an output for writing; on a clean exit it is complete, verified, and has its name.

    Raises:
        OutputError: It exists already, its folder is missing or not writable, the disk is full, or what was
            written does not read back.
    """
    with outputs_together([spec]) as (output,):
        yield output


@contextmanager
def outputs_together(specs: Sequence[OutputSpec]) -> Iterator[list[Output]]:
    """Open outputs for writing; on a clean exit all are complete and verified, and only then get their names.

    Raises:
        OutputError: As :func:`atomic_output`, of any of them; all is then as it was before.
    """
    overwrite = all(spec.overwrite for spec in specs)
    for spec in specs:
        for path in (spec.path, *(companion.path for companion in spec.companions)):
            check_output(path, overwrite=overwrite)
    temporaries = [hidden_name(spec.path) for spec in specs]
    tiffs = [temporary.with_name(temporary.name + ".tif") for temporary in temporaries]
    try:
        with gdal_env(), without_georeferencing(), ExitStack() as made:
            with ExitStack() as filling:
                outputs = [
                    filling.enter_context(_filling(spec, tiff))
                    for spec, tiff in zip(specs, tiffs, strict=True)
                ]
                yield outputs
            named: list[tuple[Path, Path]] = []
            for spec, tiff, output in zip(specs, tiffs, outputs, strict=True):
                finished = _finish(spec, tiff, output)
                named += made.enter_context(_made_beside(spec.companions, finished))
                named.append((finished, spec.path))
            commit_all(named, overwrite=overwrite)
    finally:
        for temporary in temporaries:
            remove_beginning(temporary.parent, temporary.name)


def _finish(spec: OutputSpec, tiff: Path, output: Output) -> Path:
    """The verified file that is to get the name: what was written, or a COG made of it."""
    _verify(tiff, spec, output)
    if spec.driver != "COG":
        return tiff
    cog = tiff.with_name(tiff.name.removesuffix(".tif") + ".cog.tif")
    make_cog(tiff, cog, spec)
    _verify_said(cog, spec, output)
    return cog


def write_companions(companions: Sequence[Companion], finished: Path, *, overwrite: bool) -> None:
    """Write what is to stand beside a file that is there already: all of it, or none.

    Raises:
        OutputError: One is there already and is not to be overwritten, or cannot be written.
    """
    for companion in companions:
        check_output(companion.path, overwrite=overwrite)
    with gdal_env(), _made_beside(companions, finished) as named:
        commit_all(named, overwrite=overwrite)


@contextmanager
def _made_beside(companions: Sequence[Companion], finished: Path) -> Iterator[list[tuple[Path, Path]]]:
    """Companions of a finished file, under temporary names, with those they are to be given."""
    named = [(hidden_name(companion.path), companion.path) for companion in companions]
    try:
        for companion, (target, _) in zip(companions, named, strict=True):
            _make_companion(companion, finished, target)
        yield named
    finally:
        for hidden, _ in named:
            remove_beginning(hidden.parent, hidden.name)


@contextmanager
def _filling(spec: OutputSpec, tiff: Path) -> Iterator[Output]:
    """Create the temporary GeoTIFF, lend it to the caller, close it."""
    try:
        dataset = create(tiff, spec)
    except (*FAILURES, ValueError) as error:
        raise write_error(spec.path, error) from error
    output = Output(spec, dataset)
    try:
        try:
            describe(dataset, spec)
        except FAILURES as error:
            raise write_error(spec.path, error) from error
        yield output
    except BaseException:
        # The pixels are lost anyway: closing may fail as well, and must not hide why.
        with suppress(*FAILURES):
            dataset.close()
        raise
    try:
        output.begin_mask()
        dataset.close()
    except FAILURES as error:
        raise write_error(spec.path, error) from error


def _verify(tiff: Path, spec: OutputSpec, output: Output) -> None:
    """Reopen: size, place and mask are what was asked for, and every block that was given pixels is there."""
    try:
        with tiff.open("rb") as file:
            os.fsync(file.fileno())
        size = tiff.stat().st_size
        with rasterio.open(tiff) as dataset:
            if dataset.shape != spec.grid.shape or dataset.count != len(spec.bands):
                raise OutputError(f"{spec.path}: what was written has another size; the disk may be failing")
            for row, col in np.argwhere(output.touched):
                if not _block_inside(dataset, int(row), int(col), size):
                    raise OutputError(
                        f"{spec.path}: block {row}, {col} is not in the file, as if it could not be "
                        f"compressed or written{doubt(spec.path)}"
                    )
            _read_last_block(dataset, output.touched)
    except FAILURES as error:
        raise write_error(spec.path, error) from error
    _verify_said(tiff, spec, output)


def _verify_said(tiff: Path, spec: OutputSpec, output: Output) -> None:
    """What is not pixels: where they lie, and which of them are valid."""
    try:
        check_place(tiff, spec)
    except FAILURES as error:
        raise write_error(spec.path, error) from error
    _verify_mask(tiff, spec, output)


def _verify_mask(tiff: Path, spec: OutputSpec, output: Output) -> None:
    """The mask is there and shows as many pixels as were valid: GDAL writes it last, and only warns.

    Raises:
        OutputError: It does not.
    """
    if not spec.needs_mask:
        return
    try:
        with rasterio.open(tiff) as dataset:
            flags = dataset.mask_flag_enums[0]
            masks = (dataset.read_masks(1, window=window) for _, window in dataset.block_windows(1))
            shown = sum(map(np.count_nonzero, masks))
    except FAILURES as error:
        raise write_error(spec.path, error) from error
    if shown != output.valid or MaskFlags.per_dataset not in flags:
        raise OutputError(
            f"{spec.path}: its mask is not what was written, as if there had been no room{doubt(spec.path)}"
        )


def _block_inside(dataset: DatasetReader, row: int, col: int, file_size: int) -> bool:
    """Whether the file holds the block; band by band, it is enough that one band has pixels there."""
    bands = (1,) if by_pixel(dataset) else dataset.indexes
    held = [block for band in bands if (block := block_bytes(dataset, band, row, col)) is not None]
    return bool(held) and max(block.stop for block in held) <= file_size


def _read_last_block(dataset: DatasetReader, touched: npt.NDArray[np.bool_]) -> None:
    if touched.any():
        row, col = np.argwhere(touched)[-1]
        dataset.read(window=dataset.block_window(1, int(row), int(col)))


def _make_companion(companion: Companion, finished: Path, target: Path) -> None:
    """Write a companion of the finished file under a temporary name."""
    try:
        companion.make(finished, target)
        with target.open("rb") as file:
            os.fsync(file.fileno())
    except FAILURES as error:
        raise write_error(companion.path, error) from error
