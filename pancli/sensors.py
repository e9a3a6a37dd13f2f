"""Sensors as data: how sharp each band is, and how many bits it counts in.

The gains are the modulation transfer function at the ms Nyquist frequency, per ms band in the order
given, and for pan. Sources: Vivone et al., "A critical comparison among pansharpening algorithms", IEEE
TGRS 2015, and its 2021 sequel (QuickBird, IKONOS, GeoEye-1, WorldView-2/3/4); Lee et al., "On-orbit
characterization of the Landsat 8 OLI MTF", 2014.
"""

from __future__ import annotations

from dataclasses import dataclass

from pancli.errors import UsageError


@dataclass(frozen=True, slots=True)
class Sensor:
    """What a method needs to know of an instrument.

    Attributes:
        name: As given to ``--sensor``.
        ms_gains: MTF at the ms Nyquist, one per band in delivery order; a scene with another number
            of bands gets their mean for each.
        pan_gain: MTF of pan at the ms Nyquist's pan-side equivalent, as the toolboxes list it.
        bits: Bits per sample of the usual product, or None.
    """

    name: str
    ms_gains: tuple[float, ...]
    pan_gain: float
    bits: int | None = None

    def gains(self, bands: int) -> tuple[float, ...]:
        """One Nyquist gain per ms band."""
        if bands == len(self.ms_gains):
            return self.ms_gains
        return (sum(self.ms_gains) / len(self.ms_gains),) * bands


GENERIC = Sensor("generic", (0.3,), 0.15)

SENSORS: dict[str, Sensor] = {
    sensor.name: sensor
    for sensor in (
        GENERIC,
        Sensor("quickbird", (0.34, 0.32, 0.30, 0.22), 0.15, 11),
        Sensor("ikonos", (0.26, 0.28, 0.29, 0.28), 0.17, 11),
        Sensor("geoeye1", (0.23,) * 4, 0.16, 11),
        Sensor("worldview2", (0.35,) * 7 + (0.27,), 0.11, 11),
        Sensor("worldview3", (0.325, 0.355, 0.36, 0.35, 0.365, 0.36, 0.335, 0.315), 0.14, 11),
        Sensor("worldview4", (0.23,) * 4, 0.16, 11),
        Sensor("gaofen2", (0.3,) * 4, 0.15, 10),
        Sensor("pleiades", (0.3,) * 4, 0.15, 12),
        Sensor("spot6", (0.3,) * 4, 0.15, 12),
        Sensor("landsat7", (0.3,), 0.15, 8),
        Sensor("landsat8", (0.55, 0.55, 0.55, 0.53), 0.15, 12),
    )
}


def find_sensor(name: str) -> Sensor:
    """The sensor of that name (case, spaces and hyphens do not matter).

    Raises:
        UsageError: No such sensor; the message lists the known ones.
    """
    key = name.lower().replace("-", "").replace("_", "").replace(" ", "")
    if key not in SENSORS:
        raise UsageError(f"unknown sensor '{name}'; known: {', '.join(sorted(SENSORS))}")
    return SENSORS[key]
