"""Whoever calls pancli from Python has paths: they name files as texts do."""

from __future__ import annotations

import json

from pancli.checking import check_pair
from pancli.comparing import CompareOptions, compare
from pancli.degrading import degrade_pair
from pancli.evaluation import EvaluateOptions, evaluate
from pancli.sharpening import SharpenOptions, sharpen


def test_every_call_takes_paths(scene, tmp_path):
    fused, texts = tmp_path / "fused.tif", [str(scene.pan), str(scene.ms)]
    made = sharpen(scene.pan, [scene.ms], fused, SharpenOptions(method="exp"))
    assert json.dumps(made.as_dict())
    degrade_pair(scene.pan, [scene.ms], tmp_path / "reduced")
    degrade_pair(scene.pan, [scene.ms], f"{tmp_path}/again")  # outputs are either, too

    checked = check_pair(scene.pan, [scene.ms]).as_dict()
    assert json.dumps(checked) == json.dumps(check_pair(texts[0], texts[1:]).as_dict())
    measured = evaluate(fused, scene.pan, [scene.ms], fused, EvaluateOptions(block=16, peak=2047)).as_dict()
    assert json.loads(json.dumps(measured))["files"] == {
        "fused": str(fused),
        "pan": texts[0],
        "ms": texts[1],
        "reference": str(fused),
    }
    compared = compare(scene.pan, [scene.ms], CompareOptions(methods=["exp"], block=16))
    assert [compared.pan, *compared.ms] == texts
    assert json.dumps(compared.as_dict())
