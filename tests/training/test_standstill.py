"""A network whose validation figures do not move is warned of once, while there is time to stop."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from pancli.training import export
from pancli.training.loop import train
from pancli.training.notes import Metrics, Row
from pancli.training.reading import read_recipe
from pancli.training.recipe import Decay, Schedule
from pancli.training.standstill import standing, standstill
from pancli.training.validation import Figures
from tests.training.made import make_data, make_recipe

STILL = (30.0, 31.0)


def after(*figures):
    """Validations a hundred steps apart."""
    return [(100 * number, found) for number, found in enumerate(figures, start=1)]


@pytest.mark.parametrize(
    ("figures", "steps"),
    [
        ([STILL] * 4, 0),
        ([STILL] * 5, 400),
        ([STILL] * 6, 0),
        ([(29.0, 31.0)] + [STILL] * 5, 400),
        ([STILL] * 4 + [(30.03, 31.0)], 0),
        ([STILL] * 4 + [(30.0, 30.97)], 0),
        ([(30.0 + 0.019 * n, 31.0) for n in range(5)], 400),
        ([STILL] * 4 + [(float("nan"), 31.0)], 0),
        ([()] * 5, 0),
    ],
    ids=[
        "too soon",
        "now",
        "told",
        "after a move",
        "up",
        "another down",
        "hardly",
        "no number",
        "unmeasured",
    ],
)
def test_standing_still_is_noted_at_the_fourth_validation_that_moved_nothing(figures, steps):
    assert standing(after(*figures)) == steps


@pytest.fixture
def measured(tmp_path):
    """A run in which weights were measured a hundred steps apart; what is said after each validation."""

    def call(psnrs, decay, steps=1000, weights="tiny"):
        metrics = Metrics(tmp_path / "metrics.csv", ("real ratio 2",))
        networks = {weights: None} if weights else {}
        stage = SimpleNamespace(name="student", schedule=Schedule(steps, decay=decay), networks=networks)
        said = []
        for step, psnr in enumerate(psnrs, start=1):
            figures = {"real ratio 2": Figures(psnr, 1.0, 1.0, 1.0)}
            metrics.note(Row("student", 100 * step, 1.0, 0.1, weights, figures))
            metrics.note(Row("student", 100 * step, 1.0, 0.1, "another", figures))
            run: Any = SimpleNamespace(
                stage=stage, progress=SimpleNamespace(step=100 * step), metrics=metrics
            )
            said.append(standstill(run))
        return said

    return call


STEADY = Decay("steps", period=10**6)


def test_it_is_said_once(measured):
    said = measured([20.0] + [30.0] * 7, STEADY)
    assert [bool(warning) for warning in said] == [False] * 5 + [True] + [False] * 2
    assert said[5].startswith("the validation of tiny has not moved by 0.02 dB for 400 steps; ")
    assert "schedule.warm_up" in said[5]


def test_a_teacher_is_no_better(measured):
    assert measured([30.0] * 5, STEADY, weights="")[-1].startswith("the validation of student ")


@pytest.mark.parametrize(("factor", "said"), [(0.09, False), (0.11, True)])
def test_what_hardly_learns_any_more_may_stand_still(measured, factor, said):
    assert bool(measured([30.0] * 5, Decay("steps", factor=factor, period=500))[-1]) is said


def test_a_run_says_it_while_it_trains(tmp_path, monkeypatch):
    recipe = read_recipe(make_recipe(tmp_path))
    recipe = replace(recipe, schedule=replace(recipe.schedule, steps=6, validate_every=1, decay=STEADY))
    figures = {"real ratio 2": Figures(30.0, 1.0, 1.0, 1.0)}
    monkeypatch.setattr(export, "measure", lambda *_: figures)
    told: list[Any] = []
    train(
        recipe,
        make_data(tmp_path / "data"),
        tmp_path / "run",
        on_step=lambda step: told.append(step.step),
        on_warning=told.append,
    )
    assert [isinstance(said, str) for said in told] == [False] * 5 + [True, False]
