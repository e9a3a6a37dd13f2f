from __future__ import annotations

import json

from pancli.checking import PairReport
from pancli.comparing.report import HIGHER_IS_BETTER, TITLES, CompareReport, MethodResult, csv_columns, rank


def row(method, **figures):
    return MethodResult(method, {"fit": 0.5, "fuse": 1.0, "total": 2.0}, 3.0, "cpu", figures)


def report(rows, mode="reduced"):
    ordered, key = rank(rows, mode)
    check = PairReport(files=())
    asked = "generic", 32, 2047.0, "2.5,-1", True
    return CompareReport(
        mode, "pan.tif", ("a.tif", "b.tif"), None, (8, 9), ordered, key, {}, check, *asked, ()
    )


FAILED = MethodResult("cnmf", error="too few bands")


def names(found):
    return [r.method for r in found.rows]


def test_rows_come_best_first_then_undefined_then_failed():
    rows = [FAILED, row("a", q2n=None), row("b", q2n=0.2), row("exp", q2n=0.5), row("c", q2n=0.9)]
    found = report(rows)
    assert names(found) == ["c", "exp", "b", "a", "cnmf"]
    assert found.ranked_by == "q2n"
    assert [r.method for r in found.succeeded] == ["c", "exp", "b", "a"]


def test_without_the_first_figure_the_next_one_ranks_the_other_way_round():
    found = report([row("a", q2n=None, ergas=3.0), row("b", q2n=None, ergas=2.0)])
    assert (names(found), found.ranked_by) == (["b", "a"], "ergas")
    found = report([row("a", qnr=0.7, rqnr=0.8), row("b", qnr=0.8, rqnr=0.7)], "full")
    assert (names(found), found.ranked_by) == (["a", "b"], "rqnr")


def test_without_any_figure_rows_stay_as_asked():
    found = report([FAILED, row("b"), row("a")])
    assert (names(found), found.ranked_by) == (["b", "a", "cnmf"], None)


def test_the_best_is_the_largest_or_the_smallest_and_never_the_baseline():
    rows = [row("exp", psnr=99.0, sam=0.0), row("a", psnr=30.0, sam=4.0), row("b", psnr=31.0, sam=5.0)]
    assert report(rows).best == {"psnr": "b", "sam": "a"}
    assert report([row("exp", psnr=99.0)]).best == {}


def test_interpolation_is_the_baseline_with_back_projection_too():
    rows = [row("exp", qnr=0.9), row("exp+bp2", qnr=0.99), row("gsa", qnr=0.8)]
    assert report(rows, "full").best == {"qnr": "gsa"}


def test_rows_for_csv_have_the_same_columns_whether_a_method_failed_or_not():
    good, bad = report([row("a", psnr=30.5, q2n=0.5), FAILED]).as_rows()
    assert list(good) == list(bad) == csv_columns("reduced")
    assert good["peak"] == "2047.0"
    assert (good["coregister"], good["crisp_pan"]) == ("2.5,-1", "true")
    assert set(HIGHER_IS_BETTER) < set(good)
    assert (good["method"], good["psnr"], good["seconds_total"], good["error"]) == ("a", "30.5", "2.0", "")
    assert (good["ms"], good["mode"], good["mpix_per_s"]) == ("a.tif b.tif", "reduced", "3.0")
    assert (bad["psnr"], bad["seconds_total"], bad["error"]) == ("", "", "too few bands")
    full = report([row("a", qnr=0.5)], "full").as_rows()[0]
    assert "qnr" in full
    assert "psnr" not in full


def test_the_object_is_json_and_says_which_is_best():
    found = json.loads(json.dumps(report([row("a", q2n=0.5, sam=1.0), FAILED]).as_dict(), allow_nan=False))
    assert [r["method"] for r in found["methods"]] == ["a", "cnmf"]
    assert found["methods"][0]["figures"] == {"q2n": 0.5, "sam": 1.0}
    assert (found["coregister"], found["crisp_pan"]) == ("2.5,-1", True)
    assert found["methods"][1]["error"] == "too few bands"
    assert found["best"] == {"sam": "a", "q2n": "a"}


def test_every_figure_has_a_title():
    assert set(TITLES) == set(HIGHER_IS_BETTER)
