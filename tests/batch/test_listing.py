"""Three ways to write the same list, and lines that are none."""

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pancli.batch.entries import Entry, Naming
from pancli.batch.listing import read_list
from pancli.errors import UsageError

WANTED = [("p1.tif", ("a.tif", "b.tif"), "o1.tif"), ("p2.tif", ("c.tif",), "o2.tif")]
JSON = """{"pan": "p1.tif", "ms": ["a.tif", "b.tif"], "out": "o1.tif"}
{"ms": "c.tif", "pan": "p2.tif", "out": "o2.tif"}"""


def parse(text, naming=None):
    return read_list(text, "list", naming or Naming())


def names(found):
    return [(e.pan, e.ms, e.output) for e in found]


@pytest.mark.parametrize(
    "text",
    [
        "pan,ms,out\np1.tif,a.tif;b.tif,o1.tif\np2.tif,c.tif,o2.tif\n",
        "\ufeffOut, MS, Date, Pan\r\no1.tif, a.tif;b.tif, 2020, p1.tif\r\n\r\no2.tif,c.tif,,p2.tif\r\n",
        '"pan",ms1,ms2,out\n"p1.tif",a.tif,b.tif,o1.tif\np2.tif,c.tif,,o2.tif',
        "pan,ms,ms,out\np1.tif,a.tif,b.tif,o1.tif\np2.tif,,c.tif,o2.tif",
        JSON,
        "\n" + JSON.replace("\n", "\r\n\n"),
        "pan,ms,out\np1.tif,a.tif; b.tif,o1.tif\np2.tif, c.tif ;,o2.tif",
        "p1.tif\ta.tif ; b.tif\to1.tif\np2.tif\tc.tif\to2.tif",
        "p1.tif a.tif;b.tif o1.tif\n\n  p2.tif\t c.tif \to2.tif\n",
        "p1.tif   a.tif;b.tif\to1.tif\n".replace("   ", "\t") + "p2.tif    c.tif  o2.tif",
    ],
)
def test_lists_that_mean_the_same(text):
    assert names(parse(text)) == WANTED


@pytest.mark.parametrize("columns", ["ms,ms", "ms2,ms1", "ms9,ms10"])
def test_ms_columns_are_stacked_as_they_stand(columns):
    (entry,) = parse(f"pan,{columns},out\np.tif,z.tif,a.tif,o.tif")
    assert entry.ms == ("z.tif", "a.tif")


def test_lines_are_counted_as_an_editor_does():
    assert [e.line for e in parse("\npan,ms,out\n\na,b,c\n\nd,e,f\n")] == [4, 6]
    assert [e.line for e in parse("\n\na b c\n\nd e f")] == [3, 5]


def test_what_names_no_output_is_named():
    naming = Naming(Path("out"))
    for text in (
        "x/p.tif m.tif\ny/q.tif m.tif mine.tif",
        "pan,ms,out\nx/p.tif,m.tif,\ny/q.tif,m.tif,mine.tif",
    ):
        assert [e.output for e in parse(text, naming)] == ["out/p.tif", "mine.tif"]


def test_names_are_names():
    odd = [
        "$(touch pwned).tif",
        "a;b|c&d.tif",
        "../../e*?[x].tif",
        "`id`",
        "~/f.tif",
        "g h,i\n.tif",
        "\udce9.tif",
    ]
    lines = "\n".join(json.dumps({"pan": name, "ms": name, "out": "o" + name}) for name in odd)
    assert names(parse(lines)) == [(name, (name,), "o" + name) for name in odd]
    spaced = "two words.tif\t$HOME.tif\t-o.tif"
    assert names(parse(spaced)) == [("two words.tif", ("$HOME.tif",), "-o.tif")]
    assert names(parse("a\u2028\u00a0b m o\x0bo")) == [("a\u2028\u00a0b", ("m",), "o\x0bo")]
    assert names(parse("pan,ms,out\na\u2028a,b\x0bb,c\x1c.")) == [("a\u2028a", ("b\x0bb",), "c\x1c.")]
    assert names(parse('pan,ms,out\n"a,band=2",b,"c\n.tif"')) == [("a,band=2", ("b",), "c\n.tif")]


@given(
    rows=st.lists(
        st.tuples(
            st.text(min_size=1), st.lists(st.text(min_size=1), min_size=1, max_size=3), st.text(min_size=1)
        ),
        max_size=4,
    )
)
def test_whatever_json_can_say_comes_back_or_is_refused(rows):
    text = "\n".join(json.dumps({"pan": p, "ms": m, "out": o}) for p, m, o in rows)
    if any("\0" in n or not n.strip() for p, m, o in rows for n in (p, *m, "o" + o)):
        with pytest.raises(UsageError, match="list, line "):
            parse(text)
    else:
        assert parse(text) == [Entry(p, tuple(m), o, n) for n, (p, m, o) in enumerate(rows, start=1)]


@given(st.text())
def test_any_text_is_a_list_or_is_refused(text):
    with suppress(UsageError):
        assert all(e.pan and e.ms and e.output for e in parse(text))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a b c\nalone", "list, line 2: has 1 fields where PAN MS"),
        ("a b c\n\na b c d", "list, line 3: has 4 fields"),
        (
            "a.tif,b.tif,c.tif",
            "if this is CSV, separate by commas and begin it with the line pan,ms,out",
        ),
        ("pan;ms;out\na;b;c", "[OUT] are wanted; if this is CSV, separate by commas"),
        ("pan\tms\tout\na\tb\tc", "line 1: is a header, which a list without commas has not"),
        ("PAN MS\na b", "line 1: is a header, which a list without commas has not"),
        (
            '[{"pan":"a","ms":"b"}]',
            "where PAN MS [OUT] are wanted; if this is JSON, put one",
        ),
        ('[\n {"pan": "a", "ms": "b"}\n]', "wanted; if this is JSON, put one object on a line"),
        ('{"pan": "a", "ms": ' + "[" * 100_000, "line 1: is not JSON"),
        ("a b", "list, line 1: names no output; give a third column"),
        ("a\t\tc", "list, line 1: names no ms"),
        ("a b; c", "line 1: names no ms, or an empty one"),
        ("pan,ms,out\na,b", "line 2: has 2 fields, but the header has 3"),
        ("pan,ms,out\na,b,c\n,b,c", "line 3: names no pan"),
        ("pan,ms,out\na,;,c", "line 2: names no ms"),
        ("pan,out\na,b", "line 1: is a header without a column ms; it has pan, out"),
        ("pan,pan,ms\na,b,c", "line 1: is a header with 2 columns pan"),
        ('pan,ms,out\n"a"b,c,d', "line 2: is not CSV"),
        ('{"pan": "a", "ms": "b", "out": "c"}\n{"pan": "a"', "line 2: is not JSON"),
        ('{"pan": "a", "ms": "b", "out": "c"}\n[]', "line 2: is not a JSON object"),
        ('{"pan": 1, "ms": "b", "out": "c"}', "line 1: names no pan"),
        ('{"pan": "a", "ms": [], "out": "c"}', "line 1: names no ms"),
        ('{"pan": "a", "ms": ["b", null], "out": "c"}', "line 1: names no ms"),
        ('{"pan": "a", "ms": "b", "out": ["c"]}', "line 1: has an out that is no name"),
        ('{"pan": "a", "ms": "b", "out": "\\u0000"}', "line 1: has an out that no file"),
    ],
)
def test_a_line_that_is_none_is_refused_by_its_number(text, says):
    with pytest.raises(UsageError) as refusal:
        parse(text)
    assert says in str(refusal.value)


def test_an_empty_list_is_empty():
    assert parse("") == parse("\n \n") == parse("pan,ms,out\n") == []


def test_names_that_no_file_can_have_are_refused_with_their_line():
    for line in ('{"pan": "\\ud800", "ms": "b", "out": "c"}', '{"pan": "a", "ms": "b", "out": "\\ud800"}'):
        with pytest.raises(UsageError, match="list, line 1: (names no pan|has an out)"):
            read_list(line, "list", Naming())
