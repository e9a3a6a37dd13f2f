"""What real cameras see: bands and pan of seven sensors, as measured on the ground before launch.

Read off the relative spectral responses that operators publish, as collected with the toolbox of Vivone et
al., "A new benchmark based on recent advances in multispectral pansharpening", IEEE GRSM 2021: wavelengths
at half of a band's maximum, how steep its edges are, and pan's response every 50 nm. Where pan is not
published, or is a narrow one of a camera that is not like others', there is none.
"""

from __future__ import annotations

from dataclasses import dataclass

PAN_NODES = tuple(range(400, 1051, 50))
"""nm; where pan's response is given."""

_SOFT = 2.9  # exponent of edges that fall from 90 to 10 % over some 40 nm, as IKONOS' do
_STEEP = 8.7  # over some 10 nm, as WorldView's do


@dataclass(frozen=True, slots=True)
class MeasuredResponses:
    """One sensor.

    Attributes:
        bands: (low, high) of each band, nm, where its response is half its maximum.
        steepness: Of the bands' edges, as :func:`pancli.simulation.spectra.response` takes it.
        pan: Response at :data:`PAN_NODES`, relative to its maximum; empty where there is none.
    """

    bands: tuple[tuple[float, float], ...]
    steepness: float
    pan: tuple[float, ...] = ()


MEASURED = {
    "ikonos": MeasuredResponses(
        ((445, 516), (506, 595), (632, 698), (757, 853)),
        _SOFT,
        (0.03, 0.21, 0.36, 0.70, 0.97, 0.94, 0.92, 0.94, 0.90, 0.95, 0.71, 0.43, 0.20, 0.09),
    ),
    "quickbird": MeasuredResponses(
        ((447, 512), (499, 594), (620, 688), (755, 874)),
        _SOFT,
        (0.04, 0.22, 0.38, 0.71, 0.96, 0.92, 0.89, 0.93, 0.85, 0.84, 0.62, 0.37, 0.18, 0.05),
    ),
    "geoeye1": MeasuredResponses(
        ((453, 514), (513, 582), (660, 692), (781, 894)),
        _STEEP,
        (0.0, 0.17, 0.75, 0.86, 0.94, 0.98, 0.95, 0.88, 0.48, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    "worldview2": MeasuredResponses(
        ((401, 453), (447, 508), (511, 581), (588, 627), (629, 689), (704, 744), (772, 890), (862, 954)),
        _STEEP,
        (0.0, 0.11, 0.56, 0.70, 0.84, 0.94, 0.97, 0.96, 0.55, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    "worldview3": MeasuredResponses(
        ((402, 450), (451, 510), (511, 580), (584, 624), (630, 690), (704, 742), (771, 891), (862, 949)),
        _STEEP,
        (0.0, 0.20, 0.58, 0.73, 0.86, 0.95, 0.99, 0.97, 0.53, 0.0, 0.0, 0.0, 0.0, 0.0),
    ),
    "sentinel2": MeasuredResponses(
        (
            (433, 452),
            (460, 524),
            (543, 578),
            (649, 680),
            (697, 711),
            (734, 747),
            (773, 793),
            (782, 887),
            (854, 875),
            (935, 955),
            (1569, 1658),
            (2113, 2286),
        ),
        _STEEP,
    ),
    "ali": MeasuredResponses(
        (
            (431, 451),
            (451, 513),
            (529, 603),
            (631, 689),
            (775, 806),
            (843, 889),
            (1200, 1290),
            (1545, 1730),
            (2086, 2363),
        ),
        _STEEP,
    ),
}
"""By sensor."""
