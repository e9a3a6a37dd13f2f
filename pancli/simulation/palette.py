"""Materials as an instrument sees them: one colour per channel, varied from object to object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pancli.simulation.instruments import Instrument
from pancli.simulation.spectra import MATERIALS, WAVELENGTHS, skylight, sunlight

Vector = npt.NDArray[np.float32]

_NAMES = tuple(MATERIALS)
_LEVER = (WAVELENGTHS - 650.0) / 250.0
_DUST = ("loam", "dry grass", "grass", "worn asphalt", "sand")


@dataclass(frozen=True, slots=True)
class Palette:
    """The materials projected on pan and bands; every painted colour is a mixture of these rows.

    Attributes:
        colours: (materials, channels) reflectance weighted by response and sunlight, pan first.
        slopes: The same for each material's reflectance times (wavelength - 650 nm) / 250 nm: adding a
            little of it makes a redder or bluer variety.
        shadow: (channels,) light left in a shadow.
    """

    colours: Vector
    slopes: Vector
    shadow: Vector

    @classmethod
    def of(cls, instrument: Instrument, depth: float, dust: Sequence[float]) -> Palette:
        """What ``instrument`` sees.

        Args:
            instrument: Its responses weigh the spectra.
            depth: Light that shadows keep at 550 nm, about.
            dust: How much of loam, dry grass, grass, worn asphalt and sand lies on everything: outdoors
                nothing is pure, and purer colours contrast more than those of real scenes.
        """
        weights = instrument.responses() * sunlight()
        weights /= weights.sum(1, keepdims=True)
        curves = np.stack([MATERIALS[name] for name in _NAMES])
        layer = np.asarray(dust) @ curves[[_NAMES.index(name) for name in _DUST]]
        curves = (1.0 - sum(dust)) * curves + layer
        lever = np.clip(_LEVER, -1.0, 1.5)
        return cls(
            colours=np.asarray(curves @ weights.T, np.float32),
            slopes=np.asarray((curves * lever) @ weights.T, np.float32),
            shadow=np.asarray(np.clip(depth * (weights @ skylight()), 0.03, 0.9), np.float32),
        )

    def pure(self, name: str) -> Vector:
        """(channels,) the material as it is."""
        colour: Vector = self.colours[_NAMES.index(name)]
        return colour

    def pick(self, rng: np.random.Generator, names: Sequence[str], spread: float = 0.2) -> Vector:
        """(channels,) one object of a random material among ``names``.

        It differs from its class by brightness (relative deviation ``spread``), by slope, and by a trace of
        another material.
        """
        index = _NAMES.index(names[int(rng.integers(len(names)))])
        draw = rng.standard_normal(2)
        other = int(rng.integers(len(_NAMES)))
        trace = 0.12 * rng.random() ** 2
        colour = self.colours[index] + np.float32(0.12 * draw[0]) * self.slopes[index]
        gain = np.float32(np.exp(spread * draw[1]))
        mixed = (1 - trace) * np.maximum(colour, 0.002) + trace * self.colours[other]
        return np.asarray(gain * mixed, np.float32)
