"""Time and peak memory of sharpening scenes of growing size; prints a Markdown table.

    python -m tests.benchmarks.scale [--sizes 4096,16384] [--methods brovey,gsa]

Each run is a process of its own, so that its peak memory is its own. Scenes are one block of texture,
repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from rasterio.windows import Window

from tests.scenes import UTM, make_scene

BLOCK = 512
_CODE = """
import json, resource, sys
from pancli.sharpening import SharpenOptions, sharpen
options = SharpenOptions(method=sys.argv[4], creation=json.loads(sys.argv[5]))
report = sharpen(sys.argv[1], [sys.argv[2]], sys.argv[3], options)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({**report.as_dict(), "peak_mb": peak}))
"""


def tile_out(path: Path, block: np.ndarray, transform: object, repeats: int) -> Path:
    """Write a block, repeated, without ever holding the whole."""
    bands, height, width = block.shape
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=height * repeats,
        width=width * repeats,
        dtype=block.dtype,
        crs=UTM,
        transform=transform,
        tiled=True,
        photometric="MINISBLACK",
        bigtiff="IF_SAFER",
    ) as dataset:
        for row in range(repeats):
            for col in range(repeats):
                dataset.write(block, window=Window(col * width, row * height, width, height))
    return path


def run(folder: Path, size: int, method: str, **creation: str) -> dict[str, Any]:
    """Sharpen one scene in a process of its own; its report, and its peak memory as ``peak_mb``."""
    pan, ms, out = folder / f"pan{size}.tif", folder / f"ms{size}.tif", folder / "out.tif"
    if not pan.exists():
        scene = make_scene(folder / f"block{size}", size=(BLOCK, BLOCK))
        tile_out(pan, scene.pan_image[None], scene.pan_transform, size // BLOCK)
        tile_out(ms, scene.ms_image, scene.ms_transform, size // BLOCK)
    command = [sys.executable, "-c", _CODE, *map(str, (pan, ms, out)), method, json.dumps(creation)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    out.unlink()
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="4096,16384")
    parser.add_argument("--methods", default="brovey,gsa,mtf-glp")
    asked = parser.parse_args()
    print("| method | scene | MPix/s | total s | fit s | peak MB |")
    print("|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for method in asked.methods.split(","):
            for size in map(int, asked.sizes.split(",")):
                found = run(Path(folder), size, method)
                seconds = found["seconds"]
                print(
                    f"| {method} | {size} | {found['mpix_per_s']:.2f} | {seconds['total']:.1f} | "
                    f"{seconds['fit']:.1f} | {found['peak_mb']:.0f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
