"""What a batch is to make: entries, how their outputs are named, and which of them are a shard's."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pancli.errors import OutputError, UsageError
from pancli.raster.commit import SIDECARS, check_tiff_name, names_folder
from pancli.raster.names import SourceName, files_read
from pancli.sharpening import SharpenOptions
from pancli.sharpening.beside import names_beside

_FIELD = re.compile(r"\{(\w*)\}")


@dataclass(frozen=True)
class Entry:
    """One scene of a batch. Names are handed on as they are; no shell and no pattern ever reads them.

    Attributes:
        pan: Path, URI, or ``path,band=N``.
        ms: One or more of the same, stacked in this order.
        output: The file to be made.
        line: Where the list has it, from 1; None where there is no list.
        sensor: That took it, where a layout tells; None where nothing does.
    """

    pan: str
    ms: tuple[str, ...]
    output: str
    line: int | None = None
    sensor: str | None = None

    @property
    def where(self) -> str:
        """For messages."""
        return self.output if self.line is None else f"line {self.line}"


@dataclass(frozen=True)
class Naming:
    """How outputs are named that have no name.

    Attributes:
        folder: Where they go; None where every entry must name its own.
        template: Their name: ``{stem}`` is that of the pan file (or of the scene, where a layout found it),
            ``{folder}`` the name of the folder that pan is in.

    Raises:
        UsageError: The template has other fields, or names no file.
    """

    folder: Path | None = None
    template: str = "{stem}.tif"

    def __post_init__(self) -> None:
        odd = sorted(set(_FIELD.findall(self.template)) - {"stem", "folder"})
        if odd or "/" in self.template or not self.template:
            raise UsageError(
                f"--out-name '{self.template}': must be a file name; {{stem}} and {{folder}} may stand in it"
            )

    def name(self, pan: str, stem: str | None = None) -> str | None:
        """The output of an entry without one; None where there is no folder for it."""
        if self.folder is None:
            return None
        path = Path(SourceName.parse(pan).path)
        fields = {"stem": path.stem if stem is None else stem, "folder": path.absolute().parent.name}
        return str(self.folder / _FIELD.sub(lambda match: fields[match[1]], self.template))


@dataclass(frozen=True)
class Shard:
    """Every ``count``-th entry from the ``index``-th on: each entry is in one shard."""

    index: int = 0
    count: int = 1

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``"0/3"``, ``"1/3"`` and ``"2/3"`` are the three shards of three.

        Raises:
            UsageError: Anything else.
        """
        match = re.fullmatch(r"(\d{1,18})/(\d{1,18})", text, re.ASCII)
        shard = cls(int(match[1]), int(match[2])) if match else cls(0, 0)
        if shard.index >= shard.count:
            raise UsageError(f"--shard {text}: must be I/N with I from 0 to N - 1")
        return shard

    def take(self, entries: Sequence[Entry]) -> list[Entry]:
        """The shard's part, in order."""
        return list(entries[self.index :: self.count])


def check_outputs(entries: Sequence[Entry], options: SharpenOptions) -> None:
    """Refuse a batch whose scenes would overwrite each other or what goes in.

    Raises:
        UsageError: Two entries have the same output, or files beside it, or one of these is also an input, or
            what one is made of; or an output has a folder's name, or one that no GeoTIFF can have.
    """
    outputs: dict[str, Entry] = {}
    for entry in entries:
        _check_name(entry)
        beside = (str(name) for name in names_beside(Path(entry.output), options) if name is not None)
        for name in (entry.output, *beside):
            if (other := outputs.setdefault(os.path.realpath(name), entry)) is not entry:
                raise UsageError(
                    f"{name} is to be made twice: {_both(other, entry)}; "
                    "name the outputs apart (where --out-dir names them: with --out-name)"
                )
    taken = outputs | {path + ending: entry for path, entry in outputs.items() for ending in SIDECARS}
    read: dict[str, Iterable[str]] = {}  # many scenes may be cut of one mosaic
    for entry in entries:
        for name in (entry.pan, *entry.ms):
            path = SourceName.parse(name).path
            if path not in read:
                read[path] = files_read([path], beside=False)
            for file in read[path]:
                if file in taken:
                    output = taken[file]
                    raise UsageError(f"{name} is an input ({entry.where}) and an output ({output.where})")


def _check_name(entry: Entry) -> None:
    if names_folder(entry.output):
        raise UsageError(f"{entry.output} ({entry.where}): names a folder; name a file in it")
    try:
        check_tiff_name(Path(entry.output))
    except OutputError as error:
        raise UsageError(f"{error} ({entry.where})") from error


def _both(first: Entry, second: Entry) -> str:
    if first.line is None or second.line is None:
        return f"from {first.pan} and from {second.pan}"
    return f"by line {first.line} and by line {second.line}"
