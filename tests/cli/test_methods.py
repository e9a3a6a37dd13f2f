"""``pancli methods`` as a user types it."""

import json

import pytest
from rich.console import Console

from pancli.cli import methods
from tests.programs import pancli


def run(*arguments):
    return pancli("methods", *arguments)


@pytest.fixture(scope="module")
def rows():
    return json.loads(run("--json").stdout)


def test_where_nobody_looks_a_method_is_one_line(rows):
    head, *lines = run().stdout.splitlines()
    assert head.split()[-2:] == ["good", "for"]
    assert len(lines) == len(rows)
    for line, row in zip(lines, rows, strict=True):
        assert line.startswith(row["name"])
        assert line.rstrip().endswith(row["summary"])


@pytest.mark.parametrize("width", [60, 80, 130])
def test_a_narrow_terminal_folds_and_drops_nothing(monkeypatch, rows, width):
    monkeypatch.setattr(methods, "wide_console", lambda _: Console(width=width))
    printed = run().stdout
    assert "…" not in printed
    assert max(map(len, printed.splitlines())) <= width
    for row in rows:
        assert all(word in printed for word in row["summary"].split() if len(word) < 20)
