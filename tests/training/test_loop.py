"""A run that is stopped and resumed is the run uninterrupted, and what it exports is what was best."""

import csv
import os
import shutil
import stat
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors import safe_open

from pancli.device import CPU
from pancli.errors import DeviceError, OutputError, RecipeError, TrainingError, WeightsError
from pancli.hashing import file_sha256
from pancli.networks.gcpnet import GCPNet
from pancli.networks.weights import load_weights, read_card
from pancli.simulating import SimulateOptions, simulate_files
from pancli.training import export, loop
from pancli.training import run as running
from pancli.training.checkpoint import read_progress, save_checkpoint
from pancli.training.initial import load_initial
from pancli.training.loop import train
from pancli.training.notes import Metrics, Row
from pancli.training.reading import read_recipe
from pancli.training.recipe import Decay, Optimiser, Source, Validation
from pancli.training.run import CHECKPOINT, Terms, Told
from pancli.training.sampling import Sampler
from pancli.training.stages import Workshop
from pancli.training.steps import Waiting, make_batches, take_step
from pancli.training.validation import Figures
from tests.training.made import TAUGHT, TEXT, make_data, make_recipe


class KilledError(Exception):
    """Stands in for kill -9: nothing of the run is cleaned up."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Of what is made once: data, recipes and whole runs, to be read only."""
    return tmp_path_factory.mktemp("made")


@pytest.fixture(scope="module")
def data(folder):
    return make_data(folder / "data")


@pytest.fixture(scope="module")
def recipe(folder):
    return read_recipe(make_recipe(folder))


@pytest.fixture(scope="module")
def taught(folder):
    """The same with a teacher, saved after every step."""
    recipe = read_recipe(make_recipe(folder, TAUGHT))
    assert recipe.teacher is not None
    schedules = [
        replace(schedule, checkpoint_minutes=0.0) for schedule in (recipe.schedule, recipe.teacher.schedule)
    ]
    return replace(recipe, schedule=schedules[0], teacher=replace(recipe.teacher, schedule=schedules[1]))


@pytest.fixture(scope="module")
def whole(folder, data, recipe):
    """The folder of a run that nothing interrupted."""
    assert train(recipe, data, folder / "whole").done
    return folder / "whole"


@pytest.fixture(scope="module")
def whole_taught(folder, data, taught):
    assert train(taught, data, folder / "taught").done
    return folder / "taught"


@pytest.fixture
def done(whole, tmp_path):
    """A copy of that run to do anything with."""
    shutil.copytree(whole, tmp_path / "run")
    return tmp_path / "run"


def tensors(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def assert_same(one, two):
    left, right = tensors(one), tensors(two)
    assert left.keys() == right.keys()
    assert [name for name in left if not torch.equal(left[name], right[name])] == []


def kill_after(step, stage="student"):
    def on_step(told):
        if (told.stage, told.step) == (stage, step):
            raise KilledError

    return on_step


def stop_after(monkeypatch, step):
    """Let the clock run out after a step."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(running, "time", SimpleNamespace(monotonic=lambda: clock.now))
    monkeypatch.setattr(loop, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def on_step(told):
        clock.now = 120.0 if told.step >= step - 1 else 0.0

    return Terms(max_minutes=1), on_step


@pytest.mark.parametrize("step", [2, 3])
def test_a_stopped_and_resumed_run_is_the_run_uninterrupted(tmp_path, data, recipe, whole, monkeypatch, step):
    with monkeypatch.context() as patch:
        run = train(recipe, data, tmp_path / "parts", *stop_after(patch, step))
    assert run.progress.step == step
    assert not run.done
    train(recipe, data, tmp_path / "parts")
    assert_same(whole / "checkpoint.safetensors", tmp_path / "parts" / "checkpoint.safetensors")
    assert_same(whole / "tiny.safetensors", tmp_path / "parts" / "tiny.safetensors")


@pytest.mark.parametrize("step", [1, 2, 3])
def test_so_is_one_that_was_killed(tmp_path, data, recipe, whole, step):
    recipe = replace(recipe, schedule=replace(recipe.schedule, checkpoint_minutes=0.0))
    with pytest.raises(KilledError):
        train(recipe, data, tmp_path / "killed", on_step=kill_after(step))
    train(recipe, data, tmp_path / "killed")
    assert_same(whole / "checkpoint.safetensors", tmp_path / "killed" / "checkpoint.safetensors")
    rows = [(run / "metrics.csv").read_text().splitlines() for run in (whole, tmp_path / "killed")]
    steps = [[row.split(",")[0] for row in run] for run in rows]
    assert steps[0] == steps[1] == ["step", "2", "4"]


@pytest.mark.parametrize(
    "stop", [("teacher", 1), ("teacher", 2), ("teacher", 3), ("student", 1), ("student", 3)]
)
def test_so_is_one_of_two_stages(tmp_path, data, taught, whole_taught, stop):
    stage, step = stop
    with pytest.raises(KilledError):
        train(taught, data, tmp_path / "killed", on_step=kill_after(step, stage))
    run = train(taught, data, tmp_path / "killed")
    assert run.done
    for name in ("checkpoint", "teacher", "tiny"):
        assert_same(whole_taught / f"{name}.safetensors", tmp_path / "killed" / f"{name}.safetensors")
    columns = ("stage", "step", "loss", "real ratio 2 psnr")
    texts = [(run / "metrics.csv").read_text().splitlines() for run in (whole_taught, tmp_path / "killed")]
    told = [[tuple(row[name] for name in columns) for row in csv.DictReader(text)] for text in texts]
    assert told[0] == told[1]
    assert [(row[0], row[1]) for row in told[0]] == [
        ("teacher", "2"),
        ("teacher", "3"),
        ("student", "2"),
        ("student", "4"),
    ]
    assert all(float(row[3]) > 0 for row in told[0])


def test_a_run_stopped_with_its_teacher_has_no_weights_yet(tmp_path, data, taught):
    run = train(taught, data, tmp_path, Terms(max_minutes=0))
    assert (run.stage.name, run.progress.step, run.done) == ("teacher", 1, False)
    assert not run.weights("tiny").exists()


def test_the_student_sees_the_same_examples_with_and_without_a_teacher(
    tmp_path, data, recipe, taught, monkeypatch
):
    seen: dict[tuple[int, int], torch.Tensor] = {}
    plain = Sampler.batch

    def spy(self, step):
        batch = plain(self, step)
        seen[self.stream, step] = batch.target
        return batch

    monkeypatch.setattr(Sampler, "batch", spy)
    train(recipe, data, tmp_path / "plain")
    alone, seen = seen, {}
    train(taught, data, tmp_path / "taught")
    assert sorted(alone) == [(0, step) for step in range(4)]
    assert sorted(seen) == [*sorted(alone), *((1, step) for step in range(3))]
    assert all(torch.equal(seen[key], alone[key]) for key in alone)
    teacher = [target for (stream, _), target in seen.items() if stream == 1]
    assert not any(torch.equal(one, two) for one in teacher for two in alone.values())


def test_the_card_tells_of_the_teacher(whole_taught):
    card = read_card(whole_taught / "tiny.safetensors")
    assert card.teacher == (
        "encoder of 3 steps of 2 patches of 16 pixels; taken from it: its first weights, "
        "features (weights 0.1), output (weight 0.1)"
    )
    assert card.budget.startswith("4 of 4 steps of 2 patches")
    assert "Q2n" in " ".join(card.figures)


def test_training_begins_from_given_weights_and_the_card_says_so(tmp_path, data, recipe, whole):
    first = whole / "tiny.safetensors"
    still = replace(
        recipe, schedule=replace(recipe.schedule, learning_rate=1e-30, weight_decay=0.0, patch=24)
    )
    run = train(still, data, tmp_path / "second", Terms(init=str(first)))
    old, new = load_weights(first), load_weights(run.weights("tiny"))
    assert torch.equal(old[0].state_dict()["head.0.weight"], new[0].state_dict()["head.0.weight"])
    assert new[1].nominal_pixels == old[1].nominal_pixels == 256  # the area their sums are used to
    assert new[1].began_from == f"tiny, version 1, SHA-256 {file_sha256(first)}"
    assert (old[1].began_from, old[1].teacher) == ("", "")
    assert new[1].licence == "not stated; began from tiny, not stated"


def test_the_licence_is_the_recipes(tmp_path, data, recipe, whole):
    first = whole / "tiny.safetensors"
    assert read_card(first).licence == "not stated"
    given = train(replace(recipe, licence="CC0-1.0"), data, tmp_path, Terms(init=str(first)))
    assert read_card(given.weights("tiny")).licence == "CC0-1.0"


def test_a_device_without_enough_memory_is_told_and_what_was_saved_stays(tmp_path, data, recipe, monkeypatch):
    """Simulated on the CPU, by a step that runs out of it."""

    def full(run, step, batch, late):
        if step == 3:
            raise torch.OutOfMemoryError("CUDA out of memory. GPU 0 has none left")
        return take_step(run, step, batch, late=late)

    monkeypatch.setattr("pancli.training.loop.take_step", full)
    recipe = replace(recipe, schedule=replace(recipe.schedule, checkpoint_minutes=0.0))
    with pytest.raises(DeviceError, match="cpu: not enough memory .CUDA out of memory"):
        train(recipe, data, tmp_path / "run")
    assert read_progress(tmp_path / "run" / CHECKPOINT).step == 3
    monkeypatch.setattr("pancli.training.loop.take_step", take_step)
    assert train(recipe, data, tmp_path / "run").done


def test_a_share_of_the_weights_begun_from_is_kept(tmp_path, data, recipe, whole):
    """In what is validated and exported; training itself goes on from what was trained."""
    first = whole / "tiny.safetensors"
    plain, mixed = (
        train(replace(recipe, kept=kept), data, tmp_path / f"{kept}", Terms(init=str(first)))
        for kept in (0.0, 0.25)
    )
    names = [name for name, tensor in plain.stage.networks["tiny"].named_parameters() if tensor.dim() > 1]
    begun, trained, exported = (
        load_weights(path)[0].state_dict() for path in (first, plain.weights("tiny"), mixed.weights("tiny"))
    )
    for name in names:
        assert not torch.equal(begun[name], trained[name])
        torch.testing.assert_close(exported[name], 0.25 * begun[name] + 0.75 * trained[name])
        assert torch.equal(*(run.stage.networks["tiny"].state_dict()[name] for run in (plain, mixed)))
    with pytest.raises(RecipeError, match="kept: there are no weights to keep .* --init"):
        train(replace(recipe, kept=0.25), data, tmp_path / "random")


def test_the_average_of_the_weights_is_exported(tmp_path, data, recipe, whole, monkeypatch):
    """And of its statistics; training itself goes on from the weights as they are, resumed or not."""
    trained = []

    def step_noted(run, *args, **kwargs):
        taken = take_step(run, *args, **kwargs)
        state = run.stage.networks["tiny"].state_dict()
        trained.append({name: tensor.clone() for name, tensor in state.items()})
        return taken

    monkeypatch.setattr(loop, "take_step", step_noted)
    averaging = replace(
        recipe, averaged=0.15, schedule=replace(recipe.schedule, checkpoint_minutes=0.0, validate_every=4)
    )
    with pytest.raises(KilledError):
        train(averaging, data, tmp_path / "run", on_step=kill_after(3))
    del trained[2:]  # it was killed before the third was saved
    run = train(averaging, data, tmp_path / "run")
    exported = load_weights(run.weights("tiny"))[0].state_dict()
    assert any(not tensor.is_floating_point() for tensor in exported.values()), "they count batches"
    for name, tensor in exported.items():
        expected = trained[0][name]
        for state, share in zip(trained[1:], (0.1, 0.15, 0.15), strict=True):
            if tensor.is_floating_point():
                expected = share * expected + (1 - share) * state[name]
            else:
                expected = state[name]
        torch.testing.assert_close(tensor, expected)
    last = {name: tensor for name, tensor in tensors(whole / CHECKPOINT).items() if "module" in name}
    mine = tensors(tmp_path / "run" / CHECKPOINT)
    assert all(torch.equal(mine[name], tensor) for name, tensor in last.items())


def test_a_run_goes_on_only_from_the_weights_it_began_from(tmp_path, data, recipe, whole):
    first = whole / "tiny.safetensors"
    terms = Terms(init=str(first))
    train(recipe, data, tmp_path / "second", terms)
    assert train(recipe, data, tmp_path / "second", terms).done
    with pytest.raises(RecipeError, match="began from tiny.*not from random weights.*--init"):
        train(recipe, data, tmp_path / "second")


@pytest.mark.parametrize(
    ("change", "message"),
    [("bands = 3", "gcpnet for 4 bands, but the recipe trains gcpnet for 3"), ("", "neither a weights file")],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, data, whole, change, message):
    first = whole / "tiny.safetensors"
    other = read_recipe(make_recipe(tmp_path, TEXT.replace("seed = 7", f"seed = 7\n{change}")))
    init = str(first) if change else str(tmp_path / "none.safetensors")
    with pytest.raises((RecipeError, WeightsError), match=message):
        train(other, data, tmp_path / "second", Terms(init=init))


def test_weights_of_other_widths_are_refused(tmp_path, data, recipe):
    small = replace(recipe, network="bandset-small")
    with pytest.raises(RecipeError, match="--init: bandset, .* does not fit bandset-small"):
        train(small, data, tmp_path / "run", Terms(init="bandset"))


LAST = "l1 = 1.0, ms = 0.1, pan = 0.1"
"""The losses of MSINN's last stage."""


@pytest.fixture
def refinement(tmp_path):
    """A recipe for what msinn-refined adds to msinn."""
    text = TEXT.replace('"gcpnet"', '"msinn-refined"').replace("ratios = [2.0]", "ratios = [4.0]")
    text = text.replace("seed = 7", 'seed = 7\nfrozen = ["of_pan", "of_ms", "extract", "refine"]')
    text = text.replace("patch = 16", "patch = 32").replace("seed = 7", f"seed = 7\nloss = {{{LAST}}}")
    return read_recipe(make_recipe(tmp_path, text + "[degradation]\nratios = [4.0]\n"))


def test_what_is_frozen_stays_as_it_was_begun_with_its_statistics_too(tmp_path, data, recipe, refinement):
    plain = read_recipe(make_recipe(tmp_path, TEXT.replace('"gcpnet"', '"msinn"')))
    first = train(plain, data, tmp_path / "first").weights("tiny")
    run = train(refinement, data, tmp_path / "second", Terms(init=str(first)))
    old, new = tensors(first), tensors(run.weights("tiny"))
    assert set(old) < set(new)
    assert [name for name in old if not torch.equal(old[name], new[name])] == []
    workshop = Workshop(refinement, CPU, tmp_path, load_initial(str(first), refinement))
    start = workshop.stage("student").networks["tiny"].state_dict()
    added = set(new) - set(old)
    assert added and not any(torch.equal(start[name], new[name]) for name in added)


def test_the_last_stage_of_msinn_asks_for_consistency(tmp_path, data, recipe, refinement):
    free = replace(refinement, frozen=())
    batch = Sampler.load(free, data).batch(0)
    terms = Workshop(free, CPU, tmp_path).stage("student").objective(batch, 0.0)
    assert list(terms) == ["l1", "ms", "pan"]
    small = replace(free, schedule=replace(free.schedule, patch=28))
    with pytest.raises(RecipeError, match="loss: ms and pan need schedule.patch of 32 or more, not 28"):
        train(small, data, tmp_path / "run")
    blind = replace(recipe, loss=free.loss)
    with pytest.raises(RecipeError, match="loss: ms and pan need a network that sees ms .*; gcpnet does not"):
        train(blind, data, tmp_path / "run")


def test_what_has_no_weights_to_keep_cannot_be_frozen(tmp_path, data, recipe, refinement):
    with pytest.raises(RecipeError, match="frozen modules need weights .*--init"):
        train(refinement, data, tmp_path / "run")
    odd = replace(recipe, frozen=("tail",))
    with pytest.raises(RecipeError, match="gcpnet has no 'tail'; it has head2, head"):
        train(odd, data, tmp_path / "run", Terms(init="gcpnet"))


def test_a_network_that_is_frozen_as_a_whole_is_refused(tmp_path, data, recipe):
    all_of_it = tuple(name for name, _ in GCPNet(4, 256).named_children())
    with pytest.raises(RecipeError, match="frozen: nothing of gcpnet is left to learn"):
        train(replace(recipe, frozen=all_of_it), data, tmp_path / "run", Terms(init="gcpnet"))
    assert not (tmp_path / "run" / CHECKPOINT).exists()


def test_weights_of_more_are_not_begun_from_by_less(tmp_path, data, recipe, refinement):
    free = replace(refinement, frozen=())
    refined = train(free, data, tmp_path / "first").weights("tiny")
    plain = read_recipe(make_recipe(tmp_path, TEXT.replace('"gcpnet"', '"msinn"')))
    with pytest.raises(RecipeError, match="is msinn-refined for 4 bands, but the recipe trains msinn"):
        load_initial(str(refined), plain)


def test_shipped_weights_can_be_begun_from_by_name(recipe):
    initial = load_initial("gcpnet", recipe)
    assert initial.told.startswith("gcpnet, version ")
    with pytest.raises(WeightsError, match="nor one of .*gcpnet"):
        load_initial("gcpnat", recipe)


def test_training_learns_and_settles(tmp_path, data, recipe):
    losses = []
    long = replace(recipe, schedule=replace(recipe.schedule, steps=30, validate_every=30, regions=1))
    run = train(long, data, tmp_path, on_step=lambda told: losses.append(told.loss))
    assert len(losses) == run.progress.step == 30
    start = GCPNet(4, 256).state_dict()
    end = run.stage.networks["tiny"].state_dict()
    assert not torch.equal(start["head.0.weight"], end["head.0.weight"])
    # Of 30 steps those before 0.6 * 30 moved the normalisation statistics.
    assert int(end["unit1.spatial.norm.num_batches_tracked"]) == 18


def test_a_card_may_admit_larger_ratios_than_those_trained_with(tmp_path, data, recipe):
    wider = replace(recipe, largest_ratio=6.0, schedule=replace(recipe.schedule, steps=1))
    run = train(wider, data, tmp_path)
    assert read_card(run.weights("tiny")).ratios == (min(recipe.degradation.ratios) - 0.1, 6.1)


def test_what_is_exported_loads_and_its_card_is_filled(recipe, whole):
    network, card = load_weights(whole / "tiny.safetensors")
    assert card == read_card(whole / "tiny.safetensors")
    assert (card.name, card.parameters, card.nominal_pixels) == ("tiny", 86_759, 256)
    assert card.recipe_sha256 == recipe.sha256
    figures = card.figures["real ratio 2, PSNR dB"]
    assert set(figures) == {"exp", "gsa", "mtf-glp-hpm", "tiny"}
    assert network.nominal_pixels == 256


def test_what_cannot_be_measured_is_left_off_the_card(tmp_path, recipe):
    """ERGAS of a band that is zero all over is 0/0."""
    data = make_data(tmp_path / "data")
    ms = np.load(data / "real" / "v-ms.npy")
    ms[2] = 0
    np.save(data / "real" / "v-ms.npy", ms)
    run = train(recipe, data, tmp_path / "run")
    card = read_card(run.weights("tiny"))
    assert set(card.figures) == {f"real ratio 2, {what}" for what in ("PSNR dB", "SAM degrees", "Q2n")}
    assert all("tiny" in found for found in card.figures.values())


def test_the_best_weights_are_kept(tmp_path, data, recipe, monkeypatch):
    scores = iter([30.0, 30.0, 20.0])
    monkeypatch.setattr(export, "score", lambda figures: next(scores))
    run = train(recipe, data, tmp_path)
    assert run.progress.best == {"tiny": 30.0}
    assert read_card(run.weights("tiny")).budget.startswith("2 of 4 steps")


def test_metrics_have_one_row_per_validation(whole):
    rows = list(csv.DictReader((whole / "metrics.csv").read_text().splitlines()))
    assert [row["step"] for row in rows] == ["2", "4"]
    assert all(float(row["real ratio 2 psnr"]) > 0 for row in rows)


def test_who_may_read_what_a_run_leaves_follows_the_umask(tmp_path, data, taught):
    before = os.umask(0o027)
    try:
        train(taught, data, tmp_path / "run")
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "run").iterdir()}
    names = ("checkpoint.safetensors", "metrics.csv", "teacher.safetensors", "tiny.safetensors")
    assert modes == dict.fromkeys(names, 0o640)


def test_fresh_starts_again(data, recipe, done):
    steps = []
    train(recipe, data, done, Terms(fresh=True), on_step=lambda told: steps.append(told.step))
    assert steps == [1, 2, 3, 4]
    rows = (done / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3
    train(
        replace(recipe, validation=replace(recipe.validation, ratios=(3.0,))),
        data,
        done,
        Terms(fresh=True),
    )
    assert "real ratio 3 psnr" in (done / "metrics.csv").read_text().splitlines()[0]


def test_a_fresh_run_that_is_killed_at_once_is_the_one_that_goes_on(data, recipe, done):
    with pytest.raises(KilledError):
        train(recipe, data, done, Terms(fresh=True), on_step=kill_after(1))
    steps = []
    train(recipe, data, done, on_step=lambda told: steps.append(told.step))
    assert steps == [1, 2, 3, 4]


def test_a_finished_run_has_nothing_to_do(data, recipe, done):
    steps: list[Told] = []
    train(recipe, data, done, on_step=steps.append)
    assert steps == []


@pytest.mark.parametrize("measured", [True, False])
def test_weights_of_a_finished_run_that_are_gone_are_made_of_the_checkpoint(
    tmp_path, data, recipe, monkeypatch, measured
):
    plan = recipe if measured else replace(recipe, validation=Validation())
    scores = iter([20.0, 20.0, 30.0, 30.0, 30.0])
    monkeypatch.setattr(export, "score", lambda figures: next(scores))
    path = train(plan, data, tmp_path).weights("tiny")
    before, card = tensors(path), read_card(path)
    path.unlink()
    train(plan, data, tmp_path)
    assert all(torch.equal(before[name], tensor) for name, tensor in tensors(path).items())
    assert read_card(path) == card


def test_those_that_the_checkpoint_does_not_hold_are_missed(tmp_path, data, recipe, monkeypatch):
    scores = iter([30.0, 30.0, 20.0, 20.0])
    monkeypatch.setattr(export, "score", lambda figures: next(scores))
    train(recipe, data, tmp_path).weights("tiny").unlink()
    with pytest.raises(TrainingError, match=r"tiny.safetensors is missing, and the checkpoint holds other"):
        train(recipe, data, tmp_path)


def test_those_of_a_run_that_goes_on_are_chosen_anew(tmp_path, data, recipe, monkeypatch):
    scores = iter([30.0, 30.0, 20.0, 25.0, 25.0])
    monkeypatch.setattr(export, "score", lambda figures: next(scores))
    with monkeypatch.context() as patch:
        run = train(recipe, data, tmp_path, *stop_after(patch, 3))
    run.weights("tiny").unlink()
    said: list[str] = []
    run = train(recipe, data, tmp_path, on_warning=said.append)
    assert [warning.split(",")[0] for warning in said] == [str(run.weights("tiny"))]
    assert run.progress.best == {"tiny": 25.0}
    assert read_card(run.weights("tiny")).budget.startswith("4 of 4 steps")


def test_a_checkpoint_of_another_recipe_is_refused(tmp_path, data, done):
    other = read_recipe(make_recipe(tmp_path, TEXT.replace("seed = 7", "seed = 8")))
    with pytest.raises(RecipeError, match="another recipe.*--fresh"):
        train(other, data, done)


def test_a_damaged_checkpoint_is_refused(data, recipe, done):
    path = done / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(TrainingError, match="--fresh"):
        train(recipe, data, done)


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


def test_a_gradient_that_is_no_number_stops_the_run_before_the_weights_are_lost(
    tmp_path, data, recipe, monkeypatch
):
    recipe = replace(recipe, schedule=replace(recipe.schedule, checkpoint_minutes=0.0))
    plain = torch.nn.utils.clip_grad_norm_
    calls = iter(range(10))

    def broken(parameters, norm):
        return plain(parameters, norm) if next(calls) < 2 else torch.tensor(torch.inf)

    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", broken)
    with pytest.raises(TrainingError, match="gradient of step 2 is inf"):
        train(recipe, data, tmp_path / "run")
    assert all(
        bool(t.isfinite().all()) for t in tensors(tmp_path / "run" / "checkpoint.safetensors").values()
    )


@pytest.mark.parametrize(
    ("precision", "told"), [("float32", "Lower schedule"), ("bfloat16", "Set precision to float32, or lower")]
)
def test_of_a_loss_that_is_no_number_half_precision_is_suspected(
    tmp_path, data, recipe, monkeypatch, precision, told
):
    plain = Sampler.batch
    monkeypatch.setattr(Sampler, "batch", lambda self, step: spoilt(plain(self, step)))

    def spoilt(batch):
        return batch._replace(target=batch.target * torch.nan)

    with pytest.raises(TrainingError, match=told):
        train(replace(recipe, precision=precision), data, tmp_path / "run")


def test_weights_that_are_no_numbers_are_not_saved(tmp_path, data, recipe):
    run = train(recipe, data, tmp_path / "run")
    before = (tmp_path / "run" / "checkpoint.safetensors").read_bytes()
    run.stage.networks["tiny"].state_dict()["head.0.weight"][0] = torch.nan
    with pytest.raises(TrainingError, match="weights are no numbers after step 4"):
        save_checkpoint(run.checkpoint, run.stage.parts, run.stage.averages, run.progress)
    assert run.checkpoint.read_bytes() == before


def test_a_row_of_metrics_that_was_cut_off_is_dropped(data, recipe, done):
    path = done / "metrics.csv"
    whole = path.read_text()
    path.write_text(whole + "4,student,ti")
    train(recipe, data, done)
    assert path.read_text() == whole


@pytest.mark.parametrize("text", ["", "step,stage"])
def test_metrics_whose_header_was_cut_off_begin_anew(data, recipe, done, text):
    path = done / "metrics.csv"
    header = path.read_text().splitlines()[0]
    path.write_text(text)
    train(recipe, data, done)
    assert not path.exists()
    train(recipe, data, done, Terms(fresh=True))
    assert path.read_text().splitlines()[0] == header


def test_metrics_of_a_folder_with_a_comma_in_its_name_are_kept(tmp_path):
    metrics = Metrics(tmp_path / "metrics.csv", ('Oslo, "north" ratio 2',))
    figures = {metrics.groups[0]: Figures(30.0, 1.0, 1.0, 1.0)}
    for step in (2, 4):
        metrics.note(Row("student", step, 1.0, 0.1, "tiny", figures))
    metrics.keep((), "student", 2)
    assert metrics.psnrs("student", "tiny") == [(2, (30.0,))]


def test_metrics_that_cannot_be_written_are_told(tmp_path, data, recipe):
    (tmp_path / "run" / "metrics.csv").mkdir(parents=True)
    with pytest.raises(OutputError, match="metrics.csv: cannot be written"):
        train(recipe, data, tmp_path / "run")


def test_a_validation_saves(tmp_path, data, recipe, monkeypatch):
    def killed(run, step, batch, *, late):
        if step == 3:
            raise KeyboardInterrupt
        return take_step(run, step, batch, late=late)

    monkeypatch.setattr("pancli.training.loop.take_step", killed)
    rare = replace(recipe, schedule=replace(recipe.schedule, checkpoint_minutes=100.0))
    with pytest.raises(KeyboardInterrupt):
        train(rare, data, tmp_path / "run")
    assert read_progress(tmp_path / "run" / CHECKPOINT).step == 2


def test_the_card_admits_the_ratios_of_pairs_that_were_observed_already(tmp_path, recipe):
    list(simulate_files(tmp_path / "s", SimulateOptions(size=80, ratio=5.0)))
    source = Source("referenced", names=("*",))
    run = train(replace(recipe, sources=(source,), validation=Validation()), tmp_path, tmp_path / "run")
    assert read_card(run.weights("tiny")).ratios == (4.9, 5.1)


@pytest.mark.parametrize("kind", ["sgd", "adam"])
def test_every_optimiser_is_resumed(tmp_path, data, recipe, kind):
    often = replace(recipe.schedule, checkpoint_minutes=0.0, decay=Decay("steps", factor=0.5, period=3))
    other = replace(recipe, schedule=often, optimiser=Optimiser(kind))
    train(other, data, tmp_path / "whole")
    with pytest.raises(KilledError):
        train(other, data, tmp_path / "killed", on_step=kill_after(3))
    run = train(other, data, tmp_path / "killed")
    assert_same(tmp_path / "whole" / "checkpoint.safetensors", tmp_path / "killed" / "checkpoint.safetensors")
    assert run.stage.parts["student"].optimiser.param_groups[0]["lr"] == pytest.approx(5e-4)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path, data, recipe):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrainingError, match="cannot make the folder .*--out"):
        train(recipe, data, tmp_path / "file" / "run")


@pytest.mark.slow
def test_processes_make_the_batches_that_threads_make(recipe, data, tmp_path):
    for workers in (None, 2):
        train(recipe, data, tmp_path / str(workers), Terms(workers=workers))
    assert_same(tmp_path / "None" / "checkpoint.safetensors", tmp_path / "2" / "checkpoint.safetensors")


@pytest.mark.slow
def test_what_fails_in_a_process_fails_the_run(recipe, data):
    sampler = Sampler.load(recipe, data)
    empty = replace(sampler, images=tuple(() for _ in sampler.images))
    with pytest.raises(RuntimeError, match="from must be less than to|random_ expects"):
        list(make_batches(empty, range(2), 1, workers=1))


def test_time_spent_waiting_for_batches_is_counted(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("pancli.training.steps.time.monotonic", lambda: now[0])

    def slow():
        for step in range(3):
            now[0] += 2.0
            yield step, None

    waiting = Waiting(began=0.0)
    for _ in waiting.over(slow()):
        now[0] += 6.0
    assert (waiting.seconds, waiting.share) == (6.0, 0.25)
