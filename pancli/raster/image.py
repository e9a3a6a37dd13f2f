"""Whole small images in one call, to be shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pancli.raster.env import gdal_env
from pancli.raster.names import SourceName
from pancli.raster.source import open_source, reading


def read_image(path: Path) -> npt.NDArray[Any]:
    """(B, H, W) of the file's own type.

    Raises:
        InputError: The file cannot be opened or read.
    """
    with gdal_env(), open_source(SourceName(str(path))) as dataset, reading(str(path)):
        return np.asarray(dataset.read())
