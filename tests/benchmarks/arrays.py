"""The images that recipes train on, as arrays (NAME-pan.npy, NAME-ms.npy, ...), for machines without GDAL.

    python -m tests.benchmarks.arrays --data DATA --out arrays

Of georeferencing only how a pair's grids lie on each other is kept: :mod:`pancli.training.sources`. What is
not valid in any band is NaN in all.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import rasterio

from pancli.raster.pair import open_pair

_PAIRED = ("pan", "ms", "reference")


def main(arguments: Sequence[str] | None = None) -> None:
    """Write the arrays; print how many bytes they are."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument(
        "--folders", default="landsat7,landsat8,naip,hyperspectral", help="names, separated by commas"
    )
    asked = parser.parse_args(arguments)
    total = 0
    for name in asked.folders.split(","):
        for raster in sorted((asked.data / name).rglob("*.tif")):
            array = asked.out / _array_of(raster.relative_to(asked.data))
            array.parent.mkdir(parents=True, exist_ok=True)
            with rasterio.open(raster) as dataset:
                values, valid = dataset.read(), (dataset.read_masks() > 0).all(0)
                np.save(array, values if valid.all() else np.where(valid, values.astype(np.float32), np.nan))
            total += array.stat().st_size
            if raster.name == "pan.tif":
                np.save(array.with_name(f"{raster.parent.name}-placement.npy"), _axes(raster))
    print(f"{asked.out}: {total / 1e6:.0f} MB")


def _axes(pan: Path) -> npt.NDArray[np.float64]:
    """How the ms beside a pan lies on it."""
    with open_pair(str(pan), [str(pan.with_name("ms.tif"))]) as pair:
        return np.array([[axis.scale, axis.offset] for axis in pair.placement.axes])


def _array_of(raster: Path) -> Path:
    """landsat7/07/pan.tif is landsat7/07-pan.npy; naip/x.tif, which is no pair's, naip/x-truth.npy."""
    if raster.stem in _PAIRED:
        return raster.parent.with_name(f"{raster.parent.name}-{raster.stem}.npy")
    return raster.with_name(f"{raster.stem}-truth.npy")


if __name__ == "__main__":
    main()
