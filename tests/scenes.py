"""Scenes built in code: known functions of the ground, averaged exactly over each pixel."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from affine import Affine
from rasterio.crs import CRS

UTM = CRS.from_epsg(32633)


@dataclass(frozen=True)
class Waves:
    """A sum of plane waves over ground coordinates; band b of ``bands`` mixes them differently."""

    wavelengths: tuple[float, ...] = (37.0, 61.0, 23.0, 90.0)
    angles: tuple[float, ...] = (0.3, 1.2, 2.2, 2.9)
    phases: tuple[float, ...] = (0.4, 1.9, 3.3, 5.0)
    amplitude: float = 150.0
    mean: float = 1000.0

    def average(self, transform: Affine, shape: tuple[int, int], mix: Any) -> Any:
        """(H, W): the exact mean over each pixel of an axis-aligned or rotated grid."""
        rows, cols = np.mgrid[0 : shape[0], 0 : shape[1]].astype(float) + 0.5
        x, y = transform * (cols, rows)
        image = np.full(shape, self.mean)
        for weight, length, angle, phase in zip(mix, self.wavelengths, self.angles, self.phases, strict=True):
            kx, ky = 2 * np.pi / length * np.cos(angle), 2 * np.pi / length * np.sin(angle)
            along_col = (kx * transform.a + ky * transform.d) / 2
            along_row = (kx * transform.b + ky * transform.e) / 2
            damping = np.sinc(along_col / np.pi) * np.sinc(along_row / np.pi)
            image += weight * self.amplitude * damping * np.cos(kx * x + ky * y + phase)
        return image


SAME = np.ones(4)


def band_mixes(bands: int) -> list[Any]:
    """One mix of waves per band, all different, all positively related."""
    generator = np.random.default_rng(7)
    return [0.6 + 0.8 * generator.random(4) for _ in range(bands)]


@dataclass
class Scene:
    """Files of a pan + ms pair, and how they were made."""

    pan: Path
    ms: Path
    pan_transform: Affine
    ms_transform: Affine
    pan_image: Any
    ms_image: Any
    truth: Any = field(repr=False)

    def args(self) -> list[str]:
        return [str(self.pan), str(self.ms)]


def write(path: Path, image: Any, transform: Affine | None, crs: Any = UTM, **profile: Any) -> Path:
    """Write (H, W) or (B, H, W) as GeoTIFF."""
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[None]
    tags = profile.pop("tags", {})
    names = profile.pop("names", ())
    where = {} if transform is None else {"transform": transform}
    profile = {"photometric": "MINISBLACK", "alpha": "UNSPECIFIED"} | profile
    if crs is not None:
        where["crs"] = crs
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=image.shape[0],
        height=image.shape[1],
        width=image.shape[2],
        dtype=image.dtype,
        **where,
        **profile,
    ) as dataset:
        dataset.update_tags(**tags)
        dataset.write(image)
        for index, name in enumerate(names, start=1):
            dataset.set_band_description(index, name)
    return path


def make_scene(
    folder: Path,
    *,
    size: tuple[int, int] = (160, 192),
    ratio: float = 4.0,
    bands: int = 4,
    dtype: str = "uint16",
    origin: tuple[float, float] = (500000.0, 4000000.0),
    pixel: float = 0.5,
    ms_offset: tuple[float, float] = (0.0, 0.0),
    ms_size: tuple[int, int] | None = None,
    base: Affine | None = None,
    mixes: list[Any] | None = None,
    waves: Waves | None = None,
    crs: Any = UTM,
    **profile: Any,
) -> Scene:
    """Write pan.tif and ms.tif of one ground function.

    ``ms_offset`` is (down, right) in pan pixels from pan's corner to ms's corner.
    """
    folder.mkdir(parents=True, exist_ok=True)
    scale = pixel / 0.5
    default = Waves()
    waves = waves or Waves(wavelengths=tuple(scale * w for w in default.wavelengths))
    pan_transform = base or Affine(pixel, 0, origin[0], 0, -pixel, origin[1])
    ms_transform = pan_transform * Affine.translation(ms_offset[1], ms_offset[0]) * Affine.scale(ratio, ratio)
    ms_shape = ms_size or (round(size[0] / ratio), round(size[1] / ratio))
    mixes = mixes or band_mixes(bands)
    pan = waves.average(pan_transform, size, np.mean(mixes, axis=0))
    ms = np.stack([waves.average(ms_transform, ms_shape, mix) for mix in mixes])
    truth = np.stack([waves.average(pan_transform, size, mix) for mix in mixes])
    kind = np.dtype(dtype)
    if kind.kind in "ui":
        pan, ms = np.rint(pan), np.rint(ms)
    names = profile.pop("names", tuple(f"band {i}" for i in range(1, len(mixes) + 1)))
    return Scene(
        write(folder / "pan.tif", pan.astype(kind), pan_transform, crs, **profile),
        write(folder / "ms.tif", ms.astype(kind), ms_transform, crs, names=names, **profile),
        pan_transform,
        ms_transform,
        pan.astype(kind),
        ms.astype(kind),
        truth,
    )


def spoil(folder: Path, value: float, nodata: float | None = 0.0, dtype: str = "uint16") -> Scene:
    """A scene whose collar, stripes and one ms pixel are ``value``; the same mask whatever the value."""
    scene = make_scene(folder, dtype=dtype)
    pan, ms = scene.pan_image.copy(), scene.ms_image.copy()
    pan[:30] = value
    pan[:, 100:104] = value
    ms[:, :8] = value
    ms[1, 20, 10] = value
    write(scene.pan, pan, scene.pan_transform, nodata=nodata)
    write(scene.ms, ms, scene.ms_transform, nodata=nodata)
    return scene


def displacement(image: Any, truth: Any, border: int = 12) -> tuple[float, float]:
    """(down, right) in pixels by which ``image`` lies off ``truth``, by least squares on its gradient."""
    inner = (slice(border, -border), slice(border, -border))
    down, right = (g[inner].ravel() for g in np.gradient(truth))
    design = np.stack([-down, -right, np.ones_like(down)], axis=1)
    difference = (image - truth)[inner].ravel()
    solution = np.linalg.lstsq(design, difference, rcond=None)[0]
    return float(solution[0]), float(solution[1])


def read(path: Path | str) -> Any:
    """(B, H, W) float64."""
    with rasterio.open(path) as dataset:
        return dataset.read().astype(float)
