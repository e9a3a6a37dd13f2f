"""``pancli train`` as a user types it."""

import csv
import importlib.util

import numpy as np
import pytest

from pancli.networks.weights import read_card
from pancli.raster.env import without_georeferencing
from pancli.training import loop
from tests.programs import pancli
from tests.scenes import make_scene, write
from tests.training.made import TAUGHT, TEXT, make_data, make_recipe


@pytest.fixture
def job(tmp_path):
    """Arguments of a tiny run."""
    recipe = make_recipe(tmp_path)
    return [recipe, "--data", make_data(tmp_path / "data"), "--out", tmp_path / "run", "--device", "cpu"]


def test_train_makes_weights_and_says_where(job, tmp_path):
    result = pancli("train", *job)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "tiny.safetensors").is_file()
    assert result.stdout.startswith(f"{tmp_path / 'run' / 'tiny.safetensors'}: done, best validation PSNR")
    assert "step 4 of 4" in result.stderr


def test_train_is_quiet_when_asked(job):
    result = pancli("train", *job, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_train_goes_on_where_it_stopped(job):
    first = pancli("train", *job, "--max-minutes", 0)
    assert first.exit_code == 0, first.output
    assert "stopped at step 1 of 4; the same command goes on" in first.stdout
    assert "done" in pancli("train", *job).stdout


@pytest.mark.parametrize("minutes", ["nan", "-3"])
def test_train_refuses_a_time_that_is_none(job, tmp_path, minutes):
    result = pancli("train", *job, "--max-minutes", minutes)
    assert result.exit_code == 2
    assert result.stderr == f"pancli: --max-minutes {minutes}: must be a number of minutes, 0 or more\n"
    assert not (tmp_path / "run").exists()


def test_train_starts_again_when_asked(job):
    pancli("train", *job)
    assert "stopped at step 1 of 4" in pancli("train", *job, "--fresh", "--max-minutes", 0).stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 4", "stepz = 4", "tiny.toml: schedule: unknown key 'stepz'; known: checkpoint_minutes"),
        ("seed = 7", "loss = {l2 = 1.0}", "tiny.toml: loss: unknown key 'l2'; known: gradient, l1"),
        ("seed = 7", "seed = ", "tiny.toml is not TOML"),
        ('names = ["a"]', 'names = ["z"]', "z-pan.npy exists; is --data the folder the recipe speaks of?"),
        ('folder = "real"\nnames = ["a"]', 'folder = "rael"\nnames = ["*"]', "rael: nothing matches '*'"),
        (
            'names = ["a"]',
            'names = ["empty/*"]',
            "real: nothing matches 'empty/*' or all are validated on; each image",
        ),
        (
            'names = ["a"]',
            'names = ["junk"]',
            "junk-pan.npy is not a plain .npy array of numbers; write it with",
        ),
        (
            'names = ["a"]',
            'names = ["odd"]',
            "pan of (70, 70) and ms of (30, 30) pixels are not at a whole ratio",
        ),
        (
            'names = ["a"]',
            'names = ["void"]',
            "void: no 30 x 30 pixels of the bands lie together without nodata",
        ),
        ("crop = 24", "crop = 24\nbands = [0, 7]", "v has 4 bands, but validation.bands asks for number 7"),
        ('"gcpnet"', '"pnn"', "pnn takes ratio 4 alone, but the recipe has 2; set degradation.ratios"),
        ('"gcpnet"', '"hypernet"', "unknown network 'hypernet'; known: bandset"),
    ],
)
def test_train_refuses_in_one_line(job, tmp_path, old, new, message):
    assert old in TEXT
    real = tmp_path / "data" / "real"
    (real / "empty").mkdir()
    for name in ("junk-pan", "junk-ms"):
        (real / f"{name}.npy").write_bytes(b"junk")
    for name, side, value in (("odd", 70, 1.0), ("void", 60, np.nan)):
        np.save(real / f"{name}-pan.npy", np.ones((side, side)))
        np.save(real / f"{name}-ms.npy", np.full((4, 30, 30), value))
    make_recipe(tmp_path, TEXT.replace(old, new, 1))
    result = pancli("train", *job)
    assert result.exit_code == 1
    assert result.stderr.startswith("pancli: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()


def test_a_loss_that_is_no_number_ends_in_one_line_and_what_was_saved_stays(job, tmp_path):
    assert pancli("train", *job, "-q", "--max-minutes", 0).exit_code == 0
    saved = tmp_path / "run" / "checkpoint.safetensors"
    text = TEXT.replace("steps = 4", "steps = 4\nlearning_rate = 1e30")
    make_recipe(tmp_path, text)
    before = saved.read_bytes()
    other = pancli("train", *job, "-q")
    assert (other.exit_code, saved.read_bytes() == before) == (1, True)
    assert "is of another recipe; use --fresh, or another --out" in other.stderr
    folder = tmp_path / "other"
    result = pancli(
        "train",
        *job[:-4],
        "--out",
        folder,
        "--device",
        "cpu",
        "-q",
        "--init",
        tmp_path / "run" / "tiny.safetensors",
    )
    assert result.exit_code == 1
    assert f"the loss of step 1 is nan; what was saved before stays in {folder}. Lower" in result.stderr
    assert "--fresh" in result.stderr
    assert "--init" in result.stderr
    assert result.stderr.count("\n") == 1


def test_train_without_a_recipe_is_a_usage_error():
    assert pancli("train").exit_code == 2


def test_train_refuses_a_recipe_that_is_not_there(tmp_path):
    result = pancli("train", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert "none.toml" in result.stderr


def test_train_has_two_stages_where_there_is_a_teacher(job, tmp_path):
    make_recipe(tmp_path, TAUGHT)
    first = pancli("train", *job, "--max-minutes", 0)
    assert first.exit_code == 0, first.output
    saved = tmp_path / "run" / "checkpoint.safetensors"
    assert first.stdout.startswith(f"{saved}: stopped at step 1 of 3 of the teacher")
    second = pancli("train", *job)
    assert second.stdout.startswith(f"{tmp_path / 'run' / 'tiny.safetensors'}: done")
    assert "teacher: step 3 of 3" in second.stderr
    assert "student: step 4 of 4, loss " in second.stderr


def test_train_begins_from_weights(job, tmp_path):
    assert pancli("train", *job).exit_code == 0
    weights = tmp_path / "run" / "tiny.safetensors"
    result = pancli("train", *job[:-4], "--out", tmp_path / "other", "--init", weights)
    assert result.exit_code == 0, result.output
    assert read_card(tmp_path / "other" / "tiny.safetensors").began_from.startswith("tiny, version 1")
    assert pancli("train", *job, "--init", weights).exit_code == 1


def test_train_refuses_weights_that_are_not_there(job):
    result = pancli("train", *job, "--init", "gcpnat")
    assert result.exit_code == 1
    assert "--init gcpnat: is neither a weights file nor one of " in result.stderr


@pytest.fixture
def unplaced(tmp_path):
    """Arguments of a run of one step on a pair without georeferencing, beside which there is another."""
    for name in "ab":
        scene = make_scene(tmp_path / name, size=(160, 160))
        with without_georeferencing():
            for path, image in ((scene.pan, scene.pan_image), (scene.ms, scene.ms_image)):
                write(path, image, None, crs=None)
    text = (
        'name = "mine"\nsources = [{kind = "pairs", names = ["a"]}]\n'
        "schedule = {steps = 1, regions = 1, region = 32, patches = 1, patch = 16, threads = 1}\n"
    )
    return [make_recipe(tmp_path, text), "--out", tmp_path / "run", "--device", "cpu"]


def test_train_warns_of_images_placed_by_a_guess_before_it_trains(unplaced, tmp_path):
    result = pancli("train", *unplaced)
    assert result.exit_code == 0, result.output
    said = f"pancli: warning: {tmp_path / 'a'}: neither PAN nor MS is georeferenced"
    assert result.stderr.index(said) < result.stderr.index("step 1 of 1")
    assert result.stderr.count("warning") == 1
    assert result.stdout == f"{tmp_path / 'run' / 'mine.safetensors'}: done\n"
    card = read_card(tmp_path / "run" / "mine.safetensors")
    assert (card.network, card.data, card.figures) == ("gcpnet", "pairs a", {})


def test_train_warns_of_scenes_it_is_measured_on_too_and_when_quiet(unplaced, tmp_path):
    with unplaced[0].open("a") as recipe:
        recipe.write('validation = {names = ["b"], ratios = [2.0, 4.0], crop = 24, bits = 11}\n')
    result = pancli("train", *unplaced, "-q")
    assert (result.exit_code, result.stdout) == (0, "")
    for line, name in zip(result.stderr.splitlines(), "ab", strict=True):
        assert line.startswith(f"pancli: warning: {tmp_path / name}: neither PAN nor MS is georeferenced")


def test_train_warns_of_a_network_that_stands_still_while_it_trains(job, monkeypatch):
    monkeypatch.setattr(loop, "standstill", lambda run: "it stands still")
    said = pancli("train", *job).stderr
    assert said.count("pancli: warning: it stands still\n") == 2  # as often as it is validated
    assert said.index("warning") < said.index("step 4 of 4")


def test_tensorboard_is_refused_early_where_it_is_missing(job, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    result = pancli("train", *job, "--tensorboard")
    assert result.exit_code == 2
    assert "pip install tensorboard" in result.stderr
    assert not (tmp_path / "run").exists()


def test_tensorboard_is_told_what_metrics_are(job, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    make_recipe(tmp_path, TAUGHT)
    result = pancli("train", *job, "--tensorboard")
    assert result.exit_code == 0, result.output
    told = accumulator.EventAccumulator(str(tmp_path / "run" / "tensorboard" / "student")).Reload()
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    psnr = [float(row["real ratio 2 psnr"]) for row in rows if row["stage"] == "student"]
    assert [event.value for event in told.Scalars("real ratio 2/psnr")] == pytest.approx(psnr, abs=1e-3)
    assert [event.step for event in told.Scalars("loss")] == [0]
    terms = sum(told.Scalars(f"terms/{name}")[0].value for name in ("l1", "output", "feature 0"))
    assert told.Scalars("loss")[0].value == pytest.approx(terms, rel=1e-5)
    assert told.Scalars("learning rate")[0].value == pytest.approx(1e-3)
