"""The benchmark that trains all that ships: its list is whole, and recipes that go on do so."""

import re

import pytest

from pancli.hashing import file_sha256
from pancli.networks.weights import read_card
from pancli.training.reading import read_recipe
from tests.benchmarks import shipped
from tests.training.made import TEXT, make_data, make_recipe

UNSHIPPED = {"bandset-large", "bandset-large-long"}


def test_every_recipe_is_in_the_list_and_what_ships_is_made_by_the_last_of_its_own():
    recipes = {path.stem: file_sha256(path) for path in shipped.RECIPES.glob("*.toml")}
    chains = shipped.CHAINS
    assert sorted(stem for chain in chains.values() for stem in chain) == sorted(recipes.keys() - UNSHIPPED)
    made_by = {read_card(path).recipe_sha256 for path in shipped.RECIPES.glob("*.safetensors")}
    assert made_by == {recipes[chain[-1]] for chain in chains.values()}
    for chain in chains.values():
        assert len({read_recipe(shipped.RECIPES / f"{stem}.toml").name for stem in chain}) == 1
    makefile = (shipped.RECIPES.parent / "Makefile").read_text()
    (listed,) = re.findall(r"^GPU_WEIGHTS := (.*)$", makefile, re.M)
    assert set(listed.split()) == chains.keys()


@pytest.fixture
def train(tmp_path, monkeypatch, capsys):
    """Train the two recipes of one name; what is printed."""
    for stem, seed in (("first", 7), ("second", 8)):
        text = TEXT.replace("steps = 4", "steps = 2").replace("seed = 7", f"seed = {seed}")
        make_recipe(tmp_path, text).rename(tmp_path / f"{stem}.toml")
    monkeypatch.setattr(shipped, "RECIPES", tmp_path)
    monkeypatch.setattr(shipped, "CHAINS", {"tiny": ("first", "second")})
    data = make_data(tmp_path / "data")

    def call(*more):
        given = ["--data", data, "--out", tmp_path / "runs", "--device", "cpu", *more]
        shipped.main([str(argument) for argument in given])
        return capsys.readouterr().out

    return call


def test_what_goes_on_from_another_begins_with_what_came_of_it(train, tmp_path, monkeypatch):
    assert train("--max-minutes", "0") == "tiny: first, student, step 1; the same command goes on\n"
    first, second = (tmp_path / "runs" / stem / "tiny.safetensors" for stem in ("first", "second"))
    assert not second.exists()
    assert train() == f"tiny: trained, {second}\n"
    assert file_sha256(first) in read_card(second).began_from
    monkeypatch.setattr(shipped, "train", lambda *_: pytest.fail("there is nothing left to train"))
    assert train("--weights", "tiny") == f"tiny: trained, {second}\n"
