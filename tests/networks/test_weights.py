"""Weights files: what goes in comes out, and everything else is refused in one line."""

import errno
import json
import math
import os
import pickle
import stat
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from pancli.device import CPU
from pancli.errors import OutputError, WeightsError
from pancli.hashing import file_sha256
from pancli.methods.network import to_channels_last
from pancli.networks import weights
from pancli.networks.protocol import MOST_BANDS
from pancli.networks.registry import NETWORKS, find_network
from pancli.networks.weights import (
    Card,
    find_weights,
    load_weights,
    read_card,
    save_weights,
    shipped,
)
from tests.networks.made import card_of, settled_network


@pytest.fixture
def saved(tmp_path):
    network = settled_network(side=16)
    path = tmp_path / "made.safetensors"
    save_weights(network, card_of(network), path)
    return path


def contents(path):
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118


def rewrite(path, tensors=None, **metadata):
    """Change a file and keep its own hash of tensors right."""
    old_tensors, old = contents(path)
    tensors = old_tensors if tensors is None else tensors
    header = {**old, **metadata}
    header["content_sha256"] = weights._hash(tensors, header.get("card", ""))
    save_file(tensors, path, {key: value for key, value in header.items() if value})


def with_card(path, **changes):
    card = json.loads(contents(path)[1]["card"])
    rewrite(path, card=json.dumps({**card, **changes}))


def test_round_trip_is_exact(saved):
    network, card = load_weights(saved)
    original = settled_network(side=16)
    assert card == card_of(original) == read_card(saved)
    assert network.state_dict().keys() == original.state_dict().keys()
    for name, tensor in original.state_dict().items():
        assert torch.equal(network.state_dict()[name], tensor), name
    assert not network.training
    assert network.nominal_pixels == 256


def test_weights_laid_out_otherwise_are_the_same_weights(saved, tmp_path):
    again = tmp_path / "again.safetensors"
    network, card = load_weights(saved)
    save_weights(to_channels_last(network, CPU), card, again)
    assert contents(again)[1] == contents(saved)[1]
    assert load_weights(again)[1] == card


def test_saving_leaves_nothing_else_behind(saved):
    assert [path.name for path in saved.parent.iterdir()] == ["made.safetensors"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_who_may_read_the_file_follows_the_umask(saved, umask, mode):
    network, card = load_weights(saved)
    before = os.umask(umask)
    try:
        save_weights(network, card, saved)
    finally:
        os.umask(before)
    assert stat.S_IMODE(saved.stat().st_mode) == mode


def test_a_file_that_cannot_be_written_is_named_and_the_one_before_stays(saved, monkeypatch):
    network, card = load_weights(saved)
    before = saved.read_bytes()

    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"made.safetensors: cannot be written \(No space left on device\)"):
        save_weights(network, card, saved)
    assert [path.name for path in saved.parent.iterdir()] == ["made.safetensors"]
    assert saved.read_bytes() == before


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="none.safetensors"):
        load_weights(tmp_path / "none.safetensors")


def test_a_renamed_pickle_is_refused_and_not_run(tmp_path):
    class Trap:
        def __reduce__(self):
            return (pytest.fail, ("a pickle was run",))

    path = tmp_path / "trap.safetensors"
    path.write_bytes(pickle.dumps(Trap()))
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(path)
    torch.save(settled_network(side=16).state_dict(), path)
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(path)


def test_a_truncated_file_is_refused(saved):
    saved.write_bytes(saved.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        load_weights(saved)


def test_a_flipped_byte_is_noticed(saved):
    content = bytearray(saved.read_bytes())
    for place in (len(content) - 1, len(content) // 2):
        flipped = bytearray(content)
        flipped[place] ^= 1
        saved.write_bytes(flipped)
        with pytest.raises(WeightsError, match="damaged"):
            load_weights(saved)


def test_a_file_without_a_card_is_refused(saved):
    rewrite(saved, card="")
    for read in (load_weights, read_card):
        with pytest.raises(WeightsError, match="no card"):
            read(saved)


@pytest.mark.parametrize(
    "text",
    ["[1, 2]", "{", '"card"', "[" * 200_000, f'{{"bands": {"9" * 5000}}}', r'{"limits": "\ud800"}'],
    ids=["list", "brace", "string", "brackets", "digits", "surrogate"],
)
def test_a_card_that_is_none_is_refused(saved, text):
    rewrite(saved, card=text)
    with pytest.raises(WeightsError, match="no card"):
        read_card(saved)


def test_a_card_of_another_version_is_refused_by_field(saved):
    with_card(saved, flavour="strong")
    with pytest.raises(WeightsError, match="flavour"):
        read_card(saved)
    with_card(saved, **{"two\nlines": 1})
    with pytest.raises(WeightsError, match=r"^.*made.safetensors: .*'two\\nlines'\)$"):
        read_card(saved)


@pytest.mark.parametrize("name", ["../mine", "a/b", "", ".hidden", "/etc/mine", "a\nb", "a\0b", " a", 7.5])
def test_a_name_that_no_file_can_have_is_refused(saved, name):
    with_card(saved, name=name)
    with pytest.raises(WeightsError, match="made.safetensors: the card's name"):
        read_card(saved)


@pytest.mark.parametrize(
    "change",
    [
        {"ratios": None},
        {"ratios": [2.0]},
        {"ratios": [4.0, 2.0]},
        {"ratios": [0.0, 4.0]},
        {"network": ["gcpnet"]},
        {"bands": "4"},
        {"bands": 0},
        {"bands": True},
        {"bands": MOST_BANDS + 1},
        {"bands": 10**9},
        {"nominal_pixels": None},
        {"nominal_pixels": 2**80},
        {"back_projections": 9},
        {"figures": {"PSNR": 30.0}},
        {"figures": {"PSNR": {"exp": 10**400}}},
        {"ratios": [2.0, 10**400]},
        {"limits": 7},
    ],
)
def test_a_card_with_a_value_that_none_can_have_is_refused(saved, change):
    with_card(saved, **change)
    with pytest.raises(WeightsError, match=f"made.safetensors: the card's .*{next(iter(change))}"):
        read_card(saved)


@pytest.mark.parametrize("change", [{"figures": {"ERGAS": {"exp": math.nan}}}, {"name": "a/b"}, {"bands": 0}])
def test_a_card_that_could_not_be_read_again_is_not_written(saved, change):
    network, card = load_weights(saved)
    before = saved.read_bytes()
    with pytest.raises(WeightsError, match=f"made.safetensors: the card's .*{next(iter(change))}"):
        save_weights(network, replace(card, **change), saved)
    assert saved.read_bytes() == before


def test_a_name_too_long_for_a_file_is_refused(saved, tmp_path):
    network, card = load_weights(saved)
    with pytest.raises(OutputError, match="cannot be written"):
        save_weights(network, card, tmp_path / f"{'a' * 300}.safetensors")


def test_what_ends_as_weights_files_do_is_one():
    assert find_weights("gcpnet") == shipped()["gcpnet"]
    assert find_weights("runs/a.safetensors") == Path("runs/a.safetensors")
    assert find_weights("gsa") is None


def test_an_unknown_network_is_refused_and_the_known_ones_named(saved):
    with_card(saved, network="hypernet")
    with pytest.raises(WeightsError, match="made.safetensors: unknown network 'hypernet'.*bandset"):
        load_weights(saved)
    with pytest.raises(WeightsError, match="'hypernet'"):
        find_network("hypernet")


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("missing", "is none, and must be torch.float32"),
        ("more", "'conv9.weight' is torch.float32 .3,., and must be none"),
        ("shape", r"\(24, 48, 5, 5\), and must be torch.float32 \(24"),
        ("bfloat16", "'conv2.0.weight' is torch.bfloat16 .*, and must be torch.float32"),
        ("float8_e4m3fn", "'conv2.0.weight' is torch.float8_e4m3fn .*, and must be torch.float32"),
    ],
)
def test_tensors_of_another_network_are_refused(saved, change, says):
    tensors, _ = contents(saved)
    if change == "missing":
        del tensors["conv2.0.weight"]
    elif change == "more":
        tensors["conv9.weight"] = torch.zeros(3)
    elif change == "shape":
        tensors["conv2.0.weight"] = torch.zeros(24, 48, 5, 5)
    else:
        tensors["conv2.0.weight"] = tensors["conv2.0.weight"].to(getattr(torch, change))
    rewrite(saved, tensors)
    with pytest.raises(WeightsError, match=f"made.safetensors: .*not those of gcpnet for 4 bands .*{says}"):
        load_weights(saved)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn, torch.float16])
def test_tensors_that_somebody_converted_are_refused(saved, dtype):
    tensors, metadata = contents(saved)
    save_file({name: tensor.to(dtype) for name, tensor in tensors.items()}, saved, metadata)
    with pytest.raises(WeightsError, match="made.safetensors: the file is damaged"):
        load_weights(saved)


def test_tensors_of_a_type_that_torch_may_not_have_are_refused(saved):
    content = saved.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:end])
    first, last = header["conv2.0.weight"]["data_offsets"]
    header["conv2.0.weight"].update(dtype="F4", shape=[2 * (last - first)])
    again = json.dumps(header).encode()
    saved.write_bytes(len(again).to_bytes(8, "little") + again + content[end:])
    with pytest.raises(WeightsError, match="made.safetensors: .*(type that no network has|damaged)"):
        load_weights(saved)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_no_numbers_are_refused(saved, value):
    tensors, _ = contents(saved)
    tensors["conv2.0.weight"][0, 0, 0, 0] = value
    rewrite(saved, tensors)
    with pytest.raises(WeightsError, match="made.safetensors: 'conv2.0.weight' has values that"):
        load_weights(saved)


def test_bands_that_tensors_do_not_have_are_refused(saved):
    with_card(saved, bands=8)
    with pytest.raises(WeightsError, match="not those of gcpnet"):
        load_weights(saved)


def test_package_weights_come_before_those_of_the_tree(tmp_path, monkeypatch):
    package = tmp_path / "pancli"
    (package / "networks").mkdir(parents=True)
    (package / "weights").mkdir()
    (tmp_path / "weights").mkdir()
    monkeypatch.setattr(weights, "__file__", str(package / "networks" / "weights.py"))
    assert shipped() == {}
    (tmp_path / "weights" / "tree.safetensors").touch()
    assert shipped() == {"tree": tmp_path / "weights" / "tree.safetensors"}
    (package / "weights" / "wheel.safetensors").touch()
    assert shipped() == {"wheel": package / "weights" / "wheel.safetensors"}


@pytest.mark.parametrize("name", sorted(shipped()))
def test_what_ships_loads_and_says_what_it_is(name):
    network, card = load_weights(shipped()[name])
    assert card.name == name
    assert isinstance(network, NETWORKS[card.network])
    assert card.parameters == sum(p.numel() for p in network.parameters())
    assert card.licence == "CC-BY-4.0"
    assert all((card.data, card.paper, card.budget, card.figures, card.limits))
    folder = shipped()[name].parent
    sums = (folder / "SHA256SUMS").read_text().split("\n")
    assert f"{file_sha256(shipped()[name])}  {name}.safetensors" in sums
    assert card.recipe_sha256 in {file_sha256(recipe) for recipe in folder.glob("*.toml")}
    assert f"| `{name}.safetensors` |" in (folder / "README.md").read_text()


def test_card_round_trip_through_json():
    card = card_of(settled_network(side=16))
    assert Card.from_dict(json.loads(json.dumps(card.as_dict()))) == card
