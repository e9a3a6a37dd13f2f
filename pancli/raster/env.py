"""GDAL as pancli sets it: its cache, its masks, and what it need not warn of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from rasterio.env import Env, hasenv
from rasterio.errors import NotGeoreferencedWarning

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


@contextmanager
def without_georeferencing() -> Iterator[None]:
    """Let images without a geotransform be: pancli says itself what it makes of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield
