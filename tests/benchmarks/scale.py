"""Time and peak memory of sharpening scenes of growing size, or of evaluating them; prints a Markdown table.

    python -m tests.benchmarks.scale [--sizes 4096,16384] [--methods brovey,gsa]
    python -m tests.benchmarks.scale --evaluate [--sizes 4096,16384]

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
_EVALUATE = """
import json, resource, sys, time
from pancli.evaluation import EvaluateOptions, evaluate
start = time.perf_counter()
fused, pan, ms, reference = sys.argv[1:5]
report = evaluate(fused, pan, [ms], reference or None, EvaluateOptions(peak=2047.0))
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps({**report.as_dict(), "peak_mb": peak, "seconds": time.perf_counter() - start}))
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


def make_pair(folder: Path, size: int) -> tuple[Path, Path]:
    """Pan and ms of one size; made once."""
    pan, ms = (folder / f"{role}{size}.tif" for role in ("pan", "ms"))
    if not pan.exists():
        scene = make_scene(folder / f"block{size}", size=(BLOCK, BLOCK))
        tile_out(pan, scene.pan_image[None], scene.pan_transform, size // BLOCK)
        tile_out(ms, scene.ms_image, scene.ms_transform, size // BLOCK)
    return pan, ms


def make_truth(folder: Path, size: int) -> Path:
    """What a perfect method would make of that pair; made once."""
    truth = folder / f"truth{size}.tif"
    if not truth.exists():
        scene = make_scene(folder / f"block{size}", size=(BLOCK, BLOCK))
        tile_out(truth, scene.truth.round().astype("uint16"), scene.pan_transform, size // BLOCK)
    return truth


def run(folder: Path, size: int, method: str, **creation: str) -> dict[str, Any]:
    """Sharpen one scene in a process of its own; its report, and its peak memory as ``peak_mb``."""
    pan, ms = make_pair(folder, size)
    out = folder / "out.tif"
    report = _in_process(_CODE, pan, ms, out, method, json.dumps(creation))
    out.unlink()
    return report


def run_evaluation(folder: Path, size: int, *, reference: bool) -> dict[str, Any]:
    """Evaluate one scene, its truth standing in for what was fused, in a process of its own."""
    pan, ms = make_pair(folder, size)
    truth = make_truth(folder, size)
    return _in_process(_EVALUATE, truth, pan, ms, truth if reference else "")


def _in_process(code: str, *arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="4096,16384")
    parser.add_argument("--methods", default="brovey,gsa,mtf-glp")
    parser.add_argument("--evaluate", action="store_true")
    asked = parser.parse_args()
    sizes = [int(size) for size in asked.sizes.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        if asked.evaluate:
            _print_evaluations(Path(folder), sizes)
        else:
            _print_sharpenings(Path(folder), sizes, asked.methods.split(","))


def _print_sharpenings(folder: Path, sizes: list[int], methods: list[str]) -> None:
    print("| method | scene | MPix/s | total s | fit s | peak MB |")
    print("|---|---|---|---|---|---|")
    for method in methods:
        for size in sizes:
            found = run(folder, size, method)
            seconds = found["seconds"]
            print(
                f"| {method} | {size} | {found['mpix_per_s']:.2f} | {seconds['total']:.1f} | "
                f"{seconds['fit']:.1f} | {found['peak_mb']:.0f} |",
                flush=True,
            )


def _print_evaluations(folder: Path, sizes: list[int]) -> None:
    print("| figures | scene | MPix/s | total s | peak MB |")
    print("|---|---|---|---|---|")
    for reference in (False, True):
        for size in sizes:
            found = run_evaluation(folder, size, reference=reference)
            print(
                f"| {'all' if reference else 'without reference'} | {size} | "
                f"{size**2 / 1e6 / found['seconds']:.2f} | {found['seconds']:.1f} | {found['peak_mb']:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
