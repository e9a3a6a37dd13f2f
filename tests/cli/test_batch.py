"""``pancli batch`` as a user meets it: lists, streams, exit codes, signals."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import rasterio

from tests.batch.test_processes import killing, wait_for
from tests.programs import Program, pancli, start
from tests.scenes import make_scene, read, write

GSA = ("--method", "gsa", "--device", "cpu")


def results(text):
    return [json.loads(line) for line in text.splitlines()]


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def scenes(tmp_path):
    """Three small pairs in folders a, b, c, and where fused images go."""
    for number, name in enumerate("abc"):
        make_scene(tmp_path / name, size=(64, 64), origin=(500000.0 + 100 * number, 4000000.0))
    (tmp_path / "out").mkdir()
    return tmp_path


def lines(folder, names="abc"):
    return "".join(f"{folder}/{n}/pan.tif {folder}/{n}/ms.tif {folder}/out/{n}.tif\n" for n in names)


def write_list(folder, names="abc"):
    path = folder / "list.txt"
    path.write_text(lines(folder, names))
    return path


def test_every_scene_is_a_line_of_json_and_a_file(scenes):
    done = pancli("batch", write_list(scenes), *GSA)
    assert done.exit_code == 0, done.output
    told = results(done.stdout)
    assert [(row["status"], row["line"], Path(row["output"]).name) for row in told] == [
        ("done", 1, "a.tif"), ("done", 2, "b.tif"), ("done", 3, "c.tif"),
    ]  # fmt: skip
    assert set(told[0]) >= {"pan", "ms", "method", "width", "seconds", "mpix_per_s", "shift", "warnings"}
    assert [line.split(":")[0] for line in done.stderr.splitlines()] == ["1 of 3", "2 of 3", "3 of 3"]
    for name in "abc":
        single = scenes / "single.tif"
        pancli(
            "sharpen", scenes / name / "pan.tif", scenes / name / "ms.tif", single, *GSA, "--overwrite", "-q"
        )
        assert (read(scenes / "out" / f"{name}.tif") == read(single)).all()


def test_a_list_comes_from_stdin_and_outputs_may_be_named_by_rule(scenes):
    text = "pan,ms\n" + "".join(f"{scenes}/{n}/pan.tif,{scenes}/{n}/ms.tif\n" for n in "abc")
    out = scenes / "new" / "er"
    done = pancli("batch", "-", *GSA, "--out-dir", out, "--out-name", "{folder}-{stem}.tif", "-q", stdin=text)
    assert (done.exit_code, done.stderr) == (0, "")
    assert sorted(contents(out)) == ["a-pan.tif", "b-pan.tif", "c-pan.tif"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-8"])
def test_a_list_may_be_written_by_windows(scenes, encoding):
    """PowerShell's > writes UTF-16."""
    lines = f"\ufeffpan,ms,out\r\n{scenes}/a/pan.tif,{scenes}/a/ms.tif,{scenes}/ä.tif\r\n".encode(encoding)
    (scenes / "list.csv").write_bytes(lines)
    told = results(pancli("batch", scenes / "list.csv", *GSA, "--dry-run", "-q").stdout)
    assert [(row["status"], row["output"]) for row in told] == [("planned", f"{scenes}/ä.tif")]


def test_scenes_are_found_in_folders(scenes):
    for band in (1, 2, 3):
        (scenes / "landsat").mkdir(exist_ok=True)
        shutil.copy(scenes / "a" / "ms.tif", scenes / "landsat" / f"LC09_X_B{band}.TIF")
    found = pancli("batch", "--layout", "pairs", scenes, *GSA, "--out-dir", scenes / "out")
    assert found.exit_code == 0, found.output
    assert sorted(contents(scenes / "out")) == ["a.tif", "b.tif", "c.tif"]
    landsat = pancli("batch", "--layout", "landsat", scenes, *GSA, "--out-dir", scenes / "out")
    assert landsat.exit_code == 1
    assert "LC09_X_B8.TIF: no such file" in results(landsat.stdout)[0]["error"]


@pytest.mark.parametrize(("given", "used"), [((), "landsat8"), (("--sensor", "generic"), "generic")])
def test_the_sensor_of_a_layout_is_taken_unless_one_is_given(scenes, given, used):
    folder = scenes / "scene"
    folder.mkdir()
    with rasterio.open(scenes / "a" / "ms.tif") as dataset:
        profile, band = dataset.profile | {"count": 1}, dataset.read(1)
    for number in (2, 3, 4, 5):
        with rasterio.open(folder / f"LC08_X_B{number}.TIF", "w", **profile) as dataset:
            dataset.write(band, 1)
    shutil.copy(scenes / "a" / "pan.tif", folder / "LC08_X_B8.TIF")
    done = pancli("batch", "--layout", "landsat", folder, *GSA, *given, "--out-dir", scenes / "out")
    assert done.exit_code == 0, done.output
    with rasterio.open(scenes / "out" / "LC08_X.tif") as dataset:
        assert json.loads(dataset.tags()["PANCLI_OPTIONS"])["sensor"] == used


def test_the_exit_code_tells_some_from_all(scenes):
    listed = scenes / "list.txt"
    listed.write_text(lines(scenes) + f"none.tif {scenes}/a/ms.tif {scenes}/out/d.tif\n")
    some = pancli("batch", listed, *GSA)
    assert some.exit_code == 3
    assert [row["status"] for row in results(some.stdout)] == ["done"] * 3 + ["failed"]
    assert results(some.stdout)[3]["error"] == "none.tif: no such file"
    assert some.stderr.endswith("pancli: 1 of 4 scenes failed\n")
    rest = pancli("batch", listed, *GSA)
    assert rest.exit_code == 1
    assert all("exists already" in row["error"] for row in results(rest.stdout)[:3])
    again = pancli("batch", listed, *GSA, "--resume", "-q")
    assert again.exit_code == 3
    assert [row["status"] for row in results(again.stdout)] == ["skipped"] * 3 + ["failed"]
    assert again.stderr == "pancli: 1 of 4 scenes failed\n"


def test_fail_fast_begins_nothing_after_a_failure(scenes):
    listed = scenes / "list.txt"
    listed.write_text(f"none.tif {scenes}/a/ms.tif {scenes}/out/d.tif\n" + lines(scenes))
    fast = pancli("batch", listed, *GSA, "--fail-fast")
    assert fast.exit_code == 1
    assert len(results(fast.stdout)) == 1
    assert fast.stderr.endswith("pancli: 1 of 4 scenes failed; 3 not begun\n")
    assert contents(scenes / "out") == {}


def test_shards_make_together_what_one_run_makes(scenes):
    listed = write_list(scenes)
    assert pancli("batch", listed, *GSA).exit_code == 0
    whole = contents(scenes / "out")
    shutil.rmtree(scenes / "out")
    (scenes / "out").mkdir()
    rows = []
    for index in range(4):
        part = pancli("batch", listed, *GSA, "--shard", f"{index}/4")
        assert part.exit_code == 0
        rows += results(part.stdout)
    assert sorted(row["line"] for row in rows) == [1, 2, 3]
    assert contents(scenes / "out") == whole


def test_a_dry_run_plans_every_scene_and_makes_nothing(scenes):
    listed = scenes / "list.txt"
    listed.write_text(
        lines(scenes, "a") + f"{scenes}/b/pan.tif {scenes}/b/ms.tif\nnone.tif {scenes}/a/ms.tif\n"
    )
    plans = pancli("batch", listed, *GSA, "--out-dir", scenes / "never", "--dry-run", "--coregister", "auto")
    assert plans.exit_code == 3
    told = results(plans.stdout)
    assert [row["status"] for row in told] == ["planned", "planned", "failed"]
    assert told[1]["output"] == str(scenes / "never" / "pan.tif")
    assert told[0]["tiles"]["count"] == 1 and told[0]["grid"]["width"] == 64
    assert contents(scenes / "out") == {} and not (scenes / "never").exists()


def test_a_folder_that_cannot_be_made_is_refused(scenes):
    refused = pancli("batch", write_list(scenes), *GSA, "--out-dir", scenes / "list.txt" / "out")
    assert refused.exit_code == 1
    folder = scenes / "list.txt" / "out"
    assert refused.stderr == f"pancli: cannot create folder {folder}: Not a directory; name another\n"


@pytest.mark.parametrize(
    ("args", "code", "says"),
    [
        (["{list}", "--method", "magic"], 2, "--method magic"),
        (["{list}", "--shard", "3/3"], 2, "--shard 3/3"),
        (["{list}", "--jobs", "0"], 2, "--jobs 0"),
        (["{list}", "--engine", "dask"], 2, "--engine dask"),
        (["{list}", "--address", "auto"], 2, "--address auto is for --engine ray"),
        (["{list}", "--out-name", "{{name}}"], 2, "--out-name"),
        (["{list}", "--out-name", "{{stem}}.tif"], 2, "'{stem}.tif' goes with --out-dir"),
        (["{list}", "--adapt-loss", "magic"], 2, "--adapt-loss magic: must be one of reduced, full"),
        (["{list}", "--adapt-loss", "full"], 2, "--adapt-loss full: says what --adapt"),
        (["{list}", "{list}"], 2, "one list too many"),
        (["--layout", "heap", "{folder}"], 2, "--layout"),
        (["--layout", "pairs", "{folder}"], 2, "--out-dir"),
        (["--layout", "landsat", "{folder}", "--out-dir", "{folder}"], 1, "no scene of layout 'landsat'"),
        (["{folder}/none.txt"], 1, "none.txt: cannot be read (No such file or directory)"),
        (["{bad}"], 2, "bad.txt, line 4: has 1 fields"),
        (["{twice}"], 2, "made twice: by line 1 and by line 4"),
        (["{list}", "--nodata", "white"], 2, "--nodata"),
        (["{list}", "--co", "FOO=BAR"], 1, "does not support creation option FOO"),
        (["{list}", "--of", "COG", "--co", "NBITS=40"], 1, "--co NBITS=40"),
        ([], 2, "Missing argument"),
    ],
)
def test_what_is_wrong_is_refused_before_anything_runs(scenes, args, code, says):
    (scenes / "bad.txt").write_text(lines(scenes) + "alone\n")
    (scenes / "twice.txt").write_text(lines(scenes) + lines(scenes, "a"))
    names = {
        "list": write_list(scenes),
        "folder": scenes,
        "bad": scenes / "bad.txt",
        "twice": scenes / "twice.txt",
    }
    refused = pancli("batch", *(arg.format(**names) for arg in args), "--device", "cpu")
    assert refused.exit_code == code
    assert says in refused.stderr
    assert refused.stdout == ""
    assert contents(scenes / "out") == {}


def test_an_empty_list_is_done_with_a_warning(scenes):
    done = pancli("batch", "-", *GSA, stdin="\n")
    assert (done.exit_code, done.stdout) == (0, "")
    assert done.stderr == "pancli: warning: -: no scenes in it\n"


def test_names_are_file_names_and_nothing_more(scenes, monkeypatch):
    monkeypatch.chdir(scenes)
    odd = [
        "$(touch pwned)",
        "x;touch pwned",
        "`touch pwned`",
        "|touch pwned",
        "[ab]*?",
        "two  words",
        "'\"",
        "~",
    ]
    rows = []
    for name in odd:
        shutil.copy("a/pan.tif", f"{name}.tif")
        rows.append({"pan": f"b/../{name}.tif", "ms": "a/ms.tif", "out": f"out/../out/{name}.tif"})
    text = "\n".join(map(json.dumps, rows))
    done = pancli("batch", "-", *GSA, stdin=text)
    assert done.exit_code == 0, done.output
    assert sorted(contents(scenes / "out")) == sorted(f"{name}.tif" for name in odd)
    assert not list(scenes.rglob("pwned"))
    again = pancli("batch", "-", *GSA, "--resume", stdin=text)
    assert {row["status"] for row in results(again.stdout)} == {"skipped"}


def test_an_output_folder_that_is_gone_fails_its_scenes_alone(scenes):
    listed = scenes / "list.txt"
    listed.write_text(lines(scenes, "a").replace("/out/", "/gone/") + lines(scenes, "b"))
    done = pancli("batch", listed, *GSA)
    assert done.exit_code == 3
    assert "does not exist; create it first" in results(done.stdout)[0]["error"]
    assert sorted(contents(scenes / "out")) == ["b.tif"]


@pytest.mark.slow
def test_processes_make_the_same_files_from_the_command_line(scenes):
    listed = write_list(scenes)
    assert pancli("batch", listed, *GSA, "-q").exit_code == 0
    whole = contents(scenes / "out")
    code, told, errors = Program("batch", listed, *GSA, "--jobs", 2, "--overwrite").communicate(timeout=120)
    assert code == 0, errors
    assert sorted(row["line"] for row in results(told)) == [1, 2, 3]
    assert contents(scenes / "out") == whole


def started_with(variable):
    """The processes that have it in their environment."""
    for environment in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if variable.encode() in environment.read_bytes().split(b"\0"):
                yield environment


@pytest.mark.slow
def test_a_cluster_of_its_own_makes_the_same_files_and_is_gone_after(scenes):
    """One worker is killed: Ray says so on stdout, where only results belong."""
    pytest.importorskip("ray")
    listed = write_list(scenes)
    make_scene(scenes / "a", size=(512, 512))
    options = ("--method", "gfpca", "--device", "cpu", "--tile", 64)
    assert pancli("batch", listed, *options, "-q").exit_code == 0
    whole = contents(scenes / "out")
    there = os.environ | {"PANCLI_TEST": str(scenes)}
    with killing(scenes / "out", 1):
        ray = ("--engine", "ray", "--jobs", 2, "--overwrite")
        with start("batch", listed, *options, *ray, env=there) as process:
            told, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    assert sorted(row["line"] for row in results(told)) == [1, 2, 3]
    assert len(errors.splitlines()) == 3
    assert contents(scenes / "out") == whole
    wait_for(lambda: not any(started_with(f"PANCLI_TEST={scenes}")))


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_on_a_terminal_a_bar_and_the_lines_do_not_mix(scenes, both):
    ours, theirs = os.openpty()
    command = [sys.executable, "-m", "pancli", "batch", str(write_list(scenes)), *GSA]
    with subprocess.Popen(command, stdout=theirs if both else subprocess.PIPE, stderr=theirs) as process:
        os.close(theirs)
        shown = b""
        with suppress(OSError):  # the terminal is hung up when the program ends
            while part := os.read(ours, 4096):
                shown += part
        written = b"" if process.stdout is None else process.stdout.read()
    os.close(ours)
    assert process.returncode == 0
    assert b"3/3" in shown
    text = (
        re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode()).replace("\r", "\n")
        if both
        else written.decode()
    )
    rows = [line for line in text.splitlines() if '"status"' in line]
    assert [json.loads(row)["status"] for row in rows] == ["done"] * 3
    assert both or b'"status"' not in shown


def wait_for_writing(folder, process):
    deadline = time.monotonic() + 180  # a cluster has to start first
    while not any(folder.iterdir()):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "number"),
    [
        pytest.param(how, number, marks=[pytest.mark.long] * ("ray" in how and number != signal.SIGTERM))
        for how in (["--jobs", 1], ["--jobs", 2], ["--engine", "ray", "--jobs", 2])
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    ],
)
def test_signals_leave_nothing_and_exit_130(tmp_path, how, number, large_pair):
    if "ray" in how:
        pytest.importorskip("ray")
    (tmp_path / "out").mkdir()
    pan, ms = large_pair
    listed = tmp_path / "list.txt"
    listed.write_text("".join(f"{pan} {ms} {tmp_path}/out/{name}.tif\n" for name in "ab"))
    process = Program("batch", listed, "--method", "gfpca", "--tile", 128, *how, apart=True)
    wait_for_writing(tmp_path / "out", process)
    if number != signal.SIGTERM:
        os.killpg(process.pid, number)  # as a terminal does: the workers get it, too
    else:
        process.send_signal(number)
    code, told, errors = process.communicate(timeout=60)
    assert code == 130
    assert errors == "pancli: interrupted\n"
    assert told == ""
    assert contents(tmp_path / "out") == {}


def test_what_cleans_up_after_a_signal_is_not_interrupted_by_more():
    """A scheduler, or a shell that ends, may send several: the exit code would be 143, and files be left."""
    code = """if True:
        import os, signal
        from pancli.cli.app import main
        def cleans_up(*_):
            try:
                os.kill(os.getpid(), signal.SIGTERM)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGHUP)
                print("cleaned up")
        from pancli.sharpening import catalog
        catalog.describe_methods = cleans_up
        main()
    """
    done = subprocess.run(
        [sys.executable, "-c", code, "methods"], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "cleaned up\n", "pancli: interrupted\n")


@pytest.mark.parametrize(
    "jobs", [pytest.param(1, marks=pytest.mark.slow), pytest.param(2, marks=pytest.mark.long)]
)
def test_killed_at_any_moment_and_resumed_it_makes_the_same_bytes(tmp_path, jobs):
    """SIGKILL to the batch alone: with several processes, those that are left must end by themselves.

    When they do, they may still finish what they are making, so that a file may appear after the next begins.
    """
    (tmp_path / "out").mkdir()
    for name in "abcd":
        make_scene(tmp_path / name, size=(256, 256))
    command = ("batch", write_list(tmp_path, "abcd"), "--method", "gfpca", "--tile", 64, "--jobs", jobs)
    Program("methods").communicate(timeout=120)  # what all are forked of has begun
    begun = time.monotonic()
    assert Program(*command, "-q").communicate(timeout=120)[0] == 0
    took = time.monotonic() - begun
    whole = contents(tmp_path / "out")
    shutil.rmtree(tmp_path / "out")
    (tmp_path / "out").mkdir()
    moments = random.Random(0)
    for _ in range(2):
        process = Program(*command, "--resume", "-q")
        time.sleep(moments.uniform(0.05, 0.95) * took)
        process.send_signal(signal.SIGKILL)
        process.communicate(timeout=60)
        for name, content in contents(tmp_path / "out").items():
            if not name.startswith("."):
                assert content == whole[name]
    code, told, _ = Program(*command, "--resume").communicate(timeout=120)
    assert code == 0
    assert {row["status"] for row in results(told)} <= {"done", "skipped"}
    made = contents(tmp_path / "out")
    assert {name: made[name] for name in whole} == whole
    assert all(name.startswith(".") and ".tmp" in name for name in set(made) - set(whole))


def test_a_changed_input_alone_is_made_again(scenes):
    listed = write_list(scenes)
    assert pancli("batch", listed, *GSA, "-q").exit_code == 0
    scene = make_scene(scenes / "fresh", size=(64, 64), origin=(500100.0, 4000000.0))
    write(scenes / "b" / "ms.tif", scene.ms_image + 1, scene.ms_transform)
    again = pancli("batch", listed, *GSA, "--resume", "-q")
    assert [row["status"] for row in results(again.stdout)] == ["skipped", "done", "skipped"]
    other = pancli("batch", listed, *GSA, "--resume", "-q", "--dtype", "float32")
    assert [row["status"] for row in results(other.stdout)] == ["done"] * 3


def test_streams_that_are_closed_or_full_are_told_in_one_line(tmp_path):
    scene = make_scene(tmp_path)
    (tmp_path / "list.txt").write_text(f"{scene.pan} {scene.ms} {tmp_path / 'o.tif'}\n")
    program = f"{sys.executable} -m pancli"
    for command, told in (
        (f"{program} batch - --method brovey -q <&-", "-: stdin is closed"),
        (f"{program} batch {tmp_path / 'list.txt'} --method exp -q >/dev/full", "stdout: cannot be written"),
        (f"{program} --help >/dev/full", "stdout: cannot be written"),
    ):
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
        assert done.returncode == 1, command
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1, done.stderr


def test_a_folder_is_no_list(tmp_path):
    result = pancli("batch", tmp_path, "--out-dir", tmp_path / "o")
    assert result.exit_code == 2
    assert "is a folder, not a list" in result.stderr and "--layout" in result.stderr
