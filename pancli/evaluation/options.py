"""What can be asked of an evaluation, as one frozen value."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from pathlib import Path

from pancli.errors import UsageError
from pancli.metrics.profiles import PROFILES, profiles_with
from pancli.raster.pair import Pair, PairOptions
from pancli.sensors import Sensor, find_sensor

_BLOCK = 32


@dataclass(frozen=True)
class EvaluateOptions:
    """Options of :func:`pancli.evaluation.evaluate`; the defaults are the program's.

    Attributes:
        sensor: Whose MTF to assume.
        mtf_gain: MTF at the ms Nyquist over the sensor's: one for all bands, or one per band.
        block: Side of the blocks and windows that quality indices are taken over, pan pixels.
        profile: Whose definitions: one of :data:`pancli.metrics.profiles.PROFILES`.
        peak: Largest digital number, for PSNR and SSIM; None for the sensor's, or 255 of 8-bit images.
        pair: Nodata, bands, reprojection.
        map_path: GeoTIFF of local distortions to write.
        overwrite: Replace an existing map.
        radians: SAM in radians, not degrees.
        device: ``auto`` (CUDA where there is one), ``cpu``, ``cuda`` or ``cuda:N``.
        tile: About the side of what is read at once, pan pixels; no number depends on it.
    """

    sensor: str = "generic"
    mtf_gain: tuple[float, ...] = ()
    block: int = _BLOCK
    profile: str = "pancli"
    peak: float | None = None
    pair: PairOptions = field(default_factory=PairOptions)
    map_path: Path | None = None
    overwrite: bool = False
    radians: bool = False
    device: str = "auto"
    tile: int = 512

    def __post_init__(self) -> None:
        if self.profile not in PROFILES:
            raise UsageError(f"--profile {self.profile}: must be one of {', '.join(PROFILES)}")
        if self.block < 2:
            raise UsageError(f"--block {self.block}: a block needs at least 2 x 2 pixels; 32 is usual")
        if self.tile < 1:
            raise UsageError(f"--tile {self.tile}: must be at least 1")
        if self.peak is not None and not (self.peak > 0 and math.isfinite(self.peak)):
            raise UsageError(f"--peak {self.peak:g}: must be a positive number, such as 2047 for 11 bits")
        for gain in self.mtf_gain:
            if not 0 < gain < 1:
                raise UsageError(f"--mtf-gain {gain:g}: must lie between 0 and 1")
        self._check_profile()

    def _check_profile(self) -> None:
        """Refuse what would be without effect."""
        given = {
            "--block": self.block != _BLOCK,
            "--mtf-gain": bool(self.mtf_gain),
            "--peak": self.peak is not None,
            "--map": self.map_path is not None,
            "--radians": self.radians,
        }
        for option, is_given in given.items():
            if is_given and option not in PROFILES[self.profile].takes:
                goes = profiles_with(option)
                raise UsageError(f"{option} does nothing with --profile {self.profile}; it goes with {goes}")

    def find_sensor(self, pair: Pair) -> Sensor:
        """The sensor with the gains of the pair's bands, or those given in their place.

        Raises:
            UsageError: No such sensor, or another number of gains than bands.
        """
        sensor = find_sensor(self.sensor)
        bands = len(pair.bands)
        if not self.mtf_gain:
            return sensor.of_bands(*pair.taken)
        if len(self.mtf_gain) not in (1, bands):
            raise UsageError(
                f"--mtf-gain has {len(self.mtf_gain)} gains but MS has {bands} bands; give 1 or {bands}"
            )
        return replace(sensor, ms_gains=self.mtf_gain)

    def doubts(self, pair: Pair) -> list[str]:
        """Warnings about the gains that :meth:`find_sensor` finds, where figures depend on them."""
        if self.mtf_gain or "--mtf-gain" not in PROFILES[self.profile].takes:
            return []
        return find_sensor(self.sensor).doubts(*pair.taken)
