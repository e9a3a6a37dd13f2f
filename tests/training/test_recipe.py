"""Recipes: what is written is what runs, and nothing odd gets through."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from pancli.errors import RecipeError
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import read_card
from pancli.training.losses import least_patch
from pancli.training.reading import read_recipe
from pancli.training.recipe import Decay, Loss, Optimiser, Schedule
from tests.training.made import TAUGHT, TEXT, make_recipe

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "weights" / "gcpnet.toml"
README = ROOT / "README.md"
RECIPES = ROOT / "tests" / "benchmarks" / "recipes"


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
        ('name = "tiny"', "", "'name' is missing"),
        ("steps = 4", "steps = 4.5", "steps: expected int, got 4.5"),
        ("steps = 4", "steps = true", "steps: expected int, got True"),
        ("steps = 4", 'steps = "4"', "steps: expected int, got '4'"),
        ("weight = 2.0", f"weight = 1{'0' * 400}", "weight: expected a number of 64 bits, got one of 1329$"),
        ("steps = 4", f"steps = 1{'0' * 400}", "steps: expected a number of 64 bits, got one of 1329$"),
        ("steps = 4", f"steps = 1{'0' * 5000}", "not TOML"),
        ("steps = 4", "steps = 0", "steps must be 1 or more"),
        ("patch = 16", "patch = 33", "patch must be 8 to the side of a region"),
        ("seed = 7", "back_projections = 6", "back_projections must be 0 to 5"),
        ("seed = 7", "back_projections = 1", "patch must be the region where back_projections are"),
        ("[validation]", "[degradation]\nmisfit = 2.0\n[validation]", "misfit must be 0 to 1"),
        ("[validation]", "[degradation]\ngain_error = 1\n[validation]", "gain_error must be 0 or more"),
        ("settle = 0.6", "warm_up = 4", "warm_up must be 0 or more, fewer than its steps"),
        ("settle = 0.6", "settle = 1.5", "settle must be 0 to 1"),
        ('names = ["b"]', 'names = "b"', "names: expected a list"),
        ('names = ["b"]', "names = [1]", "names: expected str"),
        ('names = ["b"]', "names = []", "names must be not empty"),
        ("weight = 2.0", "weight = 0", "weight must be 1e-9 to 1e9"),
        (
            'kind = "truth"\nfolder = "real"\nnames = ["b"]',
            'kind = "simulated"\nfolder = "real"',
            "folder must be left out of kind 'simulated', .*; 'referenced' reads those of pancli simulate",
        ),
        (
            'kind = "truth"\nfolder = "real"\nnames = ["b"]',
            'kind = "simulated"\nnames = ["b"]',
            "names must be left out of kind 'simulated'",
        ),
        (
            'kind = "truth"\nfolder = "real"\nnames = ["b"]',
            'kind = "simulated"\nnodata = 0',
            "nodata must be left out of kind 'simulated'",
        ),
        ('kind = "truth"', 'kind = "video"', "must be one of pairs, referenced, truth, spectrum, simulated"),
        ('kind = "truth"', 'kind = "truth"\ncoarser = 0.5', "coarser must be 1 to 16"),
        ('kind = "truth"', 'kind = "spectrum"\ncoarser = 17', "coarser must be 1 to 16"),
        ('kind = "pairs"', 'kind = "pairs"\ncoarser = 2', "coarser must be 1 .* where there is a pan"),
        ("[validation]", "[degradation]\nms_gains = [0.5, 0.2]\n[validation]", "two rising numbers"),
        ("[validation]", "[degradation]\nms_gains = [0.5]\n[validation]", "expected a list of 2"),
        ("[validation]", "[degradation]\nratios = [1.0]\n[validation]", "ratios must be 1.5 to 8"),
        ("[validation]", "[degradation]\nratios = []\n[validation]", "ratios must be 1.5 to 8"),
        ("seed = 7", 'sha256 = "0"', "'sha256' is computed"),
        ("seed = 7", "seed = ", "not TOML"),
        ("seed = 7", "schedule = 3", "not TOML|expected a table"),
        (
            "steps = 4",
            "steps = 4\ndecay = {kind = 'line'}",
            "'line' must be one of cosine, steps",
        ),
        ("steps = 4", "steps = 4\ndecay = {kind = 'steps'}", "decay: period must be 1 or more"),
        ("seed = 7", "optimiser = {kind = 'lion'}", "'lion' must be one of adamw, adam, sgd"),
        ("seed = 7", "optimiser = {momentum = 1.0}", "optimiser: momentum"),
        ('name = "tiny"', 'name = "../up"', "name '../up' must be what a file can be named"),
        ('name = "tiny"', 'name = "a/b"', "name 'a/b' must be"),
        ('name = "tiny"', 'name = ""', "name '' must be"),
        ('name = "tiny"', 'name = "checkpoint"', "none of checkpoint, teacher"),
        ('name = "tiny"', 'name = "teacher"', "none of checkpoint, teacher"),
        ("seed = 7", "seed = -1", "seed must be 0 or more, below 2"),
        ("seed = 7", "bands = 0", "bands must be 1 to 1024"),
        ("seed = 7", "bands = 1025", "bands must be 1 to 1024"),
        ("seed = 7", "seed = 4294967296", "seed must be 0 or more, below 2"),
        ("weight = 2.0", "weight = 1e39", "weight must be 1e-9 to 1e9"),
        ("weight = 2.0", "weight = 1e-50", "weight must be 1e-9 to 1e9"),
        ("weight = 2.0", "weight = inf", "weight must be 1e-9 to 1e9"),
        ("weight = 2.0", "weight = nan", "weight must be 1e-9 to 1e9"),
        ("steps = 4", "steps = 4\nlearning_rate = nan", "learning_rate must be above 0"),
        ("steps = 4", "steps = 4\ncheckpoint_minutes = nan", "checkpoint_minutes must be 0 or more"),
        ("steps = 4", "steps = 4\ncheckpoint_minutes = -1", "checkpoint_minutes must be 0 or more"),
        ("crop = 24", "crop = 24\nsimulated = -1", "simulated must be 0 or more"),
        ("[validation]", "[degradation]\ngain_spread = nan\n[validation]", "gain_spread must be 0 to 1"),
        ("seed = 7", "loss = {}", "loss: weights must be"),
        ("seed = 7", "loss = {l1 = 1.0, sam = nan}", "loss: weights must be 0 or more and finite"),
        ("steps = 4", "steps = 4\nweight_decay = inf", "weight_decay must be 0 or more, and finite"),
        ("steps = 4", "steps = 4\nweight_decay = nan", "weight_decay must be 0 or more, and finite"),
        ("features = [0.1]", "features = [inf]", "features must be 0 or more, and finite"),
        ("features = [0.1]", "features = [0.1, nan]", "features must be 0 or more, and finite"),
        ("seed = 7", "loss = {l1 = -1.0}", "loss: weights must be"),
        ("seed = 7", "loss = {l1 = 1.0, ms = -0.1}", "loss: weights must be"),
        ("seed = 7", "loss = {l1 = 1.0, pan = inf}", "loss: weights must be"),
        ("seed = 7", "loss = {l1 = 1.0, reduction = 'max'}", "'max' must be one of mean, sum"),
        ("seed = 7", "precision = 'float16'", "'float16' must be one of float32, bfloat16"),
        ("seed = 7", "kept = 1.0", "kept must be 0 or more, below 1"),
        ("seed = 7", "averaged = 1.0", "averaged must be 0 or more, below 1"),
        ("seed = 7", "largest_ratio = 3.5", "largest_ratio must be those of degradation.ratios or above"),
        ("seed = 7", "largest_ratio = 9.0", "largest_ratio must be those of degradation.ratios or above"),
        ("seed = 7", "kept = 0.5\nmutual = {peer = 'ssml-spatial'}", "kept must be left out where there is"),
        ("seed = 7", "teacher = {kind = 'encoder'}", "teacher and distillation must be given both"),
        ("seed = 7", "distillation = {}", "teacher and distillation must be given both"),
        (
            "seed = 7",
            "distillation = {weights = 'bandset'}",
            "distillation: initialise must be false where weights teach",
        ),
        (
            "seed = 7",
            "teacher = {kind = 'encoder'}\ndistillation = {weights = 'bandset', initialise = false}",
            "teacher and distillation must be given both, or weights",
        ),
        ("crop = 24", "crop = 24\nbands = [-1]", "validation: bands must be 0 or more"),
        (
            'folder = "real"\nnames = ["v"]',
            'folder = "real"\nnames = ["v"]\nkind = "truth"',
            "pairs, referenced",
        ),
        ('kind = "encoder"', 'kind = "oracle"', "'oracle' must be one of encoder"),
        ("learning_rate = 2e-3", "patch = 8", "teacher: schedule: patch must be the student's"),
        ("learning_rate = 2e-3", "region = 40", "teacher: schedule: region must be the student's"),
        ("learning_rate = 2e-3", "stepz = 2", "unknown key 'stepz'"),
        (
            "features = [0.1]\noutput = 0.1",
            "initialise = false",
            "something to take",
        ),
        ("seed = 7", "frozen = ['head']", "frozen must be left out where there is a teacher"),
        ("features = [0.1]", "adapters = true", "adapters must be false where no features"),
        ("features = [0.1]", "features = [0.1]\nadapters = 1", "adapters: expected bool, got 1"),
        ("features = [0.1]", "features = [0.1]\ndistance = 'l3'", "'l3' must be one of l1, mse"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, old, new, message):
    text = TEXT if old in TEXT and "frozen" not in new else TAUGHT
    assert old in text
    with pytest.raises(RecipeError, match=message):
        read_recipe(make_recipe(tmp_path, text.replace(old, new, 1)))


@pytest.mark.parametrize(
    ("kind", "ratios", "least"),
    [
        ("pairs", "[2.0, 4.0]", 10),
        ("simulated", "[8.0]", 20),
        ("truth", "[2.2]", 8),
        ("referenced", "[8.0]", 8),
    ],
)
def test_regions_have_two_ms_pixels_a_side_wherever_their_grid_lies(tmp_path, kind, ratios, least):
    """Those that are referenced have a ratio of their own."""
    names = "" if kind == "simulated" else 'names = ["*"]'
    text = f'name = "small"\n[degradation]\nratios = {ratios}\n[[sources]]\nkind = "{kind}"\n{names}\n'
    for side in (least - 1, least):
        path = make_recipe(tmp_path, f"{text}[schedule]\nsteps = 1\npatch = 8\nregion = {side}\n")
        if side == least:
            assert read_recipe(path).schedule.region == least
        else:
            with pytest.raises(RecipeError, match=f"schedule: region must be {least} or|side of a region"):
                read_recipe(path)


def test_what_is_computed_is_not_told_as_a_key(tmp_path):
    with pytest.raises(RecipeError, match="known: averaged, back_projections, bands, .*version$") as caught:
        read_recipe(make_recipe(tmp_path, TEXT.replace("seed = 7", "sede = 7")))
    assert "sha256" not in str(caught.value)


def test_a_teacher_trains_as_its_student_where_it_does_not_say_otherwise(tmp_path):
    text = TAUGHT.replace("seed = 7", "optimiser = {kind = 'sgd'}\nloss = {mse = 2.0, reduction = 'sum'}")
    recipe = read_recipe(make_recipe(tmp_path, text))
    assert recipe.teacher is not None
    assert recipe.teacher.schedule == replace(recipe.schedule, steps=3, learning_rate=2e-3)
    assert recipe.teacher.optimiser == recipe.optimiser
    assert recipe.teacher.loss == recipe.loss == Loss(mse=2.0, reduction="sum")


def test_so_do_tables_in_its_tables(tmp_path):
    text = TAUGHT.replace("steps = 4", "steps = 4\ndecay = {kind = 'steps', factor = 0.2, period = 100}")
    text = text.replace("learning_rate = 2e-3", "decay = {factor = 0.5}")
    recipe = read_recipe(make_recipe(tmp_path, text))
    assert recipe.teacher is not None
    assert recipe.teacher.schedule.decay == Decay("steps", factor=0.5, period=100)
    assert recipe.schedule.decay == Decay("steps", factor=0.2, period=100)


def test_what_is_not_said_is_as_it_always_was(tmp_path):
    recipe = read_recipe(make_recipe(tmp_path))
    assert (recipe.loss, recipe.optimiser, recipe.precision) == (Loss(l1=1.0), Optimiser("adamw"), "float32")
    assert recipe.teacher is None
    assert recipe.distillation is None
    rates = [recipe.schedule.decay.rate(step, 4) for step in range(5)]
    assert rates == pytest.approx([1, 0.8535534, 0.5, 0.1464466, 0])


def test_rates_fall_as_they_are_told():
    falls = Decay("steps", factor=0.1, period=3)
    assert [falls.rate(step, 8) for step in range(8)] == pytest.approx([1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])
    assert [Decay(floor=0.2).rate(step, 2) for step in range(3)] == pytest.approx([1, 0.6, 0.2])


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


@pytest.mark.parametrize("name", sorted(path.stem for path in SHIPPED.parent.glob("*.toml")))
def test_the_shipped_recipes_never_train_on_what_they_validate_on(name):
    recipe = read_recipe(SHIPPED.with_name(f"{name}.toml"))
    for source in recipe.sources:
        assert not Path(source.folder).is_absolute()
        if source.folder == recipe.validation.folder:
            assert not set(source.names) & set(recipe.validation.names)
    assert not any("evaluate" in source.folder for source in recipe.sources)


@pytest.mark.skipif(not README.exists(), reason="no source tree")
def test_the_recipes_of_the_readme_can_be_read(tmp_path):
    own, taught = README.read_text().split("```toml\n")[1:]
    own, taught = (text.split("```")[0] for text in (own, taught))
    recipe = read_recipe(make_recipe(tmp_path, own))
    assert (recipe.network, recipe.back_projections) == ("bandset", 3)
    least = [line for line in own.splitlines() if line.startswith(("name =", "sources", "schedule"))]
    recipe = read_recipe(make_recipe(tmp_path, "\n".join([*least, taught])))
    assert recipe.network == "gcpnet"
    assert recipe.teacher is not None
    assert recipe.teacher.schedule == recipe.schedule


def test_the_recipe_of_the_last_stage_of_msinn_trains_its_refinement_alone():
    recipe = read_recipe(RECIPES / "msinn-refined.toml")
    network = NETWORKS[recipe.network](recipe.bands, 1)
    assert [name for name, _ in network.named_children() if name not in recipe.frozen] == ["unit1", "unit2"]
    assert recipe.loss == Loss(l1=1.0, ms=0.1, pan=0.1)
    assert recipe.schedule.patch >= least_patch(4)
    assert set(recipe.degradation.ratios) == set(recipe.validation.ratios) == {4.0}


def test_weights_that_hold_beyond_the_ratios_they_are_trained_with_say_so():
    recipe = read_recipe(ROOT / "weights" / "bandset-wider.toml")
    card = read_card(ROOT / "weights" / "bandset.safetensors")
    assert max(recipe.degradation.ratios) == 4.0
    assert card.ratios == (1.9, 6.1)
    assert card.recipe_sha256 == recipe.sha256
    assert "5 and 6" in card.limits


@pytest.mark.parametrize("name", ["gcpnet-plain", "gcpnet-distilled"])
def test_the_recipes_to_compare_differ_in_the_teacher_alone(name):
    recipe, shipped = read_recipe(RECIPES / f"{name}.toml"), read_recipe(SHIPPED)
    assert recipe.name == name
    assert recipe.sources == shipped.sources
    assert recipe.degradation == shipped.degradation
    assert recipe.validation == shipped.validation
    assert recipe.schedule == replace(shipped.schedule, steps=1000, validate_every=250)
    assert (recipe.teacher is None) == (name == "gcpnet-plain")


def test_the_rate_rises_before_it_falls():
    schedule = Schedule(steps=8, learning_rate=0.1, warm_up=3)
    plain = [schedule.learning_rate * schedule.decay.rate(step, 8) for step in range(8)]
    rates = [schedule.rate(step) for step in range(8)]
    assert rates[:3] == pytest.approx([plain[0] / 4, plain[1] / 2, plain[2] * 0.75])
    assert rates[3:] == plain[3:]
