from __future__ import annotations

import pytest

from pancli.device import CPU
from pancli.methods.back_projection import with_rounds
from pancli.methods.network import NetworkMethod
from pancli.methods.protocol import PairInfo
from pancli.networks import weights
from pancli.placement import AxisMap, Placement
from pancli.sharpening.catalog import describe_methods


def test_what_is_listed_of_networks_is_what_they_do_and_needs_no_weights(monkeypatch):
    with monkeypatch.context() as without:
        without.setattr(weights, "_read_tensors", lambda path: pytest.fail(f"{path}: its weights were read"))
        rows = {row["name"]: row for row in describe_methods() if row["kind"] == "network"}
    assert list(rows) == list(weights.shipped())
    axis = AxisMap(0.25, 0.0, 64)
    for name in ("bandset-small", "gcpnet", "pnn"):
        method = with_rounds(NetworkMethod.load(weights.shipped()[name], CPU), None)
        assert rows[name]["radius"] == method.radius(PairInfo(4, Placement(axis, axis)))
        assert rows[name]["ratios"] == list(method.contract.ratios)
        assert (rows[name]["bands"] == "any") == (method.contract.bands is None)
