"""No fusion at all: the ms image on the pan grid, the floor every method is measured against."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from pancli.methods.protocol import Contract, PairInfo, Scene, TileImage


@dataclass(frozen=True, slots=True)
class Interpolation:
    """Cubic convolution of ms, placed by its geotransform."""

    name: str
    contract: Contract

    def radius(self, info: PairInfo) -> int:
        """See :class:`pancli.methods.protocol.Method`."""
        return 0

    def fit(self, scene: Scene) -> None:
        """See :class:`pancli.methods.protocol.Method`; there is nothing to gather."""

    def fuse(self, image: TileImage, state: None) -> Tensor:
        """See :class:`pancli.methods.protocol.Method`."""
        return image.upsampled


EXP = Interpolation(
    "exp",
    Contract(
        summary="no sharpening: ms interpolated to the pan grid, the floor to compare against",
        source="Keys, Cubic convolution interpolation for digital image processing, IEEE TASSP 1981",
        whole_scene=False,
    ),
)
