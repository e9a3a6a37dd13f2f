"""Recipes: what is written is what runs, and nothing odd gets through."""

import hashlib
from pathlib import Path

import pytest

from pancli.errors import RecipeError
from pancli.training.recipe import read_recipe
from tests.training.made import TEXT, make_recipe

SHIPPED = Path(__file__).resolve().parents[2] / "weights" / "gcpnet.toml"


def test_values_arrive_with_their_types(tmp_path):
    path = make_recipe(tmp_path)
    recipe = read_recipe(path)
    assert (recipe.name, recipe.bands, recipe.seed) == ("tiny", 4, 7)
    assert [source.names for source in recipe.sources] == [("a",), ("b",)]
    assert recipe.schedule.steps == 4
    assert recipe.degradation.ratios == (2.0, 3.0, 4.0)
    assert recipe.validation.ratios == (2.0,)
    assert recipe.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_whole_numbers_serve_as_real_ones(tmp_path):
    path = make_recipe(tmp_path, TEXT.replace("weight = 2.0", "weight = 2"))
    weight = read_recipe(path).sources[0].weight
    assert isinstance(weight, float)
    assert weight == 2.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 4", "stepps = 4", "unknown key 'stepps'.*steps"),
        ("seed = 7", "sede = 7", "unknown key 'sede'"),
        ('kind = "truth"', 'kind = "truth"\nfile = "x"', "unknown key 'file'"),
        ("steps = 4", "", "'steps' is missing"),
        ('network = "gcpnet"', "", "'network' is missing"),
        ("steps = 4", "steps = 4.5", "steps: expected int, got 4.5"),
        ("steps = 4", "steps = true", "steps: expected int, got True"),
        ("steps = 4", 'steps = "4"', "steps: expected int, got '4'"),
        ("steps = 4", "steps = 0", "steps must be 1 or more"),
        ("patch = 16", "patch = 33", "patch must be 8 to the side of a region"),
        ("settle = 0.6", "settle = 1.5", "settle must be 0 to 1"),
        ('names = ["b"]', 'names = "b"', "names: expected a list"),
        ('names = ["b"]', "names = [1]", "names: expected str"),
        ('names = ["b"]', "names = []", "names must be not empty"),
        ("weight = 2.0", "weight = 0", "weight must be above 0"),
        ('kind = "truth"', 'kind = "video"', "'video' must be one of pairs, truth, simulated"),
        ("[validation]", "[degradation]\nms_gains = [0.5, 0.2]\n[validation]", "two rising numbers"),
        ("[validation]", "[degradation]\nms_gains = [0.5]\n[validation]", "expected a list of 2"),
        ("[validation]", "[degradation]\nratios = [1.0]\n[validation]", "ratios must be 1.5 to 8"),
        ("[validation]", "[degradation]\nratios = []\n[validation]", "ratios must be 1.5 to 8"),
        ("seed = 7", 'sha256 = "0"', "'sha256' is computed"),
        ("seed = 7", "seed = ", "not TOML"),
        ("seed = 7", "schedule = 3", "not TOML|expected a table"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    assert old in TEXT
    with pytest.raises(RecipeError, match=message):
        read_recipe(make_recipe(tmp_path, TEXT.replace(old, new, 1)))


def test_a_table_that_is_none_is_refused(tmp_path):
    text = TEXT.replace("[validation]", "[other]").replace("seed = 7", "validation = 3")
    with pytest.raises(RecipeError):
        read_recipe(make_recipe(tmp_path, text))


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(RecipeError, match=r"cannot read recipe .*none\.toml"):
        read_recipe(tmp_path / "none.toml")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not TOML"):
        read_recipe(path)


@pytest.mark.skipif(not SHIPPED.exists(), reason="no source tree")
def test_the_shipped_recipe_never_trains_on_what_it_validates_on():
    recipe = read_recipe(SHIPPED)
    for source in recipe.sources:
        assert not Path(source.folder).is_absolute()
        if source.folder == recipe.validation.folder:
            assert not set(source.names) & set(recipe.validation.names)
    assert not any("evaluate" in source.folder for source in recipe.sources)
