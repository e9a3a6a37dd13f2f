"""Scenes found in folders, as they are commonly delivered.

A scene of which a file is missing is an entry all the same: it fails by that file's name instead of being
passed over.
"""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pancli.batch.entries import Entry, Naming
from pancli.errors import InputError

_LANDSAT = re.compile(
    r"(?P<scene>L[CEO]0?(?P<number>[789])\w*)(?<!_SR|_ST|_GM)_B\d+\w*(?P<suffix>\.tiff?)", re.IGNORECASE
)
"""Not the reflectances and temperatures of Level 2, which has no pan, nor gap masks."""
_LANDSAT_PAN = "B8"
_LANDSAT_MS = {"7": ("B1", "B2", "B3", "B4"), "8": ("B2", "B3", "B4", "B5"), "9": ("B2", "B3", "B4", "B5")}
_PAIR = re.compile(r"(?!\.)(?P<scene>.+_)?(?P<word>pan|p)(?P<suffix>\.tiff?)", re.IGNORECASE)
_PARTNERS = {"p": "m", "P": "M", "pan": "ms", "PAN": "MS", "Pan": "Ms"}


def find_entries(folders: Sequence[Path], layout: str, naming: Naming) -> list[Entry]:
    """The scenes of a layout in folders and all below them, in the order of their paths.

    Args:
        folders: Where to look. Links to folders are not followed.
        layout: ``landsat``: scenes of Landsat 7, 8 and 9 with one file per band as USGS names them; pan is
            band 8, ms are blue, green, red and near infrared (L7: 1 to 4; L8, L9: 2 to 5), and their
            sensor is known; Level 2, which has no pan, is passed over. ``pairs``: ``X_P.tif`` with
            ``X_M.tif``, ``X_PAN.tif`` with ``X_MS.tif``, ``pan.tif`` with ``ms.tif``, in either case; hidden
            files are none.
        naming: Names the outputs; a scene's stem is its identifier, or what comes before ``_P`` or ``_PAN``,
            or the name of the folder.

    Raises:
        InputError: A folder cannot be read, or has no such scene.
    """
    found: dict[tuple[str, str], Entry] = {}  # folders may be given twice
    for folder in folders:
        entries = [entry for place, names in _walk(folder) for entry in LAYOUTS[layout](place, names, naming)]
        if not entries:
            raise InputError(f"{folder}: no scene of layout '{layout}' in it")
        found |= {
            (os.path.realpath(Path(entry.pan).parent), Path(entry.pan).name): entry for entry in entries
        }
    return list(found.values())


def _walk(folder: Path) -> Iterator[tuple[Path, list[str]]]:
    def refuse(error: OSError) -> None:
        raise InputError(f"{error.filename}: cannot be searched ({error.strerror})") from error

    for place, folders, names in os.walk(folder, onerror=refuse):
        folders.sort()
        yield Path(place), sorted(names)


def _landsat(place: Path, names: Sequence[str], naming: Naming) -> Iterator[Entry]:
    there = _spellings(names)
    scenes: dict[str, re.Match[str]] = {}
    for match in filter(None, map(_LANDSAT.fullmatch, names)):
        scenes.setdefault(match["scene"], match)
    for scene, match in scenes.items():
        pan, *ms = (
            str(place / _as_there(f"{scene}_{band}{match['suffix']}", there))
            for band in (_LANDSAT_PAN, *_LANDSAT_MS[match["number"]])
        )
        yield replace(_entry(pan, ms, scene, naming), sensor=f"landsat{match['number']}")


def _pairs(place: Path, names: Sequence[str], naming: Naming) -> Iterator[Entry]:
    there = _spellings(names)
    for match in filter(None, map(_PAIR.fullmatch, names)):
        before, word = match["scene"] or "", match["word"]
        if (partner := _PARTNERS.get(word)) is not None:
            ms = str(place / _as_there(f"{before}{partner}{match['suffix']}", there))
            stem = before.removesuffix("_") or place.absolute().name
            yield _entry(str(place / match[0]), [ms], stem, naming)


def _spellings(names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """The names of a folder by what they are in small letters: an archive may have 100,000 in one folder."""
    found = defaultdict(list)
    for name in names:
        found[name.lower()].append(name)
    return found


def _as_there(name: str, there: Mapping[str, Sequence[str]]) -> str:
    """A file's name as the folder has it, be it in other letters, lower or upper."""
    alike = there.get(name.lower(), [name])
    return name if name in alike else alike[0]


def _entry(pan: str, ms: Sequence[str], stem: str, naming: Naming) -> Entry:
    output = naming.name(pan, stem)
    if output is None:
        raise InputError("--layout finds inputs, not names for outputs; give --out-dir")
    return Entry(pan, tuple(ms), output)


LAYOUTS: dict[str, Callable[[Path, Sequence[str], Naming], Iterator[Entry]]] = {
    "landsat": _landsat,
    "pairs": _pairs,
}
"""What can be looked for."""
