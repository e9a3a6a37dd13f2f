"""Methods on aerial images nothing was trained on, reduced in ways training did not know exactly; a table.

    python -m tests.benchmarks.heldback --data DATA [--methods exp,mtf-glp-hpm+bp2,bandset] [--rows 4,2]
        [--crisp-pan]

DATA holds naip/*.tif. Of the middle of each image pan is a fixed mixture of the bands, ms is made by
reducing them. A method may be a weights file, and with ``+bpN`` is followed by N rounds of back-projection;
without, by those it was made for. Sharpness is the share of the truth's detail, what a 3 x 3 mean leaves
out, that the fused image has, as a ratio of standard deviations: below one is soft. Weights may be chosen by
this table.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from pancli.device import CPU
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import Method
from pancli.methods.registry import METHODS
from pancli.networks.weights import find_weights
from pancli.resampling import blur, mtf_sigma
from pancli.scene import TiledScene, array_scene, crisp_for, fuse_scene
from pancli.training.sources import load_image
from pancli.training.validation import compare_images
from tests.benchmarks.hyperspectral import make_pair

NAMES = ("m_3607824_se_17_1_20160620_subset", "m_4208701_ne_16_060_20200902")
_SIDE = 384  # pixels, at most
_MULTIPLE = 60  # of every ratio
_MIXTURE = (0.1, 0.3, 0.35, 0.25)
_PEAK = 255.0


@dataclass(frozen=True)
class Reduction:
    """How a truth is observed.

    Attributes:
        ratio: Pan pixels per ms pixel.
        gain: MTF at the ms Nyquist frequency.
        shift: Pan pixels, (down, right), by which pan lies elsewhere.
        blunter: Of the Gaussian that the truth goes through, at its own Nyquist frequency, as
            :func:`blunted` takes it; 1 for none.
        noise: Of ms, relative to each band's standard deviation.
        pan_gain: The same of pan; that of cameras in orbit is 0.1 to 0.2, what their operators sharpen shows
            more.
    """

    ratio: int = 4
    gain: float = 0.3
    shift: tuple[float, float] = (0.0, 0.0)
    blunter: float = 1.0
    noise: float = 0.0
    pan_gain: float = 0.5


ROWS = {
    "4": Reduction(),
    "2": Reduction(ratio=2),
    "5": Reduction(ratio=5),
    "6": Reduction(ratio=6),
    "6-pan0.15": Reduction(ratio=6, pan_gain=0.15),
    "4-pan0.15": Reduction(pan_gain=0.15),
    "2-pan0.15": Reduction(ratio=2, pan_gain=0.15),
    "4-pan0.3": Reduction(pan_gain=0.3),
    "noise": Reduction(noise=0.02),
    "aliased": Reduction(gain=0.8),
    "aliased-off0.7": Reduction(gain=0.8, shift=(0.7, 0.7)),
    "off1.2": Reduction(shift=(1.2, 1.2)),
    "2-off1.2": Reduction(ratio=2, shift=(1.2, 1.2)),
    "off2.5": Reduction(shift=(2.0, -1.5)),
    "picked-blunt0.3-off0.5": Reduction(gain=0.9, shift=(0.5, 0.5), blunter=0.3),
    "picked-blunt0.05-off0.5": Reduction(gain=0.9, shift=(0.5, 0.5), blunter=0.05),
    "picked-blunt0.05": Reduction(gain=0.9, blunter=0.05),
    "blunt0.1": Reduction(blunter=0.1),
}


def blunted(image: Tensor, gain: float) -> Tensor:
    """An image (C, h, w) through a Gaussian of such a gain at its own Nyquist frequency.

    Of a wave there its taps leave a quarter more than that: 0.19 for a gain of 0.15, 0.64 for 0.5.
    """
    return blur(image, (mtf_sigma(1.0, gain),) * 2)


def displaced(image: Tensor, shift: tuple[float, float]) -> Tensor:
    """An image (C, H, W), mirrored beyond its rim, moved (down, right) in its spectrum: nothing is lost."""
    mirrored = torch.cat((image, image.flip(1)), 1)
    mirrored = torch.cat((mirrored, mirrored.flip(2)), 2)
    rows, cols = (torch.fft.fftfreq(size) for size in mirrored.shape[1:])
    turned = torch.exp(-2j * torch.pi * (shift[0] * rows[:, None] + shift[1] * cols))
    moved: Tensor = torch.fft.ifft2(torch.fft.fft2(mirrored) * turned).real
    return moved[:, : image.shape[1], : image.shape[2]]


def observe(image: Tensor, how: Reduction) -> tuple[TiledScene, Tensor]:
    """What two cameras make of an image (4, H, W), and the truth; gains of the cameras are not told."""
    mixture = torch.tensor(_MIXTURE)[:, None, None]
    pan = blunted((mixture * image).sum(0, keepdim=True), how.pan_gain)
    truth = image if how.blunter == 1.0 else blunted(image, how.blunter)
    ms = make_pair(truth, slice(None), how.gain, how.ratio).ms
    noise = torch.randn(ms.shape, generator=torch.Generator().manual_seed(1))
    ms = ms + how.noise * noise * ms.std((1, 2), keepdim=True)
    pan = displaced(pan, how.shift)
    return array_scene(pan[0].round().numpy(), ms.round().numpy()), truth


def load(name: str) -> Method:
    """A method by name or weights file, with rounds if its name ends in them."""
    plain, _, rounds = name.partition("+bp")
    weights = find_weights(plain)
    method = METHODS[plain] if weights is None else NetworkMethod.load(weights, CPU)
    return with_rounds(method, int(rounds) if rounds else None)


def images(data: Path) -> Iterator[Tensor]:
    """The middles, (4, H, W)."""
    for name in NAMES:
        image = torch.from_numpy(load_image(data / "naip", name, "truth", None)[0]).float()
        side = min(_SIDE, *image.shape[1:]) // _MULTIPLE * _MULTIPLE
        row, col = ((whole - side) // 2 for whole in image.shape[1:])
        yield image[:4, row : row + side, col : col + side]


def sharpness(fused: Tensor, truth: Tensor) -> float:
    """Of the truth's detail, how much the fused image has."""
    return (_detail(fused).std() / _detail(truth).std()).item()


def _detail(image: Tensor) -> Tensor:
    return image[:, 1:-1, 1:-1] - avg_pool2d(image, 3, 1)


def main(arguments: Sequence[str] | None = None) -> None:
    """Reduce, fuse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--methods", default="exp,mtf-glp-hpm+bp2,bandset")
    parser.add_argument("--rows", default=",".join(ROWS), help="names, separated by commas")
    parser.add_argument(
        "--crisp-pan", action="store_true", help="for methods that do not do so by themselves"
    )
    asked = parser.parse_args(arguments)
    methods = {name: load(name) for name in asked.methods.split(",")}
    print(f"PSNR / SAM / sharpness\n\n| reduced | {' | '.join(methods)} |\n{'|---' * (len(methods) + 1)}|")
    seen = list(images(asked.data))
    for row in asked.rows.split(","):
        pairs = [observe(image, ROWS[row]) for image in seen]
        cells = [_cell(method, pairs, ROWS[row].ratio, asked.crisp_pan) for method in methods.values()]
        print(f"| {row} | {' | '.join(cells)} |", flush=True)


@torch.inference_mode()
def _cell(method: Method, pairs: Sequence[tuple[TiledScene, Tensor]], ratio: float, crisp_pan: bool) -> str:
    found = []
    for pair, truth in pairs:
        scene = crisp_for(method, pair) if crisp_pan else pair
        fused = fuse_scene(method, scene, method.fit(scene))
        figures = compare_images(fused, truth, _PEAK, ratio)
        found.append((figures.psnr, figures.sam, sharpness(fused, truth)))
    return " / ".join(f"{fmean(column):.2f}" for column in zip(*found, strict=True))


if __name__ == "__main__":
    main()
