"""Lists of scenes: CSV with a header, JSON Lines, or plain columns.

Which it is, the first line tells. A list is read and checked whole before anything runs. Blank lines are
skipped; there are no comments. Relative names are relative to the working directory, as on the command line.

- CSV: columns ``pan``, ``ms`` and ``out``, in any order; other columns are left alone. Several ms files are
  several columns (``ms`` again, or ``ms1``, ``ms2``, ...) or one field with ``;`` between them.
- JSON Lines: ``{"pan": "p.tif", "ms": "m.tif" or ["b2.tif", "b3.tif"], "out": "o.tif"}``; other keys are left
  alone, and names are taken to the letter.
- Plain: pan, ms (several with ``;`` between them) and, or not, out. Where a line has a tab, tabs are what
  separates, and names may have spaces.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pancli.batch.entries import Entry, Naming
from pancli.errors import UsageError

_MS_COLUMN = re.compile(r"ms\d*")


@dataclass(frozen=True)
class _Row:
    """What one line says."""

    line: int
    pan: Any
    ms: Any
    out: Any


def read_list(text: str, label: str, naming: Naming) -> list[Entry]:
    """The scenes of a list.

    Args:
        text: The whole list.
        label: What to call it in messages.
        naming: Names outputs where the list does not.

    Raises:
        UsageError: A line cannot be understood; the message has its number.
    """
    text = text.removeprefix("\ufeff")
    return [_entry(row, label, naming) for row in _rows(text, label)]


def _rows(text: str, label: str) -> Iterator[_Row]:
    first = next((line for line in text.split("\n") if line.strip()), "")
    if first.lstrip().startswith("{"):
        return _json_rows(text, label)
    if len(columns := _columns(first)) > 1 and "pan" in columns:
        return _csv_rows(text, label)
    return _plain_rows(text, label)


def _json_rows(text: str, label: str) -> Iterator[_Row]:
    for number, line in _lines(text):
        try:
            values = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise _refusal(label, number, f"is not JSON ({error})") from None
        if not isinstance(values, dict):
            raise _refusal(label, number, "is not a JSON object")
        ms = values.get("ms")
        yield _Row(number, values.get("pan"), [ms] if isinstance(ms, str) else ms, values.get("out"))


def _plain_rows(text: str, label: str) -> Iterator[_Row]:
    for number, line in _lines(text):
        tabs = "\t" in line
        parts = [part.strip() for part in line.split("\t")] if tabs else list(filter(None, line.split(" ")))
        if not 2 <= len(parts) <= 3:
            raise _refusal(
                label, number, f"has {len(parts)} fields where PAN MS [OUT] are wanted; {_hint(line, parts)}"
            )
        if [part.lower() for part in parts[:2]] == ["pan", "ms"]:
            raise _refusal(label, number, "is a header, which a list without commas has not; leave it out")
        yield _Row(number, parts[0], _several(parts[1]), parts[2] if len(parts) == 3 else None)


def _several(field: str) -> list[str]:
    """Files in one field."""
    return [name.strip() for name in field.split(";")]


def _hint(line: str, parts: list[str]) -> str:
    """What a line that is no plain one may have been meant as."""
    if line.startswith("["):
        return "if this is JSON, put one object on a line"
    if len(parts) == 1 and ("," in line or ";" in line):
        return "if this is CSV, separate by commas and begin it with the line pan,ms,out"
    return "separate names that have spaces by tabs, or use CSV or JSON Lines"


def _csv_rows(text: str, label: str) -> Iterator[_Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, skipinitialspace=True)
    header: list[str] = []
    while True:
        try:
            fields = [field.strip() for field in next(reader)]
        except StopIteration:
            return
        except csv.Error as error:
            raise _refusal(label, reader.line_num, f"is not CSV ({error})") from None
        if not any(fields):
            continue
        if not header:
            header = _check_header([field.lower() for field in fields], label, reader.line_num)
            continue
        if len(fields) != len(header):
            raise _refusal(
                label, reader.line_num, f"has {len(fields)} fields, but the header has {len(header)}"
            )
        pairs = list(zip(header, fields, strict=True))
        ms = [name for column, field in pairs if _MS_COLUMN.fullmatch(column) for name in _several(field)]
        values = dict(pairs)
        yield _Row(reader.line_num, values["pan"], list(filter(None, ms)), values.get("out"))


def _check_header(header: list[str], label: str, number: int) -> list[str]:
    if not any(_MS_COLUMN.fullmatch(column) for column in header):
        raise _refusal(label, number, f"is a header without a column ms; it has {', '.join(header)}")
    for column in ("pan", "out"):
        if header.count(column) > 1:
            raise _refusal(label, number, f"is a header with {header.count(column)} columns {column}")
    return header


def _columns(line: str) -> list[str]:
    return [field.strip().strip('"').lower() for field in line.split(",")]


def _lines(text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield number, line.removesuffix("\r")


def _entry(row: _Row, label: str, naming: Naming) -> Entry:
    """The entry of a row, once all of it is known to be names."""
    if not _is_name(row.pan):
        raise _refusal(label, row.line, "names no pan")
    if not isinstance(row.ms, list) or not row.ms or not all(map(_is_name, row.ms)):
        raise _refusal(label, row.line, "names no ms, or an empty one")
    if row.out is not None and not isinstance(row.out, str):
        raise _refusal(label, row.line, f"has an out that is no name: {row.out}")
    output = row.out or naming.name(row.pan)
    if output is None:
        raise _refusal(label, row.line, "names no output; give a third column (out), or --out-dir")
    if not _can_be_called(output):
        raise _refusal(label, row.line, "has an out that no file can be called")
    return Entry(row.pan, tuple(row.ms), output, row.line)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and value.strip() != "" and _can_be_called(value)


def _can_be_called(name: str) -> bool:
    try:
        return b"\0" not in os.fsencode(name)
    except UnicodeEncodeError:  # half of a pair, as JSON can say it
        return False


def _refusal(label: str, number: int, what: str) -> UsageError:
    return UsageError(f"{label}, line {number}: {what}")
