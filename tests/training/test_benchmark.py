"""The benchmarks that train: stopped, they go on; done, they say so in a table."""

from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from pancli.networks.registry import NETWORKS
from pancli.training import loop
from pancli.training.sources import load_image, load_pair
from tests.benchmarks import ablation, arrays, examples, networks
from tests.benchmarks.variants import VARIANTS
from tests.far import far_away
from tests.scenes import make_scene, write
from tests.training.made import TEXT, make_data, make_recipe


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """The benchmark on a tiny budget; what it prints."""
    text = TEXT.replace("ratios = [2.0]", "ratios = [4.0]") + "[degradation]\nratios = [4.0]\n"
    monkeypatch.setattr(networks, "TEMPLATE", make_recipe(tmp_path, text))
    data = make_data(tmp_path / "data")

    def call(*more, names="pnn,gcpnet"):
        given = ["--data", data, "--out", tmp_path / "out", "--steps", 2, "--networks", names, *more]
        networks.main([str(argument) for argument in given])
        return capsys.readouterr().out

    return call


def test_arrays_are_the_rasters_for_machines_without_gdal(tmp_path, capsys):
    scene = make_scene(tmp_path / "data" / "pairs" / "a", size=(66, 64), ratio=3.0, ms_offset=(1.5, -0.5))
    (tmp_path / "data" / "truths").mkdir()
    scene.ms_image[1, 2, 3] = 0
    write(tmp_path / "data" / "truths" / "b.tif", scene.ms_image, scene.ms_transform, nodata=0)
    arrays.main(["--data", f"{tmp_path}/data", "--out", f"{tmp_path}/arrays", "--folders", "pairs,truths"])
    assert capsys.readouterr().out.endswith("0 MB\n")
    here, there = (load_pair(tmp_path / folder / "pairs", "a") for folder in ("data", "arrays"))
    assert (here.bands == there.bands).all()
    assert here.pan is not None
    assert there.pan is not None
    assert (here.pan == there.pan).all()
    assert here.placement == there.placement
    assert here.placement.rows.offset == pytest.approx(-0.5)
    folders = [tmp_path / folder / "truths" for folder in ("data", "arrays")]
    (truth, valid), (array, known) = (load_image(folder, "b", "truth", None) for folder in folders)
    assert (valid == known).all()
    assert np.argwhere(~valid).tolist() == [[2, 3]]
    assert (truth == array)[:, valid].all()


@pytest.mark.slow
def test_stopped_it_goes_on_and_trained_it_prints_a_table(run, monkeypatch, tmp_path):
    first = run("--device", "cpu", "--max-minutes", "1e-6", names="pnn")
    assert first == "time is up; the same command goes on\n"
    told = run("--device", "cpu")
    assert "<!-- pnn: trained -->" in told
    rows = [line.split(" | ") for line in told.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == ["| network", "| exp", "| gsa", "| mtf-glp-hpm", "| pnn", "| gcpnet"]
    assert rows[0][4] == "MPix/s, cpu"
    assert {len(row) for row in rows} == {6}
    assert float(rows[4][4]) > 0
    monkeypatch.setattr(networks, "train", lambda *_: pytest.fail("there is nothing left to train"))
    again = [line.split(" | ") for line in run("--device", "cpu").splitlines() if line.startswith("| ")]
    assert [row[:4] + row[5:] for row in again] == [row[:4] + row[5:] for row in rows]


def test_it_trains_and_is_timed_on_the_device_asked_for(run, monkeypatch):
    trained, timed = [], []
    plain = loop.train

    def train(recipe, data, folder, terms):
        trained.append((recipe.name, str(terms.ranks.device), terms.workers, 4 < terms.max_minutes < 5))
        return plain(recipe, data, folder, terms)

    def speed(method, scene):
        timed.append(str(scene.device))
        return 1.0

    monkeypatch.setattr(networks, "find_device", lambda name: torch.device(name.replace("cuda", "cpu")))
    monkeypatch.setattr(networks, "train", train)
    monkeypatch.setattr(networks, "_speed", speed)
    run("--device", "cuda:0", "--workers", "1", "--max-minutes", "5", names="pnn")
    assert trained == [("pnn", "cpu:0", 1, True)]
    assert timed == 4 * ["cpu:0"]


def test_forms_of_bandset_are_trained_and_told_of_on_one_budget(tmp_path, monkeypatch, capsys):
    text = TEXT.replace('"gcpnet"', '"bandset"').replace("patch = 16", "patch = 32")
    text = text.replace("seed = 7", "seed = 1")  # as whole-1 has it
    monkeypatch.setattr(ablation, "RECIPE", make_recipe(tmp_path, text))
    runs = [name.removeprefix("bandset-") for name in VARIANTS]
    given = ["--data", make_data(tmp_path / "data"), "--out", tmp_path / "out", "--steps", 1]
    with patch.dict(NETWORKS):
        ablation.main([*map(str, given), "--runs", ",".join(("whole-1", *runs))])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows[4:]] == ["| whole-1", *(f"| {name}" for name in runs)]
    whole, *others = (
        load_file(tmp_path / "out" / name / f"{name}.safetensors") for name in ("whole-1", *runs)
    )
    for other in others:
        assert other.keys() != whole.keys() or any(not torch.equal(other[key], whole[key]) for key in whole)


def test_examples_are_timed_where_they_are_drawn_and_steps_with_and_without_processes(
    tmp_path, monkeypatch, capsys
):
    terms, plain = [], loop.train

    def train(recipe, data, folder, given, on_step):
        terms.append((given.ranks.device.type, given.workers))
        return plain(recipe, data, folder, replace(given, workers=None), on_step)

    monkeypatch.setattr(examples, "train", train)
    given = ["--data", make_data(tmp_path / "data"), "--recipe", make_recipe(tmp_path), "--scenes", 3]
    with far_away() as far:
        monkeypatch.setattr(examples, "find_device", {"cuda": far}.get)
        examples.main([*map(str, given), "--device", "cuda", "--steps", "1", "--workers", "2"])
    rows = [line.split(" | ") for line in capsys.readouterr().out.splitlines()[2:]]
    assert [row[0] for row in rows] == [
        "| a simulated scene of 32 x 32 pixels on cpu",
        "| the examples of a step on cpu",
        "| a simulated scene of 32 x 32 pixels on meta",
        "| the examples of a step on meta",
        "| steps on meta, examples by 2 threads",
        "| steps on meta, examples by 2 processes",
    ]
    assert all(float(row[1].split()[0]) > 0 for row in rows)
    assert terms == [("meta", None), ("meta", 2)]
