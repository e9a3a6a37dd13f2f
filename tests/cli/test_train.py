"""``pancli train`` as a user types it."""

import pytest
from typer.testing import CliRunner

from pancli.cli.app import build
from tests.training.made import TEXT, make_data, make_recipe


def run(*args):
    return CliRunner().invoke(build(), [str(arg) for arg in args])


@pytest.fixture
def job(tmp_path):
    """Arguments of a tiny run."""
    recipe = make_recipe(tmp_path)
    return [recipe, "--data", make_data(tmp_path / "data"), "--out", tmp_path / "run", "--device", "cpu"]


def test_train_makes_weights_and_says_where(job, tmp_path):
    result = run("train", *job)
    assert result.exit_code == 0, result.output
    assert (tmp_path / "run" / "tiny.safetensors").is_file()
    assert result.stdout.startswith(f"{tmp_path / 'run' / 'tiny.safetensors'}: done, best validation PSNR")
    assert "step 4 of 4" in result.stderr


def test_train_is_quiet_when_asked(job):
    result = run("train", *job, "-q")
    assert (result.exit_code, result.output) == (0, "")


def test_train_goes_on_where_it_stopped(job):
    first = run("train", *job, "--max-minutes", 0)
    assert first.exit_code == 0, first.output
    assert "stopped at step 1 of 4" in first.stdout
    assert "done" in run("train", *job).stdout


def test_train_starts_again_when_asked(job):
    run("train", *job)
    assert "stopped at step 1 of 4" in run("train", *job, "--fresh", "--max-minutes", 0).stdout


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [("steps = 4", "stepz = 4", "unknown key 'stepz'"), ('names = ["a"]', 'names = ["z"]', "z-pan.npy")],
)
def test_train_refuses_in_one_line(job, tmp_path, old, new, message):
    make_recipe(tmp_path, TEXT.replace(old, new, 1))
    result = run("train", *job)
    assert result.exit_code == 1
    assert result.stderr.startswith("pancli: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_train_without_a_recipe_is_a_usage_error():
    assert run("train").exit_code == 2


def test_train_refuses_a_recipe_that_is_not_there(tmp_path):
    result = run("train", tmp_path / "none.toml")
    assert result.exit_code == 1
    assert "none.toml" in result.stderr
