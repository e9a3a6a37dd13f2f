"""``pancli networks`` as a user types it."""

import json
from functools import cache

import pytest

from pancli.hashing import file_sha256
from pancli.networks.costs import macs_per_pixel
from pancli.networks.registry import NETWORKS
from pancli.networks.weights import shipped
from tests.networks.made import weights_file
from tests.programs import pancli


@pytest.fixture(scope="module", autouse=True)
def counted_once():
    """What a network costs takes a while to count."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pancli.networks.listing.macs_per_pixel", cache(macs_per_pixel))
        yield


def run(*arguments):
    return pancli("networks", *arguments)


def test_all_networks_are_told_as_json():
    result = run("--json")
    assert result.exit_code == 0, result.output
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert list(rows) == list(NETWORKS)
    gcpnet = rows["gcpnet"]
    assert (gcpnet["parameters"], gcpnet["macs_per_pixel"], gcpnet["margin"]) == (86_759, 85_843, 25)
    assert (gcpnet["ratio"], gcpnet["alignment"], gcpnet["statistics"]) == (None, 1, [10, 16, 16, 22])
    assert "IEEE TGRS 2022" in gcpnet["paper"]
    assert (rows["bandset"]["bands"], gcpnet["bands"]) == (None, 4)
    assert rows["pannet"]["ratio"] == rows["pannet"]["alignment"] == 4
    assert rows["ssml-spatial"]["reconstruction"]
    assert not gcpnet["reconstruction"]
    told = {card["name"]: card["sha256"] for row in rows.values() for card in row["weights"]}
    assert told == {name: file_sha256(path) for name, path in shipped().items()}
    for row in rows.values():
        for card in row["weights"]:
            assert {"path", "licence", "data", "figures", "date"} <= set(card)


def test_the_table_is_whole_where_nobody_looks():
    result = run()
    assert result.exit_code == 0, result.output
    assert "…" not in result.stdout
    for name in (*NETWORKS, "86,759", "CC-BY-4.0"):
        assert name in result.stdout


def test_one_network_is_told_with_its_card():
    result = run("gcpnet")
    assert result.exit_code == 0, result.output
    words = " ".join(result.stdout.split())
    assert "Landsat-7 ETM+" in words
    assert "85,843" in words
    assert "pannet" not in words


def test_a_network_of_any_bands_is_told_to_be_one():
    result = run("bandset")
    assert result.exit_code == 0, result.output
    told = [line.split() for line in result.stdout.splitlines() if line.startswith("bands ")]
    assert told == [["bands", "any"], ["bands", "any"]]  # the network, and the card
    assert ["bands", "4"] in [line.split() for line in run("gcpnet").stdout.splitlines()]


def test_a_weights_file_is_told_with_its_card_alone(tmp_path):
    path = weights_file(tmp_path)
    result = run(str(path), "--json")
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    (card,) = row["weights"]
    assert row["name"] == "gcpnet"
    assert (card["name"], card["path"], card["sha256"]) == ("mine", str(path), file_sha256(path))
    words = run(str(path), "gsa.safetensors")
    assert words.exit_code == 1
    assert "gsa.safetensors: no such weights file" in words.stderr
    both = run(str(path), "pnn", "--json")
    assert [row["name"] for row in json.loads(both.stdout)] == ["pnn", "gcpnet"]
    assert "random numbers" in run(str(path)).stdout


def test_a_damaged_weights_file_is_refused(tmp_path):
    path = weights_file(tmp_path)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    result = run(str(path))
    assert result.exit_code == 1
    assert "trained.safetensors: the file is damaged" in result.stderr


def test_an_unknown_network_is_a_usage_error():
    result = run("hypernet")
    assert result.exit_code == 2
    words = " ".join(result.stderr.split())
    assert "known are bandset" in words
    assert "FILE.safetensors" in words
