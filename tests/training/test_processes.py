"""Real processes: killed at any moment, or training as one."""

import os
import random
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
import torch

from pancli.device import CPU
from pancli.errors import RecipeError, TrainingError, UsageError
from pancli.training import steps
from pancli.training.checkpoint import read_progress
from pancli.training.loop import train
from pancli.training.ranks import Ranks, joined
from pancli.training.reading import read_recipe
from pancli.training.run import Terms
from pancli.training.sampling import Sampler
from pancli.training.steps import make_batches
from tests.training.made import TAUGHT, TEXT, make_data, make_recipe
from tests.training.test_loop import assert_same, tensors

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data")


def start(recipe, data, folder):
    """Train in a process of its own; its number."""
    child = os.fork()
    if child == 0:  # never returns: whatever happens in it, the test goes on in its parent alone
        try:
            train(recipe, data, folder)
            os._exit(0)
        finally:
            os._exit(1)
    return child


@pytest.fixture(scope="module")
def saved_often(tmp_path_factory):
    """A recipe that saves after every step, and the folder of its run that nothing interrupted."""
    folder = tmp_path_factory.mktemp("often")
    text = TAUGHT.replace("validate_every = 2", "checkpoint_minutes = 0")
    recipe = read_recipe(make_recipe(folder, text))
    train(recipe, make_data(folder / "data"), folder / "whole")
    return recipe, folder / "whole"


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_killed_at_any_moment_a_run_goes_on_as_if_it_had_not_been(tmp_path, data, saved_often, seed):
    recipe, whole = saved_often
    moments = random.Random(seed)
    for _ in range(4):
        child = start(recipe, data, tmp_path / "killed")
        time.sleep(moments.uniform(0.05, 0.8))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    assert os.waitpid(start(recipe, data, tmp_path / "killed"), 0)[1] == 0
    for name in ("checkpoint", "teacher", "tiny"):
        assert_same(whole / f"{name}.safetensors", tmp_path / "killed" / f"{name}.safetensors")
    assert read_progress(tmp_path / "killed" / "checkpoint.safetensors").step == 4


@pytest.mark.slow
def test_two_processes_train_what_one_does(tmp_path, data):
    """The same regions, gradients averaged; without normalisation by batches nothing else differs."""
    recipe = make_recipe(tmp_path, TAUGHT.replace("settle = 0.6", "settle = 0.0"))
    common = ["-m", "pancli", "train", recipe, "--data", data, "--device", "cpu", "--out"]
    told = subprocess.run(
        [str(part) for part in (*TORCHRUN, *common, tmp_path / "two")],
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert told.stdout.count("tiny.safetensors: done") == 1
    train(read_recipe(recipe), data, tmp_path / "one")
    for name in ("checkpoint", "teacher", "tiny"):
        one, two = (tensors(tmp_path / run / f"{name}.safetensors") for run in ("one", "two"))
        assert one.keys() == two.keys()
        for key in one:
            # Adam divides by a gradient's own size: where that is rounding, so is what it does to a weight.
            off = ~torch.isclose(two[key], one[key], rtol=1e-3, atol=1e-5)
            assert float(off.double().mean()) < 1e-3, f"{name}: {key}"
            torch.testing.assert_close(two[key], one[key], rtol=0, atol=1e-4, msg=f"{name}: {key}")
    rows = [(tmp_path / run / "metrics.csv").read_text().splitlines() for run in ("one", "two")]
    assert len(rows[0]) == len(rows[1]) == 5


def test_a_process_that_ends_while_it_should_make_batches_is_told_of(monkeypatch):
    monkeypatch.setattr(steps, "_begin_worker", os._exit)
    sampler: Any = 1  # what it ends with
    with pytest.raises(TrainingError, match="a process that makes batches ended, .*fewer --workers"):
        list(make_batches(sampler, range(2), 1, workers=1))


def test_processes_that_cannot_share_the_regions_are_refused(tmp_path, data):
    recipe = read_recipe(make_recipe(tmp_path, TEXT))
    with pytest.raises(RecipeError, match="3 processes cannot share the 2 regions .*schedule.regions"):
        train(recipe, data, tmp_path / "run", Terms(ranks=Ranks(0, 3)))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"WORLD_SIZE": "2"},
            "WORLD_SIZE is 2, but RANK is not set; start with torchrun, or unset WORLD_SIZE",
        ),
        ({"WORLD_SIZE": "abc"}, "WORLD_SIZE is 'abc', .*; start with torchrun"),
        ({"WORLD_SIZE": "9" * 5000}, "WORLD_SIZE is '9+', which is no whole number; start with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "x"}, "LOCAL_RANK is 'x', .*; start with torchrun"),
        ({"WORLD_SIZE": "2", "RANK": "2", "LOCAL_RANK": "0"}, "RANK is 2, but WORLD_SIZE 2; start"),
        (
            {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0"},
            "cannot join: .*MASTER_ADDR.*; start with torchrun",
        ),
    ],
)
def test_processes_that_torchrun_did_not_start_are_refused(monkeypatch, given, message):
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UsageError, match=message), joined(CPU):
        pass


def test_one_process_alone_leaves_numbers_as_they_are():
    tensor = torch.randn(3)
    before = tensor.clone()
    ranks = Ranks()
    ranks.average([tensor])
    ranks.share([tensor])
    ranks.wait()
    assert torch.equal(tensor, before)
    assert ranks.sums(1.5, 2.5) == [1.5, 2.5]
    assert ranks.first


def test_a_share_is_what_its_process_trains_on(tmp_path, data, monkeypatch):
    recipe = read_recipe(make_recipe(tmp_path, TEXT))
    sizes = []
    monkeypatch.setattr(Ranks, "average", lambda self, tensors: None)
    monkeypatch.setattr(Ranks, "share", lambda self, tensors: None)
    monkeypatch.setattr(Ranks, "sums", lambda self, *numbers: list(numbers))
    plain = Sampler.batch

    def spy(self, step):
        batch = plain(self, step)
        sizes.append((self.share, batch.target.shape[0]))
        return batch

    monkeypatch.setattr(Sampler, "batch", spy)
    train(recipe, data, tmp_path / "run", Terms(ranks=Ranks(1, 2)))
    assert set(sizes) == {((1, 2), 1)}
    assert not (tmp_path / "run" / "checkpoint.safetensors").exists()
