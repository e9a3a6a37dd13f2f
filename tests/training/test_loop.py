"""A run that is stopped and resumed is the run uninterrupted, and what it exports is what was best."""

import csv
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from pancli.errors import RecipeError, TrainingError
from pancli.networks.gcpnet import GCPNet
from pancli.networks.weights import load_weights, read_card
from pancli.training import loop
from pancli.training.loop import Terms, train
from pancli.training.patches import Sampler
from pancli.training.recipe import read_recipe
from tests.training.made import TEXT, make_data, make_recipe


class KilledError(Exception):
    """Stands in for kill -9: nothing of the run is cleaned up."""


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


@pytest.fixture
def recipe(tmp_path):
    return read_recipe(make_recipe(tmp_path))


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(one, two):
    left, right = tensors(one), tensors(two)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def kill_after(step):
    def on_step(done, steps, loss):
        if done == step:
            raise KilledError

    return on_step


def stop_after(monkeypatch, step):
    """Let the clock run out after a step."""
    clock = iter(range(10**6))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    per_step = 3
    return Terms(max_minutes=(per_step * step - 1) / 60)


def test_a_stopped_and_resumed_run_is_the_run_uninterrupted(tmp_path, data, recipe, monkeypatch):
    train(recipe, data, tmp_path / "whole")
    with monkeypatch.context() as patch:
        run = train(recipe, data, tmp_path / "parts", stop_after(patch, 2))
    assert 0 < run.progress.step < 4
    train(recipe, data, tmp_path / "parts")
    assert_same(tmp_path / "whole" / "checkpoint.safetensors", tmp_path / "parts" / "checkpoint.safetensors")
    assert_same(tmp_path / "whole" / "tiny.safetensors", tmp_path / "parts" / "tiny.safetensors")


@pytest.mark.parametrize("step", [1, 2, 3])
def test_so_is_one_that_was_killed(tmp_path, data, recipe, step):
    recipe = replace(recipe, schedule=replace(recipe.schedule, checkpoint_minutes=0.0))
    train(recipe, data, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(recipe, data, tmp_path / "killed", on_step=kill_after(step))
    train(recipe, data, tmp_path / "killed")
    assert_same(tmp_path / "whole" / "checkpoint.safetensors", tmp_path / "killed" / "checkpoint.safetensors")
    rows = [(tmp_path / run / "metrics.csv").read_text().splitlines() for run in ("whole", "killed")]
    steps = [[row.split(",")[0] for row in run] for run in rows]
    assert steps[0] == steps[1] == ["step", "2", "4"]


def test_training_learns_and_settles(tmp_path, data, recipe):
    losses = []
    long = replace(recipe, schedule=replace(recipe.schedule, steps=30, validate_every=30, regions=1))
    run = train(long, data, tmp_path, on_step=lambda done, steps, loss: losses.append(loss))
    assert len(losses) == run.progress.step == 30
    start = GCPNet(4, 256).state_dict()
    end = run.network.state_dict()
    assert not torch.equal(start["head.0.weight"], end["head.0.weight"])
    # Of 30 steps those before 0.6 * 30 moved the normalisation statistics.
    assert int(end["unit1.spatial.norm.num_batches_tracked"]) == 18


def test_what_is_exported_loads_and_its_card_is_filled(tmp_path, data, recipe):
    run = train(recipe, data, tmp_path)
    network, card = load_weights(run.weights)
    assert card == read_card(run.weights)
    assert (card.name, card.parameters, card.nominal_pixels) == ("tiny", 86_759, 256)
    assert card.recipe_sha256 == recipe.sha256
    figures = card.figures["landsat7 ratio 2, PSNR dB"]
    assert set(figures) == {"exp", "gsa", "mtf-glp-hpm", "tiny"}
    assert network.nominal_pixels == 256


def test_the_best_weights_are_kept(tmp_path, data, recipe, monkeypatch):
    scores = iter([30.0, 20.0])
    monkeypatch.setattr(loop, "score", lambda figures: next(scores))
    run = train(recipe, data, tmp_path)
    assert run.progress.best == 30.0
    assert read_card(run.weights).budget.startswith("2 of 4 steps")


def test_metrics_have_one_row_per_validation(tmp_path, data, recipe):
    train(recipe, data, tmp_path)
    rows = list(csv.DictReader((tmp_path / "metrics.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row["landsat7 ratio 2 psnr"]) > 0 for row in rows)


def test_fresh_starts_again(tmp_path, data, recipe):
    train(recipe, data, tmp_path)
    done = []
    train(recipe, data, tmp_path, Terms(fresh=True), on_step=lambda *told: done.append(told[0]))
    assert done == [1, 2, 3, 4]
    rows = (tmp_path / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3


def test_a_finished_run_has_nothing_to_do(tmp_path, data, recipe):
    train(recipe, data, tmp_path)
    steps = []
    train(recipe, data, tmp_path, on_step=lambda *told: steps.append(told))
    assert steps == []


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, data, recipe):
    train(recipe, data, tmp_path / "run")
    other = read_recipe(make_recipe(tmp_path, TEXT.replace("seed = 7", "seed = 8")))
    with pytest.raises(RecipeError, match="another recipe.*--fresh"):
        train(other, data, tmp_path / "run")


def test_a_damaged_checkpoint_is_refused(tmp_path, data, recipe):
    train(recipe, data, tmp_path / "run")
    path = tmp_path / "run" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TrainingError, match="--fresh"):
        train(recipe, data, tmp_path / "run")


def test_a_loss_that_is_no_number_stops_the_run_and_keeps_what_was_saved(tmp_path, data, recipe, monkeypatch):
    recipe = replace(recipe, schedule=replace(recipe.schedule, checkpoint_minutes=0.0))
    plain = Sampler.batch

    def poisoned(self, step):
        batch = plain(self, step)
        return batch if step < 3 else batch._replace(target=batch.target * torch.nan)

    monkeypatch.setattr(Sampler, "batch", poisoned)
    with pytest.raises(TrainingError, match="loss of step 3 is nan.*learning_rate"):
        train(recipe, data, tmp_path / "run")
    saved = tensors(tmp_path / "run" / "checkpoint.safetensors")
    assert all(bool(tensor.isfinite().all()) for tensor in saved.values())


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, data, recipe):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot make the folder .*--out"):
        train(recipe, data, tmp_path / "file" / "run")


def test_more_workers_change_nothing(recipe, data, tmp_path):
    for workers in (1, 3):
        train(recipe, data, tmp_path / str(workers), Terms(workers=workers))
    assert_same(tmp_path / "1" / "checkpoint.safetensors", tmp_path / "3" / "checkpoint.safetensors")
