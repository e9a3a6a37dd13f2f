"""Sensors as data: their bands, how sharp each is, how large its pixels are, how many bits it counts in.

Gains are the modulation transfer function at the Nyquist frequency of the images as delivered: what is left
there of the ground's contrast. They follow the public MATLAB toolboxes of Vivone et al., "A critical
comparison among pansharpening algorithms", IEEE TGRS 2015, and "A new benchmark based on recent advances in
multispectral pansharpening", IEEE GRSM 2021. Bands, pixels and bits follow the operators' own data sheets;
a band's range is the nominal one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from pancli.errors import UsageError

_TOOLBOX = "toolboxes of Vivone et al. 2015 and 2021"
_ASSUMED = "assumed: no measurement is published; 0.3 and 0.15 are the toolboxes' defaults"


@dataclass(frozen=True, slots=True)
class SpectralBand:
    """A name, the wavelengths in nm between which a band sees, and what files call it, where by a number."""

    name: str
    low: float
    high: float
    designation: str | None = None


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a method needs to know of an instrument, and where each number comes from.

    Attributes:
        name: As given to ``--sensor``.
        ms_gains: MTF at the ms Nyquist, one per band in delivery order; a scene with another number
            of bands gets their mean for each.
        pan_gain: MTF of pan at its own Nyquist.
        bits: Bits per sample of the usual product, or None.
        bands: The ms bands in the order of ``ms_gains``; empty for no sensor in particular.
        pan_range: Wavelengths in nm that pan sees, (low, high), or None.
        pan_gsd: Side of a pan pixel on the ground, metres, looking straight down; or None.
        ms_gsd: The same for ms.
        gains_source: Where the gains come from.
        bands_source: Where bands, pixels and bits come from.
    """

    name: str
    ms_gains: tuple[float, ...]
    pan_gain: float
    bits: int | None = None
    bands: tuple[SpectralBand, ...] = ()
    pan_range: tuple[float, float] | None = None
    pan_gsd: float | None = None
    ms_gsd: float | None = None
    gains_source: str = _ASSUMED
    bands_source: str = ""

    @property
    def ratio(self) -> float | None:
        """Pan pixels per ms pixel, or None."""
        if self.pan_gsd is None or self.ms_gsd is None:
            return None
        return self.ms_gsd / self.pan_gsd

    def gains(self, bands: int) -> tuple[float, ...]:
        """One Nyquist gain per ms band."""
        return self.ms_gains if bands == len(self.ms_gains) else self._mean_gains(bands)

    def _mean_gains(self, bands: int) -> tuple[float, ...]:
        return (sum(self.ms_gains) / len(self.ms_gains),) * bands

    def band_name(self, told: str | None) -> str:
        """What a file calls a band, in small letters; the sensor's own name, if that is its designation.

        >>> find_sensor("landsat8").band_name("B4"), find_sensor("landsat7").band_name("B4")
        ('red', 'nir')
        """
        plain = (told or "").strip().lower()
        return next((band.name for band in self.bands if band.designation == plain), plain)

    def named_gains(self, names: Sequence[str | None]) -> tuple[float, ...] | None:
        """The gain of each band by :meth:`band_name`, or None where one is not the sensor's.

        >>> find_sensor("quickbird").named_gains(["nir", "Red"])
        (0.22, 0.3)
        """
        known = dict(zip((band.name for band in self.bands), self.gains(len(self.bands)), strict=True))
        found = [known.get(self.band_name(name)) for name in names]
        gains = tuple(gain for gain in found if gain is not None)
        return gains if len(gains) == len(found) else None

    def told_gains(
        self, names: Sequence[str | None], numbers: Sequence[int], available: int
    ) -> tuple[float, ...] | None:
        """The gains of the bands that were taken, or None where it cannot be told which they are.

        Args:
            names: Of the bands; where all are the sensor's own, these tell.
            numbers: Else their places, from 1, where the image has as many bands as the sensor.
            available: How many that are.
        """
        gains = self.named_gains(names)
        if gains is None and available == len(self.ms_gains):
            gains = tuple(self.ms_gains[number - 1] for number in numbers)
        return gains

    def of_bands(self, names: Sequence[str | None], numbers: Sequence[int], available: int) -> Sensor:
        """The sensor with the gains of the bands that were taken; the mean for each where it cannot be told.

        Args:
            names: As :meth:`told_gains` takes them.
            numbers: The same.
            available: The same.

        >>> find_sensor("quickbird").of_bands([None, None], [4, 1], 4).gains(2)
        (0.22, 0.34)
        """
        gains = self.told_gains(names, numbers, available)
        return replace(self, ms_gains=self._mean_gains(len(numbers)) if gains is None else gains)

    def doubts(self, names: Sequence[str | None], numbers: Sequence[int], available: int) -> list[str]:
        """A warning where :meth:`of_bands` takes the mean of gains that differ.

        Args:
            names: As :meth:`told_gains` takes them.
            numbers: The same.
            available: The same.
        """
        if len(set(self.ms_gains)) == 1 or self.told_gains(names, numbers, available) is not None:
            return []
        (mean,) = self._mean_gains(1)
        return [
            f"{self.name} has {len(self.ms_gains)} bands but MS has {available}, not named as its own; "
            f"their mean gain {mean:.3g} is taken for each"
        ]


def _four(*edges: tuple[float, float]) -> tuple[SpectralBand, ...]:
    names = ("blue", "green", "red", "nir")
    return tuple(SpectralBand(name, *edge) for name, edge in zip(names, edges, strict=True))


def _landsat(first: int, *edges: tuple[float, float]) -> tuple[SpectralBand, ...]:
    """Designated as in the names of USGS's files (``_B2.TIF``), from the number of blue on."""
    return tuple(replace(band, designation=f"b{first + i}") for i, band in enumerate(_four(*edges)))


def _red_first(*edges: tuple[float, float]) -> tuple[SpectralBand, ...]:
    """As Airbus' files have them, by Orfeo ToolBox 7, metadata interfaces of Pléiades and SPOT 6."""
    blue, green, red, nir = _four(*edges)
    return red, green, blue, nir


_GEOEYE = _four((450, 510), (510, 580), (655, 690), (780, 920))
_WORLDVIEW = (
    SpectralBand("coastal", 400, 450),
    SpectralBand("blue", 450, 510),
    SpectralBand("green", 510, 580),
    SpectralBand("yellow", 585, 625),
    SpectralBand("red", 630, 690),
    SpectralBand("red edge", 705, 745),
    SpectralBand("nir", 770, 895),
    SpectralBand("nir2", 860, 1040),
)

GENERIC = Sensor("generic", (0.3,), 0.15)

SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        GENERIC,
        Sensor(
            name="quickbird",
            ms_gains=(0.34, 0.32, 0.30, 0.22),
            pan_gain=0.15,
            bits=11,
            bands=_four((450, 520), (520, 600), (630, 690), (760, 900)),
            pan_range=(450, 900),
            pan_gsd=0.61,
            ms_gsd=2.44,
            gains_source=_TOOLBOX,
            bands_source="DigitalGlobe, QuickBird data sheet",
        ),
        Sensor(
            name="ikonos",
            ms_gains=(0.26, 0.28, 0.29, 0.28),
            pan_gain=0.17,
            bits=11,
            bands=_four((445, 516), (506, 595), (632, 698), (757, 853)),
            pan_range=(526, 929),
            pan_gsd=0.82,
            ms_gsd=3.28,
            gains_source=_TOOLBOX,
            bands_source="GeoEye, IKONOS product guide",
        ),
        Sensor(
            name="geoeye1",
            ms_gains=(0.23,) * 4,
            pan_gain=0.16,
            bits=11,
            bands=_GEOEYE,
            pan_range=(450, 800),
            pan_gsd=0.41,
            ms_gsd=1.64,
            gains_source=_TOOLBOX,
            bands_source="DigitalGlobe, GeoEye-1 data sheet",
        ),
        Sensor(
            name="worldview2",
            ms_gains=(0.35,) * 7 + (0.27,),
            pan_gain=0.11,
            bits=11,
            bands=_WORLDVIEW,
            pan_range=(450, 800),
            pan_gsd=0.46,
            ms_gsd=1.84,
            gains_source=_TOOLBOX,
            bands_source="DigitalGlobe, WorldView-2 data sheet",
        ),
        Sensor(
            name="worldview3",
            ms_gains=(0.325, 0.355, 0.36, 0.35, 0.365, 0.36, 0.335, 0.315),
            pan_gain=0.14,
            bits=11,
            bands=_WORLDVIEW,
            pan_range=(450, 800),
            pan_gsd=0.31,
            ms_gsd=1.24,
            gains_source=_TOOLBOX,
            bands_source="DigitalGlobe, WorldView-3 data sheet",
        ),
        Sensor(
            name="worldview4",
            ms_gains=(0.23,) * 4,
            pan_gain=0.16,
            bits=11,
            bands=_GEOEYE,
            pan_range=(450, 800),
            pan_gsd=0.31,
            ms_gsd=1.24,
            gains_source=f"{_TOOLBOX}, which give it those of GeoEye-1; others give WorldView-3's",
            bands_source="DigitalGlobe, WorldView-4 data sheet",
        ),
        Sensor(
            name="gaofen2",
            ms_gains=(0.3,) * 4,
            pan_gain=0.15,
            bits=10,
            bands=_four((450, 520), (520, 590), (630, 690), (770, 890)),
            pan_range=(450, 900),
            pan_gsd=0.81,
            ms_gsd=3.24,
            bands_source="China Centre for Resources Satellite Data and Application, Gaofen-2 specification",
        ),
        Sensor(
            name="pleiades",
            ms_gains=(0.3,) * 4,
            pan_gain=0.15,
            bits=12,
            bands=_red_first((430, 550), (490, 610), (600, 720), (750, 950)),
            pan_range=(480, 830),
            pan_gsd=0.7,
            ms_gsd=2.8,
            bands_source="Astrium, Pléiades imagery user guide; products are delivered at 0.5 and 2 m",
        ),
        Sensor(
            name="spot6",
            ms_gains=(0.3,) * 4,
            pan_gain=0.15,
            bits=12,
            bands=_red_first((450, 520), (530, 590), (625, 695), (760, 890)),
            pan_range=(450, 745),
            pan_gsd=1.5,
            ms_gsd=6.0,
            bands_source="Astrium, SPOT 6 and SPOT 7 imagery user guide; pixels as delivered",
        ),
        Sensor(
            name="landsat7",
            ms_gains=(0.3,) * 4,
            pan_gain=0.15,
            bits=8,
            bands=_landsat(1, (450, 520), (520, 600), (630, 690), (770, 900)),
            pan_range=(520, 900),
            pan_gsd=15.0,
            ms_gsd=30.0,
            bands_source="USGS, Landsat 7 ETM+ band designations",
        ),
        Sensor(
            name="landsat8",
            ms_gains=(0.55, 0.55, 0.55, 0.53),
            pan_gain=0.15,
            bits=16,
            bands=_landsat(2, (452, 512), (533, 590), (636, 673), (851, 879)),
            pan_range=(503, 676),
            pan_gsd=15.0,
            ms_gsd=30.0,
            gains_source="Lee et al., On-orbit characterization of the Landsat 8 OLI MTF, 2014; pan assumed",
            bands_source="USGS, Landsat 8 OLI band designations, bands 2 to 5 and 8",
        ),
    )
}


# Built alike, as their operators say; OLI-2 sends 14 bits where OLI sent 12, and products of both have 16.
SENSORS["spot7"] = replace(SENSORS["spot6"], name="spot7")
SENSORS["landsat9"] = replace(SENSORS["landsat8"], name="landsat9")


def find_sensor(name: str) -> Sensor:
    """The sensor of that name (case, spaces and hyphens do not matter).

    Raises:
        UsageError: No such sensor; the message lists the known ones.
    """
    key = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if key not in SENSORS:
        raise UsageError(f"unknown sensor '{name}'; known: {', '.join(sorted(SENSORS))}")
    return SENSORS[key]
