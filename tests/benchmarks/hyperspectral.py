"""SSML's two students on hyperspectral scenes, beside other methods; prints a Markdown table per scene.

    python -m tests.benchmarks.hyperspectral --data DATA --out runs/hyperspectral [--steps 600]
        [--scenes san-francisco,jasper-ridge] [--pictures DIR]

A scene is the truth. Its pan is the mean of its visible bands, its ms every band through a Gaussian of which
the full width at half maximum is one ms pixel, at a quarter of the resolution. The students learn from each
other on the upper rows, with the truth; every method is then given pan and ms of the whole scene, and the
MTF of that Gaussian, and is measured on the lower rows, some rows away from the others. What was trained is
kept in --out: a run that was stopped goes on there.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from pancli.device import CPU
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import Method
from pancli.methods.registry import METHODS
from pancli.networks.weights import shipped
from pancli.pictures import coloured, limits
from pancli.placement import AxisMap, Placement
from pancli.raster.quicklook import write_png
from pancli.resampling import degrade
from pancli.scene import TiledScene, array_scene, fuse_scene
from pancli.sensors import GENERIC
from pancli.tiling import Window
from pancli.training.loop import train
from pancli.training.reading import read_recipe
from pancli.training.recipe import Recipe
from pancli.training.sources import load_image
from pancli.training.validation import compare_images
from tests.benchmarks.networks import cell

TEMPLATE = Path(__file__).parent / "recipes" / "ssml.toml"
RATIO = 4
GAIN = math.exp(-(math.pi**2) / (16 * math.log(2)))
"""MTF at the ms Nyquist frequency of a Gaussian as wide at half its height as an ms pixel: 0.41."""

_GAP = 8  # rows between what is trained on and what is measured
_CLASSICAL = ("exp", "gsa", "mtf-glp-hpm")
_STUDENTS = ("ssml-spectral", "ssml-spatial")
_ZOOM = 3  # of pictures


@dataclass(frozen=True)
class Kind:
    """A hyperspectral scene as it was delivered.

    Attributes:
        bands: Indices of those that are used.
        visible: Which of these pan is the mean of.
        colours: Which are shown as red, green and blue.
        trained: Rows from the top that are trained on; a multiple of the ratio.
    """

    bands: tuple[int, ...]
    visible: slice
    colours: tuple[int, int, int]
    trained: int


_WATER = {*range(3), *range(107, 112), *range(153, 166), *range(219, 224)}  # vapour, and bands without signal

SCENES = {
    # Hyperion's bands 11 to 57, 457 to 925 nm (by oxygen's line at 762 nm); visible: to 691 nm.
    "san-francisco": Kind(tuple(range(47)), slice(0, 24), (18, 9, 1), 192),
    # AVIRIS, 366 to 2500 nm; visible: its bands 10 to 35, nominally 452 to 692 nm.
    "jasper-ridge": Kind(tuple(n for n in range(224) if n not in _WATER), slice(6, 32), (26, 15, 8), 60),
}


@dataclass(frozen=True)
class Pair:
    """What was made of a scene.

    Attributes:
        pan: (1, H, W).
        ms: (B, H / ratio, W / ratio).
        truth: (B, H, W).
    """

    pan: Tensor
    ms: Tensor
    truth: Tensor

    def scene(self) -> TiledScene:
        """Pan and ms, with the MTF that made them."""
        sensor = replace(GENERIC, ms_gains=(GAIN,))
        return array_scene(self.pan[0].numpy(), self.ms.numpy(), sensor=sensor)


def make_pair(truth: Tensor, visible: slice, gain: float = GAIN, ratio: int = RATIO) -> Pair:
    """A truth (B, H, W) observed; rows and columns that fill no ms pixel are left out."""
    height, width = (side - side % ratio for side in truth.shape[1:])
    truth = truth[:, :height, :width]
    axes = (AxisMap(1 / ratio, 0.0, side // ratio) for side in (height, width))
    windows = Window(0, 0, height, width), Window(0, 0, height // ratio, width // ratio)
    ms = degrade(truth, Placement(*axes), *windows, gain)
    return Pair(truth[visible].mean(0, keepdim=True), ms, truth)


def main(arguments: Sequence[str] | None = None) -> None:
    """Train, fuse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--scenes", default=",".join(SCENES), help="names, separated by commas")
    parser.add_argument("--pictures", type=Path, help="folder for a PNG of each scene")
    asked = parser.parse_args(arguments)
    for name in asked.scenes.split(","):
        kind = SCENES[name]
        delivered, _ = load_image(asked.data / "hyperspectral" / name, "hs", "truth", None)
        pair = make_pair(torch.from_numpy(delivered[list(kind.bands)].astype(np.float32)), kind.visible)
        minutes = _train(name, kind, pair, asked.steps, asked.out)
        fused = _fuse(pair.scene(), asked.out / name)
        _print_table(name, kind, pair.truth, fused, minutes)
        if asked.pictures is not None:
            _write_picture(asked.pictures / f"{name}.png", kind, pair.truth, fused)


def _recipe(name: str, kind: Kind, steps: int) -> Recipe:
    recipe = read_recipe(TEMPLATE)
    return replace(
        recipe,
        bands=len(kind.bands),
        schedule=replace(recipe.schedule, steps=steps),
        data=f"{name}: the upper {kind.trained} rows",
    )


def _train(name: str, kind: Kind, pair: Pair, steps: int, out: Path) -> float:
    """Both students; minutes that it took."""
    data = out / name / "data"
    data.mkdir(parents=True, exist_ok=True)
    rows, ms_rows = kind.trained, kind.trained // RATIO
    parts = {"pan": pair.pan[:, :rows], "ms": pair.ms[:, :ms_rows], "reference": pair.truth[:, :rows]}
    for role, part in parts.items():
        np.save(data / f"part-{role}.npy", part.numpy())
    return train(_recipe(name, kind, steps), data, out / name).progress.seconds / 60


def _fuse(scene: TiledScene, trained: Path) -> dict[str, Tensor]:
    """(B, H, W) by every method; the two students' mean last."""
    methods: dict[str, Method] = {name: METHODS[name] for name in _CLASSICAL}
    methods["bandset"] = with_rounds(NetworkMethod.load(shipped()["bandset"], CPU), None)
    # The recipe's own weights have its name, the peer's both names.
    files = _STUDENTS[0], "-".join(_STUDENTS)
    for name, stem in zip(_STUDENTS, files, strict=True):
        methods[name] = NetworkMethod.load(trained / f"{stem}.safetensors", CPU)
    with torch.inference_mode():
        fused = {name: fuse_scene(method, scene, method.fit(scene)) for name, method in methods.items()}
    spectral, spatial = (fused[name] for name in _STUDENTS)
    return {**fused, "mean of both": (spectral + spatial) / 2}


def _print_table(name: str, kind: Kind, truth: Tensor, fused: dict[str, Tensor], minutes: float) -> None:
    rows = slice(kind.trained + _GAP, None)
    seen, peak = truth[:, rows], float(truth.max())
    print(f"\n{name}: {len(truth)} bands, measured on {tuple(seen.shape[1:])}; {minutes:.0f} min of training")
    print("\n| method | PSNR / SAM / ERGAS / Q2n |\n|---|---|")
    for method, image in fused.items():
        print(f"| {method} | {cell(compare_images(image[:, rows], seen, peak, RATIO))} |", flush=True)


def _write_picture(path: Path, kind: Kind, truth: Tensor, fused: dict[str, Tensor]) -> None:
    """What is measured, side by side: every method in the order of the table, then the truth."""
    rows = slice(kind.trained + _GAP, None)
    images = [image[list(kind.colours)][:, rows].numpy() for image in (*fused.values(), truth)]
    valid = np.ones(images[0].shape[1:], np.bool_)
    black_white = limits(images[-1], valid)
    views = [coloured(image, valid, black_white, range(3)) for image in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    write_png(path, np.hstack(views).repeat(_ZOOM, 0).repeat(_ZOOM, 1))


if __name__ == "__main__":
    main()
