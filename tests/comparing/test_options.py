from __future__ import annotations

import pytest

from pancli.comparing.options import CompareOptions, choose_methods
from pancli.errors import UsageError
from pancli.methods.registry import METHODS
from pancli.sharpening.catalog import method_names


def test_groups_are_spelled_out_and_every_name_comes_once():
    everything = choose_methods(["all"])
    assert everything == tuple(method_names())
    assert choose_methods(["classical"]) == tuple(METHODS)
    assert "exp" in METHODS
    networks = choose_methods(["networks"])
    assert networks
    assert set(networks) == set(everything) - set(METHODS) - {"gdal"}
    assert choose_methods(["gsa", "classical", "gsa"]) == ("gsa", *(m for m in METHODS if m != "gsa"))


def test_every_method_is_measured_as_it_comes_and_with_back_projection_where_that_is_asked_for():
    plain = CompareOptions(["gsa"])
    assert [(e.label, e.back_project) for e in plain.entrants()] == [("gsa", None)]
    without = CompareOptions(["gsa"], back_project=0)
    assert [(e.label, e.back_project) for e in without.entrants()] == [("gsa", 0)]
    both = CompareOptions(["gsa", "exp"], back_project=3)
    assert [e.label for e in both.entrants()] == ["gsa", "gsa+bp3", "exp", "exp+bp3"]
    assert [both.sharpening(e, both.pair).back_project for e in both.entrants()] == [None, 3, None, 3]


@pytest.mark.parametrize("names", [["gsa", "sharper"], [""], []])
def test_an_unknown_name_is_answered_with_the_known(names):
    with pytest.raises(UsageError) as caught:
        CompareOptions(methods=names)
    for word in ("classical", *method_names()):
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"back_project": 6}, "--back-project 6: must be from 0 to 5"),
        ({"ratio": 4.0}, "--ratio goes with --reduced"),
        ({"reduced": True, "reference": "truth.tif"}, "leave out --reduced or --reference"),
        ({"reduced": True, "coregister": "auto"}, "use --coregister pan"),
        ({"coregister": "atuo"}, "--coregister atuo: must be none, auto, pan"),
        ({"reduced": True, "coregister": "atuo"}, "--coregister atuo: must be none, auto, pan"),
        ({"reduced": True, "ratio": 1.0}, "--ratio 1"),
        ({"sensor": "sputnik"}, "sputnik"),
        ({"device": "tpu"}, "--device tpu"),
        ({"block": 1}, "--block 1"),
        ({"peak": -1.0}, "--peak -1"),
    ],
)
def test_what_no_method_could_do_is_refused_at_once(options, message):
    with pytest.raises(UsageError, match=message):
        CompareOptions(**options)
