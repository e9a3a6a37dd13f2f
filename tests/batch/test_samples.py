"""The recipes for clusters, as far as they run without one."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.programs import pancli
from tests.scenes import make_scene

CLUSTER = Path(__file__).parent.parent.parent / "samples" / "cluster"
SCRIPT = CLUSTER / "slurm.sh"


def test_the_tasks_of_a_slurm_array_make_every_scene_once(tmp_path):
    program = tmp_path / "bin" / "pancli"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")  # what the script gives it; it runs below
    program.chmod(0o755)
    scene = make_scene(tmp_path / "two words", size=(64, 64))
    listed = tmp_path / "list.csv"
    listed.write_text(
        "pan,ms,out\n" + "".join(f"{scene.pan},{scene.ms},{tmp_path}/{n}.tif\n" for n in range(3))
    )
    told = []
    for task in range(2):
        there = os.environ | {"PATH": f"{program.parent}:{os.environ['PATH']}"}
        there |= {"SLURM_ARRAY_TASK_ID": str(task), "SLURM_ARRAY_TASK_COUNT": "2", "SLURM_CPUS_PER_TASK": "1"}
        command = ["bash", SCRIPT, listed, tmp_path / "unused", "--method", "exp", "-q"]
        given = subprocess.run(command, env=there, capture_output=True, text=True, check=True).stdout
        done = pancli(*given.splitlines())
        assert done.exit_code == 0, done.output
        told += [json.loads(line) for line in done.stdout.splitlines()]
    assert sorted((row["line"], row["status"]) for row in told) == [(n, "done") for n in (2, 3, 4)]


def test_without_an_array_it_says_what_is_missing(tmp_path):
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SLURM")}
    done = subprocess.run(["bash", SCRIPT, "a", "b"], env=bare, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "give --array=0-N to sbatch" in done.stderr


def test_ray_takes_its_cluster_file():
    ray, yaml, jsonschema = map(pytest.importorskip, ("ray", "yaml", "jsonschema"))
    schema = Path(ray.__file__).parent / "autoscaler" / "ray-schema.json"
    told = yaml.safe_load((CLUSTER / "ray.yaml").read_text())
    jsonschema.validate(told, json.loads(schema.read_text()))
    head, worker = told["head_start_ray_commands"][-1], told["worker_start_ray_commands"][-1]
    assert head.startswith("RAY_AUTH_MODE=token ray start --head --port=6379 ")
    assert worker.startswith("RAY_AUTH_MODE=token ray start --address=$RAY_HEAD_IP:6379 ")
