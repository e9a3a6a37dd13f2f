"""What the world does to ``pancli``: full disks, folders that vanish, kills, rivals, strange weights."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap
from typing import Any

import numpy as np
import pytest
import torch

from pancli.errors import WeightsError
from pancli.networks.weights import load_weights
from pancli.raster import commit as naming
from pancli.raster import output as writing
from pancli.sharpening import run as running
from tests.disks import small_files
from tests.networks.made import weights_file
from tests.programs import Program, pancli
from tests.scenes import make_scene, read

BESIDE = ("--quicklook", "fused.png", "--stac")


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refused(done, says):
    """One line that says it, and exit code 1."""
    assert done.exit_code == 1, done.output
    assert done.exception is None or isinstance(done.exception, SystemExit)
    lines = [line for line in done.stderr.splitlines() if "warning" not in line]
    assert len(lines) == 1
    assert re.search(says, lines[0])


def test_a_working_directory_that_was_removed_is_told(tmp_path, monkeypatch):
    folder = tmp_path / "gone"
    folder.mkdir()
    monkeypatch.chdir(folder)
    folder.rmdir()
    refused(pancli("methods"), "working directory was removed")


# Full disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 4 MB, and a file that leaves so many bytes of it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=4m", "none", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a file system")
    filler = folder / "filler"

    def leave(free):
        filler.unlink(missing_ok=True)
        filler.write_bytes(bytes(shutil.disk_usage(folder).free - free))

    try:
        yield folder, leave
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
@pytest.mark.parametrize("beside", [False, True])
def test_on_a_disk_that_fills_at_any_moment_the_old_file_stays(scene, tmp_path, monkeypatch, driver, beside):
    folder = tmp_path / "out"
    folder.mkdir()
    monkeypatch.chdir(folder)
    command = ("sharpen", *scene.args(), "fused.tif", "--method", "brovey", "--of", driver, "-q")
    command = (*command, "--overwrite", *(BESIDE if beside else ()))
    assert pancli(*command).exit_code == 0
    size = (folder / "fused.tif").stat().st_size
    full = {"GTiff": size - 1, "COG": 512 * 512 * 4 * 2}[driver]  # a COG's pixels lie beside it first
    for path in folder.iterdir():
        path.write_text("old")
    before = contents(folder)
    for limit in (0, 100, *np.linspace(1000, full, 6).astype(int)):
        with small_files(int(limit)):
            done = pancli(*command)
        refused(done, r"pancli: fused\.(tif|png|json): .*(cannot be written|not in the file)")
        assert contents(folder) == before
    with small_files(2 * full):
        assert pancli(*command).exit_code == 0


@pytest.mark.parametrize("driver", ["GTiff", "COG"])
def test_on_a_full_file_system_the_same(scene, small_disk, monkeypatch, driver):
    folder, leave = small_disk
    monkeypatch.chdir(folder)
    command = ("sharpen", *scene.args(), "fused.tif", "--method", "brovey", "--of", driver, "-q", *BESIDE)
    assert pancli(*command).exit_code == 0
    for name in ("fused.tif", "fused.png", "fused.json"):
        (folder / name).unlink()
    codes = []
    for free in np.linspace(0, {"GTiff": 0.6, "COG": 3.0}[driver] * 2**20, 12).astype(int):
        leave(int(free))
        done = pancli(*command)
        codes.append(done.exit_code)
        if done.exit_code == 0:
            break
        refused(done, "pancli: fused.*(is the disk full|disk may be full)")
        assert sorted(contents(folder)) == ["filler"]
    assert len(codes) > 3 and codes[-1] == 0


def test_a_batch_on_a_full_disk_fails_and_is_resumed_when_there_is_room(tmp_path):
    rows = []
    for name in "ab":
        pair = make_scene(tmp_path / name, size=(64, 64))
        rows.append(f"{pair.pan} {pair.ms} {tmp_path}/out/{name}.tif\n")
    (tmp_path / "out").mkdir()
    (tmp_path / "list.txt").write_text("".join(rows))
    command = ("batch", tmp_path / "list.txt", "--method", "brovey", "-q", "--resume")
    with small_files(2000):
        done = pancli(*command)
    assert done.exit_code == 1
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["status"] for row in told] == ["failed", "failed"]
    assert all("trace" not in row for row in told)
    assert contents(tmp_path / "out") == {}
    assert pancli(*command).exit_code == 0
    assert sorted(contents(tmp_path / "out")) == ["a.tif", "b.tif"]


# Folders that vanish


@pytest.mark.parametrize(
    ("moment", "calls"),
    [(name, 1) for name in ("_filling", "_fuse_one", "_verify", "_make_companion", "_commit")]
    + [("_fuse_one", 3), ("_make_companion", 2), ("_commit", 2), ("_commit", 3)],
)
@pytest.mark.parametrize("then", ["gone", "a file"])
def test_a_folder_that_vanishes_is_a_refusal(scene, tmp_path, monkeypatch, moment, calls, then):
    folder = tmp_path / "out"
    folder.mkdir()
    owner = {"_fuse_one": running, "_commit": naming}.get(moment, writing)
    original, made = getattr(owner, moment), []

    def vanish(*args, **kwargs):
        made.append(moment)
        if len(made) == calls:
            shutil.rmtree(folder)
            if then == "a file":
                folder.touch()
        return original(*args, **kwargs)

    monkeypatch.setattr(owner, moment, vanish)
    command = ("sharpen", *scene.args(), folder / "fused.tif", "--method", "brovey", "--tile", 64, "-q")
    done = pancli(*command, "--quicklook", folder / "fused.png", "--stac")
    refused(done, r"fused\.(tif|png|json): cannot be written; its folder .* is gone")
    assert folder.is_file() == (then == "a file")
    assert folder.exists() == (then == "a file")


# Kills


@pytest.mark.slow
@pytest.mark.parametrize("overwrite", [False, True])
def test_killed_at_any_call_of_its_end_it_leaves_nothing_or_all(scene, tmp_path, overwrite):
    """Moments drawn at random hardly ever fall between the last calls: here each is one, before and after."""
    code = f"""
        import importlib, os, signal, sys
        from pancli.cli.app import build
        from pathlib import Path
        import pancli.sharpening
        def deadly(number, after):
            calls = []
            def wrap(original):
                def call(*args, **kwargs):
                    calls.append(1)
                    if len(calls) == number and not after:
                        os.kill(os.getpid(), signal.SIGKILL)
                    done = original(*args, **kwargs)
                    if len(calls) == number:
                        os.kill(os.getpid(), signal.SIGKILL)
                    return done
                return call
            os.fsync = wrap(os.fsync)
            for name in ("hardlink_to", "replace", "unlink"):
                setattr(Path, name, wrap(getattr(Path, name)))
        ends = []
        for after in (False, True):
            for number in range(1, 20):
                child = os.fork()
                if child == 0:
                    folder = Path(f"{{number}}-{{after}}")
                    folder.mkdir()
                    if {overwrite}:
                        (folder / "fused.tif").write_text("old")
                    deadly(number, after)
                    args = ["sharpen", *sys.argv[1:], str(folder / "fused.tif"), "--method", "brovey", "-q"]
                    sys.argv = ["pancli", *args, "--device", "cpu", *(["--overwrite"] if {overwrite} else [])]
                    try:
                        build()()
                    finally:
                        os._exit(0)
                ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
                if ends[-1] == 0:
                    break
        print(ends)
    """
    pancli("sharpen", *scene.args(), tmp_path / "fused.tif", "--method", "brovey", "-q", "--device", "cpu")
    whole = (tmp_path / "fused.tif").read_bytes()
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), *scene.args()],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    )
    ends = json.loads(done.stdout)
    assert set(ends) == {0, -signal.SIGKILL}, done.stderr
    left = [path / "fused.tif" for path in tmp_path.glob("*-*")]
    assert len(left) == len(ends)
    found = {path.read_bytes() if path.exists() else b"" for path in left}
    assert found == {b"old" if overwrite else b"", whole}


# Rivals


@pytest.mark.parametrize("overwrite", [False, True])
def test_what_another_process_wrote_meanwhile_stays_unless_it_may_be_replaced(
    scene, tmp_path, monkeypatch, overwrite
):
    """The other begins and ends while this one fuses."""
    out = tmp_path / "fused.tif"
    command = ("sharpen", *scene.args(), out, "--tile", 64, "-q", *(["--overwrite"] if overwrite else []))
    original = running._fuse_one
    rivals: list[Any] = []

    def rivalled(*args):
        if not rivals:
            rivals.append(None)
            rivals[0] = pancli(*command, "--method", "exp")
            rivals.append(out.read_bytes())
        return original(*args)

    monkeypatch.setattr(running, "_fuse_one", rivalled)
    done = pancli(*command, "--method", "brovey")
    assert rivals[0].exit_code == 0
    if overwrite:
        assert done.exit_code == 0
        assert out.read_bytes() != rivals[1]
    else:
        refused(done, r"fused\.tif: appeared while it was being made; use --overwrite to replace it")
        assert out.read_bytes() == rivals[1]
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["fused.tif"]


@pytest.mark.slow
@pytest.mark.parametrize("command", ["sharpen", "sharpen --overwrite", "batch --resume"])
def test_of_two_processes_with_one_output_each_tells_the_truth(scene, tmp_path, command):
    folder = tmp_path / "out"
    folder.mkdir()
    word, *options = command.split()
    files = [*scene.args(), str(folder / "fused.tif")]
    (tmp_path / "list.txt").write_text(" ".join(files))
    args = [word, *(files if word == "sharpen" else [tmp_path / "list.txt"]), "--method", "gsa", *options]
    both = [Program(*args, "--tile", 64, "-q") for _ in range(2)]
    told = [process.communicate(timeout=120) for process in both]
    codes = sorted(code for code, _, _ in told)
    assert codes == ([0, 1] if command == "sharpen" else [0, 0]), told
    assert all("Traceback" not in errors for _, _, errors in told)
    if word == "batch":
        found = sorted(json.loads(lines)["status"] for _, lines, _ in told)
        assert found in (["done", "skipped"], ["done", "done"])
    assert sorted(contents(folder)) == ["fused.tif"]
    pancli("sharpen", *scene.args(), tmp_path / "right.tif", "--method", "gsa", "--tile", 64, "-q")
    assert np.array_equal(read(folder / "fused.tif"), read(tmp_path / "right.tif"))


# Weights


def card_of_another(content):
    return content.replace(b'\\"network\\": \\"gcpnet\\"', b'\\"network\\": \\"qcpnet\\"')


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content[:-1] + bytes([content[-1] ^ 1]), "damaged"),
        (lambda content: content[: len(content) // 2], "not a safetensors file"),
        (lambda content: pickle.dumps({"weights": [1.0]}), "not a safetensors file"),
        (lambda content: re.sub(rb'(content_sha256":")[0-9a-f]{8}', rb"\g<1>00000000", content), "damaged"),
        (card_of_another, "damaged|not known"),
        (lambda content: b"", "not a safetensors file"),
    ],
)
def test_weights_that_are_not_what_they_were_are_refused_in_one_line(scene, tmp_path, change, says):
    path, out = weights_file(tmp_path), tmp_path / "out.tif"
    content = change(path.read_bytes())
    assert content != path.read_bytes()
    path.write_bytes(content)
    refused(
        pancli("sharpen", *scene.args(), out, "--method", path, "-q"), rf"trained\.safetensors: .*({says})"
    )
    assert not out.exists()


def test_flipped_bytes_anywhere_in_weights_are_refused_or_change_nothing(tmp_path):
    path = weights_file(tmp_path)
    content = path.read_bytes()
    network, card = load_weights(path)
    whole = network.state_dict()
    generator = np.random.default_rng(4)
    header = 8 + int.from_bytes(content[:8], "little")
    ends = {"refused": 0, "loaded": 0}
    for number in range(300):
        flipped = bytearray(content)
        high = header if number % 2 else len(content)
        for place in generator.integers(0, high, int(generator.integers(1, 4))):
            flipped[place] ^= int(generator.integers(1, 256))
        path.write_bytes(flipped)
        try:
            again, other = load_weights(path)
        except WeightsError:
            ends["refused"] += 1
        else:
            assert other == card
            assert all(torch.equal(whole[name], tensor) for name, tensor in again.state_dict().items())
            ends["loaded"] += 1
    assert ends["refused"] > 290


# The network


OFFLINE = """
import ctypes, json, platform, struct, sys
from pathlib import Path

def hear(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
        print(f"network: {event} {args}", file=sys.stderr, flush=True)
        raise SystemExit(9)

def no_internet_sockets():
    '''The kernel kills a process that asks for one, whoever in it does: GDAL, PROJ and curl are no Python.'''
    number = {"x86_64": 41, "aarch64": 198}[platform.machine()]
    rules = [(0x20, 0, 0, 0), (0x15, 0, 4, number), (0x20, 0, 0, 16), (0x15, 1, 0, 2), (0x15, 0, 1, 10),
             (6, 0, 0, 0x80000000), (6, 0, 0, 0x7FFF0000)]
    code = b"".join(struct.pack("HBBI", *rule) for rule in rules)
    kept = ctypes.create_string_buffer(code, len(code))
    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("rules", ctypes.c_void_p)]
    program = Program(len(rules), ctypes.cast(kept, ctypes.c_void_p))
    libc = ctypes.CDLL(None)
    return libc.prctl(38, 1, 0, 0, 0) == 0 and libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0

sys.addaudithook(hear)
if not no_internet_sockets():
    raise SystemExit(8)
from pancli.cli.app import build
for command in json.loads(sys.argv[1]):
    sys.argv = ["pancli", *command]
    try:
        build()()
    except SystemExit as ended:
        if ended.code:
            raise
print("quiet")
"""


def offline(commands):
    """Run commands in a process that dies if it opens an internet socket."""
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, json.dumps([[str(a) for a in command] for command in commands])],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")},
    )
    if done.returncode == 8:
        pytest.skip("this kernel has no seccomp filters")
    return done


@pytest.mark.slow
def test_no_connection_is_opened_unless_a_path_asks_for_it(tmp_path):
    pair = make_scene(tmp_path / "scene", size=(64, 64))
    files, out = pair.args(), tmp_path / "out.tif"
    (tmp_path / "list.txt").write_text(" ".join([*files, str(tmp_path / "batch.tif")]))
    done = offline(
        [
            ("check", *files),
            ("sharpen", *files, out, "-q", "--stac", "--quicklook", tmp_path / "out.png", "--of", "COG"),
            ("batch", tmp_path / "list.txt", "--method", "gsa", "--resume", "-q"),
            ("eval", out, "--pan", files[0], "--ms", files[1]),
            ("degrade", *files, tmp_path / "reduced", "-q"),
            ("simulate", tmp_path / "simulated", "--count", 1, "--size", 256),
            ("methods",),
            ("networks", "bandset"),
        ]
    )
    assert (done.returncode, done.stdout.splitlines()[-1:]) == (0, ["quiet"]), done.stderr
    assert out.exists()


@pytest.mark.slow
def test_a_path_that_asks_for_a_connection_opens_one(scene, tmp_path):
    """Else the test above would hear nothing, whatever happened."""
    url = "http://127.0.0.1:9/pan.tif"
    done = offline([("sharpen", url, str(scene.ms), str(tmp_path / "out.tif"), "--method", "exp", "-q")])
    assert done.returncode in (-signal.SIGSYS, 9), done.stderr
