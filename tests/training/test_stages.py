"""Teacher and student: what is shared, what is frozen, what is imitated."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pancli.device import CPU
from pancli.errors import PancliError, RecipeError, TrainingError
from pancli.methods.registry import METHODS
from pancli.metrics.reference import ReferenceSums
from pancli.networks.msinn import MSINN
from pancli.networks.protocol import Outcome
from pancli.networks.weights import load_weights, read_card, save_weights
from pancli.resampling import degrade
from pancli.scene import fuse_scene
from pancli.tiling import Window
from pancli.training.initial import load_initial
from pancli.training.loop import train
from pancli.training.objectives import Mutually, Supervised, weight_left
from pancli.training.reading import read_recipe
from pancli.training.recipe import Distillation, Validation
from pancli.training.run import Terms
from pancli.training.sampling import Sampler
from pancli.training.stages import Workshop, stage_names
from pancli.training.teachers import Encoder, Taught, Teacher, VariationalTeacher
from pancli.training.validation import load_cases, measure, measure_teacher
from tests.training.made import TAUGHT, TEXT, make_data, make_recipe


@pytest.fixture
def recipe(tmp_path):
    return read_recipe(make_recipe(tmp_path, TAUGHT))


@pytest.fixture
def batch(tmp_path, recipe):
    return Sampler.load(recipe, make_data(tmp_path / "data")).batch(0)


def taught(tmp_path, recipe, steps=3, batch=None):
    """A workshop whose teacher has taken some steps and left its file; that teacher too."""
    workshop = Workshop(recipe, CPU, tmp_path)
    stage = workshop.stage("teacher")
    descend(stage, batch, steps)
    workshop.finish(stage)
    return workshop, stage.parts["teacher"].module


def descend(stage, batch, steps):
    for step in range(steps):
        for part in stage.parts.values():
            part.module.train()
            part.optimiser.zero_grad()
        torch.stack(list(stage.objective(batch, step / 10).values())).sum().backward()
        for part in stage.parts.values():
            part.optimiser.step()


def test_the_encoder_has_its_published_size():
    assert sum(p.numel() for p in Encoder(4).parameters()) == 90_611


def test_the_code_is_narrower_than_the_truth(batch):
    """What lies within a cell of the encoder's stride is not copied: pixels mix."""
    encoder = Encoder(4)
    inner = encoder.layers(batch.target)
    assert inner.shape[2:] == (4, 4)
    assert encoder(batch.target).shape == batch.target.shape


def test_a_student_that_sees_the_code_is_its_teacher_exactly(tmp_path, recipe, batch):
    workshop, _ = taught(tmp_path, recipe, batch=batch)
    stage = workshop.stage("student")
    teacher, student = stage.objective.teacher, stage.networks["tiny"].eval()
    with torch.no_grad():
        code = teacher.encoder(batch.target)
        outcome = student(batch.inputs._replace(bms=code))
        expected = teacher(batch)
    assert torch.equal(outcome.residual + code, expected.fused)
    assert all(torch.equal(a, b) for a, b in zip(outcome.features, expected.features, strict=True))


class Shown(Teacher):
    """Makes of a batch what a function makes of it."""

    def __init__(self, make):
        super().__init__()
        self.make = make
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, seen):
        return Taught(self.make(seen), (), self.weight)

    def initialise(self, student):
        raise AssertionError("only measured")


@pytest.mark.parametrize("network", ["gcpnet", "pannet", "sfinet"])
def test_a_teacher_that_interpolates_is_measured_as_interpolation_is(tmp_path, recipe, network):
    """Six bands go through in two groups, whatever their order in the network."""
    crop = 128 if network == "sfinet" else 30
    folder = tmp_path / "data"
    rng = np.random.default_rng(1)
    ms = rng.integers(20, 255, (6, 130, 130), dtype=np.uint8)
    folder.mkdir()
    np.save(folder / "w-ms.npy", ms)
    np.save(folder / "w-pan.npy", np.repeat(np.repeat(ms[2], 2, 0), 2, 1))
    cases = load_cases(Validation(names=("w",), ratios=(2.0,), crop=crop), folder)
    named = replace(recipe, network=network)
    found = measure_teacher(Shown(lambda seen: seen.inputs.bms), named, cases)
    side = {"gcpnet": 30, "pannet": 28, "sfinet": 128}[network]
    exp = METHODS["exp"]
    fused = fuse_scene(exp, cases[0].scene, exp.fit(cases[0].scene))[:, :side, :side]
    psnr = ReferenceSums.of(fused, cases[0].truth[:, :side, :side]).psnr(255.0)
    assert list(found) == list(measure(exp, cases))
    assert found[cases[0].group].psnr == pytest.approx(psnr, rel=1e-5)
    assert measure_teacher(Shown(lambda seen: seen.target), named, cases)[cases[0].group].psnr > 100


def test_an_image_smaller_than_the_window_of_a_network_is_not_shown_to_its_teacher(tmp_path, recipe):
    cases = load_cases(recipe.validation, make_data(tmp_path / "data"))
    assert cases
    assert measure_teacher(Shown(lambda seen: seen.target), replace(recipe, network="sfinet"), cases) == {}


def test_distillation_is_nothing_where_the_student_is_the_teacher(tmp_path, recipe, batch):
    workshop, _ = taught(tmp_path, recipe, batch=batch)
    stage = workshop.stage("student")
    stage.networks["tiny"].eval()
    with torch.no_grad():
        code = stage.objective.teacher.encoder(batch.target)
        same = stage.objective.teacher(batch)

        class Echo(torch.nn.Module):
            def forward(self, seen):
                return same

        seen = batch._replace(inputs=batch.inputs._replace(bms=code))
        terms = replace(stage.objective, teacher=Echo())(seen, 0.0)
        other = stage.objective(batch, 0.0)
    assert float(terms["feature 0"]) == float(terms["output"]) == 0
    assert float(other["feature 0"]) > 0 and float(other["output"]) > 0


def test_the_teacher_stays_as_it_is_while_the_student_learns(tmp_path, recipe, batch):
    workshop, trained = taught(tmp_path, recipe, batch=batch)
    before = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    stage = workshop.stage("student")
    start = {name: tensor.clone() for name, tensor in stage.networks["tiny"].state_dict().items()}
    descend(stage, batch, 10)
    after = stage.objective.teacher.state_dict()
    assert before.keys() == after.keys()
    assert [name for name in before if not torch.equal(before[name], after[name])] == []
    moved = stage.networks["tiny"].state_dict()
    assert not torch.equal(start["head.0.weight"], moved["head.0.weight"])
    assert not any(p.requires_grad for p in stage.objective.teacher.parameters())


def test_the_constraint_pulls_the_code_to_bms(tmp_path, recipe, batch):
    apart = []
    for weight in (0.0, 100.0):
        assert recipe.teacher is not None
        held = replace(recipe, teacher=replace(recipe.teacher, constraint=weight))
        _, teacher = taught(tmp_path, held, steps=40, batch=batch)
        with torch.no_grad():
            apart.append(float(teacher(batch).constraint))
    assert apart[1] < 0.7 * apart[0]


def test_without_initialisation_the_student_starts_as_a_plain_one(tmp_path, recipe, batch):
    fresh = replace(recipe, distillation=replace(recipe.distillation, initialise=False))
    workshop, _ = taught(tmp_path, fresh, batch=batch)
    plain = Workshop(replace(recipe, teacher=None, distillation=None), CPU, tmp_path).stage("student")
    one, two = (stage.networks["tiny"].state_dict() for stage in (workshop.stage("student"), plain))
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.parametrize(("at", "left"), [(0.0, 1.0), (0.8, 1.0), (0.9, 0.5), (1.0, 0.0)])
def test_weights_fall_to_nothing_over_the_last_part(at, left):
    assert weight_left(0.2, at) == pytest.approx(left)
    assert weight_left(0.0, at) == 1


def test_adapters_change_nothing_at_first_and_are_learnt_and_not_exported(tmp_path, recipe, batch):
    adapted = replace(recipe, distillation=replace(recipe.distillation, adapters=True))
    workshop, _ = taught(tmp_path, adapted, batch=batch)
    plain, stage = Workshop(recipe, CPU, tmp_path).stage("student"), workshop.stage("student")
    for one in (plain, stage):
        one.parts["student"].module.eval()
    with torch.no_grad():
        assert float(stage.objective(batch, 0.0)["feature 0"]) == pytest.approx(
            float(plain.objective(batch, 0.0)["feature 0"]), rel=1e-5
        )
    before = stage.objective.adapters[0].weight.detach().clone()
    descend(stage, batch, 2)
    assert not torch.equal(before, stage.objective.adapters[0].weight)
    assert stage.networks["tiny"].state_dict().keys() == plain.networks["tiny"].state_dict().keys()


@pytest.fixture
def led(tmp_path, recipe):
    """A recipe whose teacher is given: bandset-large, for a bandset."""
    run = train(
        replace(of_sets(recipe), network="bandset-large", name="large"), data(tmp_path), tmp_path / "large"
    )
    plan = Distillation(
        weights=str(run.weights("large")), initialise=False, features=(0.1,), output=1.0, adapters=True
    )
    return replace(of_sets(recipe), distillation=plan)


def of_sets(recipe):
    """The recipe for a network that takes whole regions and rounds of back-projection, alone."""
    schedule = replace(recipe.schedule, steps=2, patch=32)
    return replace(
        recipe, network="bandset", back_projections=1, teacher=None, distillation=None, schedule=schedule
    )


def student_of(recipe, folder):
    return Workshop(recipe, CPU, folder).stage("student")


def data(tmp_path):
    folder = tmp_path / "data"
    return folder if folder.exists() else make_data(folder)


def test_weights_teach_without_a_first_stage(tmp_path, led):
    assert stage_names(led) == ("student",)
    batch = Sampler.load(led, data(tmp_path)).batch(0)
    stage = student_of(led, tmp_path)
    teacher = stage.objective.teacher.supervised.network
    before = {name: tensor.clone() for name, tensor in teacher.state_dict().items()}
    terms = stage.objective(batch, 0.0)
    assert float(terms["output"].detach()) > 0 and float(terms["feature 0"].detach()) > 0
    with torch.no_grad():
        seen = Supervised(teacher, led.loss, led.precision, 1).run(batch)[0]
        torch.testing.assert_close(stage.objective.teacher(batch).fused, seen)
    descend(stage, batch, 3)
    assert all(torch.equal(tensor, before[name]) for name, tensor in teacher.state_dict().items())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())
    assert {name: type(network).__name__ for name, network in stage.networks.items()} == {"tiny": "BandSet"}


def test_nothing_is_left_to_learn_from_weights_that_are_the_students_own(tmp_path, led):
    student = train(of_sets(led), data(tmp_path), tmp_path / "first").weights("tiny")
    plan = replace(led.distillation, weights=str(student), features=())
    same = replace(led, distillation=plan)
    batch = Sampler.load(same, data(tmp_path)).batch(0)
    stage = Workshop(same, CPU, tmp_path, load_initial(str(student), same)).stage("student")
    stage.networks["tiny"].eval()
    left = float(stage.objective(batch, 0.0)["output"].detach())
    assert left < 1e-10  # a teacher goes through its bands one by one, which rounds otherwise


def test_the_card_of_a_student_names_the_weights_that_taught_it(tmp_path, led):
    run = train(led, data(tmp_path), tmp_path / "run")
    card = load_weights(run.weights("tiny"))[1]
    assert card.teacher.startswith("large.safetensors, SHA-256 ")
    assert card.teacher.endswith("taken from it: features through adapters (weights 0.1), output (weight 1)")
    assert card.licence == "not stated; taught by large, not stated"


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"weights": "none.safetensors"}, "distillation.weights none.safetensors: is neither"),
        ({"weights": "gcpnet"}, "gcpnet, 4 bands. does not take what bandset of 4 bands takes"),
        ({"adapters": False}, "features have .32. channels, the teacher's .64.; set adapters"),
    ],
)
def test_weights_that_cannot_teach_are_refused(tmp_path, led, change, told):
    other = replace(led, distillation=replace(led.distillation, **change))
    with pytest.raises(PancliError, match=told):
        Workshop(other, CPU, tmp_path).stage("student")


@pytest.mark.parametrize(
    ("student", "schedule", "weights", "told"),
    [
        ("bandset-small", {"region": 32, "patch": 16}, "bandset", "bandset ends in rounds .* whole regions"),
        (
            "gcpnet",
            {"patch": 18, "region": 36},
            "msinn",
            "msinn takes windows at multiples of 4, but patches",
        ),
        (
            "gcpnet",
            {"patch": 18, "region": 36},
            "premix-h",
            "premix-h takes windows at multiples of 32, but",
        ),
    ],
)
def test_weights_that_do_not_see_what_the_student_sees_are_refused(
    tmp_path, recipe, student, schedule, weights, told
):
    plan = Distillation(weights=weights, initialise=False, output=0.1)
    other = replace(
        recipe,
        network=student,
        teacher=None,
        distillation=plan,
        schedule=replace(recipe.schedule, **schedule),
    )
    with pytest.raises(RecipeError, match=told):
        Workshop(other, CPU, tmp_path).stage("student")


def test_a_run_neither_begins_from_nor_is_taught_by_what_it_writes(tmp_path, led):
    own = tmp_path / "large" / "large.safetensors"
    taught = replace(led, name="large")
    with pytest.raises(RecipeError, match="distillation.weights .*large.safetensors is what this run writes"):
        train(taught, data(tmp_path), tmp_path / "large", Terms(fresh=True))
    plain = replace(of_sets(led), network="bandset-large", name="large")
    with pytest.raises(RecipeError, match="--init .*large.safetensors is what this run writes"):
        train(plain, data(tmp_path), tmp_path / "large", Terms(fresh=True, init=str(own)))


def test_a_run_goes_on_only_with_the_weights_that_taught_it(tmp_path, led):
    train(led, data(tmp_path), tmp_path / "run")
    path = Path(led.distillation.weights)
    network, card = load_weights(path)
    save_weights(network, replace(card, limits="others"), path)
    with pytest.raises(RecipeError, match="was taught by large.safetensors, SHA-256 .* not by large"):
        train(led, data(tmp_path), tmp_path / "run")


def test_of_a_taught_run_the_weights_it_began_from_are_kept(tmp_path, recipe, batch):
    """Not those that its teacher gave it."""
    plain = replace(recipe, teacher=None, distillation=None)
    first = train(plain, data(tmp_path), tmp_path / "first").weights("tiny")
    taught(tmp_path, recipe, batch=batch)
    keeping = replace(recipe, kept=0.5)
    stage = Workshop(keeping, CPU, tmp_path, load_initial(str(first), keeping)).stage("student")
    begun = load_weights(first)[0].state_dict()
    assert all(torch.equal(tensor, begun[name]) for name, tensor in stage.first["tiny"].items())


def test_more_weights_than_features_are_refused(tmp_path, recipe, batch):
    many = replace(recipe, distillation=replace(recipe.distillation, features=(1.0, 1.0)))
    taught(tmp_path, recipe, batch=batch)
    for stage in stage_names(many):  # the teacher's too, before it is trained for nothing
        with pytest.raises(RecipeError, match="2 weights, but this network has 1 features"):
            Workshop(many, CPU, tmp_path).stage(stage)


def test_a_damaged_teacher_is_refused(tmp_path, recipe, batch):
    workshop, _ = taught(tmp_path, recipe, batch=batch)
    path = tmp_path / "teacher.safetensors"
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TrainingError, match="teacher.safetensors: .*--fresh"):
        workshop.stage("student")


def test_half_precision_is_near_and_its_loss_is_not_half(tmp_path, recipe, batch):
    low = replace(recipe, precision="bfloat16")
    both = [taught(tmp_path, one, steps=1, batch=batch)[0].stage("student") for one in (recipe, low)]
    for stage in both:
        stage.parts["student"].module.eval()
    with torch.no_grad():
        one, two = (stage.objective(batch, 0.0) for stage in both)
    assert all(term.dtype == torch.float32 for term in two.values())
    assert float(two["l1"]) == pytest.approx(float(one["l1"]), rel=0.05)
    assert float(two["l1"]) != float(one["l1"])


@pytest.fixture
def variational(tmp_path):
    text = TAUGHT.replace('network = "gcpnet"', 'network = "msinn"').replace(
        'kind = "encoder"', 'kind = "vae"'
    )
    return read_recipe(make_recipe(tmp_path, text.replace("features = [0.1]", "features = [0.1, 0.2]")))


def test_the_variational_teacher_has_the_size_of_its_design():
    teacher = VariationalTeacher(MSINN(4, 256))
    parts = (teacher, teacher.encoder, teacher.head, teacher.extract, teacher.refine)
    assert [sum(p.numel() for p in part.parameters()) for part in parts] == [
        251_606,
        76_224,
        99_432,
        73_864,
        2_086,
    ]


def test_its_code_is_drawn_in_training_and_fixed_when_it_teaches(batch):
    torch.manual_seed(0)
    teacher = VariationalTeacher(MSINN(4, 256))
    with torch.no_grad():
        one, two = teacher(batch).fused, teacher(batch).fused
        assert not torch.equal(one, two)
        teacher.eval()
        assert torch.equal(teacher(batch).fused, teacher(batch).fused)


def test_its_constraint_is_the_divergence_from_a_normal_distribution(batch):
    torch.manual_seed(0)
    teacher = VariationalTeacher(MSINN(4, 256)).eval()
    with torch.no_grad():
        code = teacher.encoder(batch.target)
        found = float(teacher(batch).constraint)
    mean, spread = code[:, :16].double(), code[:, 16:].double()
    normal = torch.distributions.Normal(mean, (0.5 * spread).exp())
    standard = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = float(torch.distributions.kl_divergence(normal, standard).mean())
    assert found == pytest.approx(expected, rel=1e-4)
    assert mean.shape == (2, 16, 4, 4)


def test_a_student_shown_its_teacher_s_start_ends_as_it_does(tmp_path, variational, batch):
    workshop, _ = taught(tmp_path, variational, batch=batch)
    stage = workshop.stage("student")
    teacher, student = stage.objective.teacher, stage.networks["tiny"].eval()
    with torch.no_grad():
        expected = teacher(batch)
        middle = student.extract(expected.features[0])
        assert torch.equal(middle, expected.features[1])
        assert torch.equal(student.refine(middle), expected.fused)
    terms = stage.objective(batch, 0.0)
    assert {"feature 0", "feature 1", "output"} <= set(terms)


def test_the_constraint_may_rise_slowly(tmp_path, recipe, batch):
    slow = replace(recipe, teacher=replace(recipe.teacher, warm_up=0.5))
    objective = Workshop(slow, CPU, tmp_path).stage("teacher").objective
    with torch.no_grad():
        told = [float(objective(batch, at)["constraint"]) for at in (0.0, 0.25, 0.5, 1.0)]
    assert told[0] == 0
    assert told[1] == pytest.approx(told[2] / 2)
    assert told[2] == told[3] > 0


@pytest.mark.parametrize(
    ("network", "kind", "message"),
    [("gcpnet", "vae", "'vae' teaches msinn"), ("msinn-refined", "encoder", "takes bms alone")],
)
def test_a_teacher_that_does_not_fit_is_refused(tmp_path, recipe, network, kind, message):
    other = replace(recipe, network=network, teacher=replace(recipe.teacher, kind=kind))
    with pytest.raises(RecipeError, match=message):
        Workshop(other, CPU, tmp_path).stage("teacher")


@pytest.fixture
def mutual(tmp_path):
    text = TEXT.replace('network = "gcpnet"', 'network = "ssml-spectral"')
    return read_recipe(make_recipe(tmp_path, text + '[mutual]\npeer = "ssml-spatial"\nwarm_up = 0.5\n'))


def test_peers_learn_from_each_other_only_after_a_while_and_more_and_more(tmp_path, mutual, batch):
    eager = replace(mutual, mutual=replace(mutual.mutual, balance=False))
    objective = Workshop(eager, CPU, tmp_path).stage("student").objective
    with torch.no_grad():
        early, middle, late = (objective(batch, at) for at in (0.5, 0.75, 1.0))
    assert not any("from peer" in name for name in early)
    for name in ("spectral from peer", "spatial from peer"):
        assert float(middle[name]) == pytest.approx(float(late[name]) / 2, rel=1e-5)


def test_peers_learn_only_from_who_is_better(tmp_path, mutual, batch):
    """The truth is better than anything: whoever has it teaches, and is not taught."""
    objective = Workshop(mutual, CPU, tmp_path).stage("student").objective
    assert isinstance(objective, Mutually)

    class Knows(torch.nn.Module):
        def forward(self, inputs):
            return Outcome(batch.target - batch.inputs.bms)

    for knower, taught_term in (("spectral", "spatial from peer"), ("spatial", "spectral from peer")):
        one = replace(objective, **{knower: replace(getattr(objective, knower), network=Knows())})
        with torch.no_grad():
            told = {name for name in one(batch, 1.0) if "from peer" in name}
        assert told == {taught_term}


def test_each_peer_has_a_loss_of_its_own(tmp_path, mutual, batch):
    """What one learns from the other moves it and not the other."""
    eager = replace(mutual, mutual=replace(mutual.mutual, balance=False))
    stage = Workshop(eager, CPU, tmp_path).stage("student")
    terms = stage.objective(batch, 1.0)
    for name, part in stage.parts.items():
        other = next(p for key, p in stage.parts.items() if key != name)
        own = torch.stack([term for key, term in terms.items() if key.startswith(name)]).sum()
        own.backward(retain_graph=True)
        assert all(p.grad is not None for p in part.module.parameters())
        assert all(p.grad is None for p in other.module.parameters())
        part.optimiser.zero_grad()


def test_both_peers_are_measured_and_exported(tmp_path, mutual):
    run = train(mutual, make_data(tmp_path / "data"), tmp_path / "run")
    assert set(run.progress.best) == {"tiny", "tiny-ssml-spatial"}
    for stem, network in (("tiny", "ssml-spectral"), ("tiny-ssml-spatial", "ssml-spatial")):
        card = load_weights(run.weights(stem))[1]
        assert (card.name, card.network) == (stem, network)
        assert card.teacher == "mutual learning of ssml-spectral and ssml-spatial, weight 0.1"
    rows = list(csv.DictReader((tmp_path / "run" / "metrics.csv").read_text().splitlines()))
    assert [(row["step"], row["weights"]) for row in rows] == [
        ("2", "tiny"),
        ("2", "tiny-ssml-spatial"),
        ("4", "tiny"),
        ("4", "tiny-ssml-spatial"),
    ]


def test_only_the_network_that_began_from_weights_says_so(tmp_path, mutual):
    short = replace(mutual, schedule=replace(mutual.schedule, steps=1))
    first = train(replace(short, mutual=None), data(tmp_path), tmp_path / "first").weights("tiny")
    run = train(short, data(tmp_path), tmp_path / "run", Terms(init=str(first)))
    own, peer = (read_card(run.weights(stem)) for stem in ("tiny", "tiny-ssml-spatial"))
    assert own.began_from.startswith("tiny, version 1, SHA-256 ")
    assert own.licence == "not stated; began from tiny, not stated"
    assert peer.began_from == ""
    assert peer.licence == "not stated; taught by what began from tiny, not stated"


@pytest.mark.parametrize(
    ("network", "peer"),
    [("ssml-spectral", "msinn"), ("premix-b", "bandset-small"), ("bandset-small", "premix-b")],
)
def test_peers_of_other_inputs_are_refused(tmp_path, mutual, network, peer):
    other = replace(mutual, network=network, mutual=replace(mutual.mutual, peer=peer))
    with pytest.raises(RecipeError, match=f"{network} and {peer} do not take the same inputs"):
        Sampler.load(other, make_data(tmp_path / "data"))


def test_a_network_is_judged_after_its_back_projections(tmp_path):
    text = TEXT.replace("patch = 16", "patch = 32").replace('"gcpnet"', '"bandset"')
    plain = read_recipe(make_recipe(tmp_path, text))
    recipe = replace(plain, back_projections=3)
    batch = Sampler.load(recipe, make_data(tmp_path / "data")).batch(0)

    def missing(fused):
        """How far from ms the fused images are when seen as ms was."""
        apart = []
        for image, seen in zip(fused, batch.observed, strict=True):
            windows = Window(0, 0, 32, 32), Window(0, 0, *seen.ms.shape[1:])
            apart.append((degrade(image, seen.placement, *windows, seen.gain) - seen.ms).abs().mean())
        return float(torch.stack(apart).mean())

    found = []
    for asked in (plain, recipe):
        objective = Workshop(asked, CPU, tmp_path).stage("student").objective
        assert isinstance(objective, Supervised)
        with torch.no_grad():
            found.append(missing(objective.run(batch)[0]))
    assert found[1] < 0.5 * found[0]  # of each round, a network as it begins adds nine tenths
