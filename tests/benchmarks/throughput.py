"""Throughput of ``pancli sharpen`` beside what else could be done with the same bytes; prints tables.

    python -m tests.benchmarks.throughput                     # minutes
    python -m tests.benchmarks.throughput --sizes 4096,8192,16384 --network-sizes 4096 --threads 2,1 \\
        --compress NONE,DEFLATE,ZSTD --rounds 5 --folder SCRATCH     # all of it: hours

Every run is a process of its own, timed from outside until its output is on the disk (fsync, for all alike).
Contenders take turns (A B C, A B C, ...), and ratios are of one round, their median is printed: what else the
machine does then falls on all. CPU seconds stand beside wall seconds because they hardly change with that.

The plain copy is gdal_translate of what brovey made, uncompressed, with the creation options of all others.
Orfeo ToolBox and GDAL's programs are left out, with a line that says so, where they are not installed.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

# Only the standard library here: a child counts what its parent holds when it begins to its own peak memory.

_METHODS = "brovey,gsa,mtf-glp"
_NETWORKS = "bandset,gcpnet,premix-b"
_TILED = {"TILED": "YES", "BLOCKXSIZE": "512", "BLOCKYSIZE": "512", "INTERLEAVE": "PIXEL"}
COPY, GDAL, OTB = "gdal_translate (copy)", "gdal_pansharpen", "OTB BundleToPerfectSensor"


@dataclass(frozen=True)
class Setting:
    """What a round is run under."""

    folder: Path
    size: int
    threads: int
    compress: str

    def file(self, role: str) -> Path:
        """A scene's file, or the output."""
        return self.folder / f"{role}{self.size}.tif"

    @property
    def creation(self) -> dict[str, str]:
        """GDAL creation options, the same for all."""
        predictor = {} if self.compress == "NONE" else {"PREDICTOR": "2"}
        return {**_TILED, "COMPRESS": self.compress, **predictor, "NUM_THREADS": str(self.threads)}


@dataclass(frozen=True)
class Forward:
    """What a network alone took.

    Attributes:
        wall: Seconds.
        cpu: Seconds of all threads.
        flop: Floating-point operations.
        gemm: So many a second in products of matrices, measured right after.
    """

    wall: float
    cpu: float
    flop: float
    gemm: float


@dataclass(frozen=True)
class Run:
    """What one process took."""

    wall: float
    cpu: float
    peak_mb: float


@dataclass
class Contender:
    """A command and what its runs took, one per round."""

    name: str
    command: list[str]
    runs: list[Run] = field(default_factory=list)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="4096", help="of scenes for --methods, pixels square")
    parser.add_argument("--methods", default=_METHODS)
    parser.add_argument("--network-sizes", default="1024")
    parser.add_argument("--networks", default=_NETWORKS)
    parser.add_argument("--threads", default=str(os.cpu_count()))
    parser.add_argument("--compress", default="DEFLATE")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where scenes and outputs go, and are removed from")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=asked.folder) as scratch:
        folder = Path(scratch)
        for size in _numbers(asked.sizes):
            _make_scene(folder, size)
            for threads in _numbers(asked.threads):
                for compress in asked.compress.split(","):
                    _compare(Setting(folder, size, threads, compress), _words(asked.methods), asked.rounds)
            _remove_scene(folder, size)
        for size in _numbers(asked.network_sizes):
            _make_scene(folder, size)
            for threads in _numbers(asked.threads):
                _networks(Setting(folder, size, threads, "DEFLATE"), _words(asked.networks), asked.rounds)
            _remove_scene(folder, size)
        _start_up(folder, asked.rounds)


def _words(text: str) -> list[str]:
    return [word for word in text.split(",") if word]


def _numbers(text: str) -> list[int]:
    return [int(word) for word in _words(text)]


def _compare(setting: Setting, methods: Sequence[str], rounds: int) -> None:
    """Methods beside the plain copy, gdal_pansharpen and Orfeo ToolBox."""
    contenders = [*_peers(setting), *(Contender(method, _sharpen(setting, method)) for method in methods)]
    _take_turns(contenders, setting.file("out"), rounds)
    threads = f"{setting.threads} thread{'s' if setting.threads > 1 else ''}"
    print(f"\n{setting.size} x {setting.size}, {setting.compress}, {threads}, rounds: {rounds}\n")
    print("| | MPix/s | wall s | CPU s | wall / copy | wall / GDAL | CPU / copy | CPU / GDAL | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|")
    known = {contender.name: contender for contender in contenders}
    for contender in contenders:
        ratios = [
            _ratio(contender, known.get(peer), figure) for figure in ("wall", "cpu") for peer in (COPY, GDAL)
        ]
        _row(contender.name, *_figures(contender, setting.size), *ratios, _peak(contender))


def _networks(setting: Setting, networks: Sequence[str], rounds: int) -> None:
    """Networks beside their bare forward on the same tiles, and that beside a product of matrices."""
    named = [(name, _weights(setting.folder, name)) for name in networks]
    print(
        f"\nNetworks, {setting.size} x {setting.size}, DEFLATE, threads: {setting.threads}, rounds: {rounds}"
    )
    titles = (
        "MPix/s | wall s | CPU s | forward: wall s | CPU s | forward / all: wall | CPU | GFLOP/s | / GEMM"
    )
    print(f"\n| | {titles} | peak MB |")
    print("|---|---|---|---|---|---|---|---|---|---|---|")
    for name, method in named:
        whole = Contender(name, _sharpen(setting, method))
        bare: list[Forward] = []
        for _ in range(rounds):
            whole.runs.append(_timed(whole.command, setting.file("out")))
            pair = (setting.file("pan"), setting.file("ms"))
            alone = json.loads(_child("bare_forward", *pair, method, setting.threads))
            bare.append(Forward(**alone, gemm=json.loads(_child("multiply", setting.threads))))
        walls, cpus = ([getattr(run, figure) for run in bare] for figure in ("wall", "cpu"))
        ratios = [
            f"{median(part / run for part, run in zip(parts, runs, strict=True)):.2f}"
            for parts, runs in (
                (walls, [run.wall for run in whole.runs]),
                (cpus, [run.cpu for run in whole.runs]),
            )
        ]
        forward = f"{median(walls):.1f}", f"{median(cpus):.1f}"
        rates = [run.flop / run.wall for run in bare]
        reached = median(rate / run.gemm for rate, run in zip(rates, bare, strict=True))
        limits = f"{median(rates) / 1e9:.0f}", f"{reached:.2f}"
        _row(name, *_figures(whole, setting.size), *forward, *ratios, *limits, _peak(whole))


def _start_up(folder: Path, rounds: int) -> None:
    """The smallest scene from end to end: at most so long does the first pixel take."""
    samples = Path(__file__).parents[2] / "samples"
    out = folder / "out.tif"
    pancli = [sys.executable, "-m", "pancli", "sharpen", str(samples / "pan.tif"), str(samples / "ms.tif")]
    contenders = [
        Contender("import torch", [sys.executable, "-c", "import torch"]),
        Contender("brovey, samples/", [*pancli, str(out), "-q", "--method", "brovey"]),
        Contender("bandset, samples/", [*pancli, str(out), "-q", "--method", "bandset"]),
    ]
    _take_turns(contenders, out, rounds)
    print("\n| start-up | wall s | CPU s | peak MB |\n|---|---|---|---|")
    for contender in contenders:
        _row(contender.name, *_figures(contender, 0)[1:], _peak(contender))


def _row(*cells: str) -> None:
    print(f"| {' | '.join(cells)} |", flush=True)


def _figures(contender: Contender, size: int) -> tuple[str, str, str]:
    wall, cpu = (median(getattr(run, figure) for run in contender.runs) for figure in ("wall", "cpu"))
    return f"{size**2 / 1e6 / wall:.2f}", f"{wall:.1f}", f"{cpu:.1f}"


def _peak(contender: Contender) -> str:
    return f"{max(run.peak_mb for run in contender.runs):.0f}"


def _ratio(contender: Contender, peer: Contender | None, figure: str) -> str:
    """The median over rounds of a figure over the peer's in the same round."""
    if peer is None:
        return "-"
    pairs = zip(contender.runs, peer.runs, strict=True)
    return f"{median(getattr(own, figure) / getattr(other, figure) for own, other in pairs):.2f}"


def _take_turns(contenders: Sequence[Contender], out: Path, rounds: int) -> None:
    for _ in range(rounds):
        for contender in contenders:
            contender.runs.append(_timed(contender.command, out))


def _timed(command: Sequence[str], out: Path) -> Run:
    """Run a command in a process of its own until what it wrote is on the disk, then remove that.

    Raises:
        subprocess.CalledProcessError: It failed.
    """
    os.sync()  # what others left to be written is not this one's
    start = time.perf_counter()
    with tempfile.TemporaryFile() as heard:
        process = subprocess.Popen(command, stdout=heard, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            heard.seek(0)
            raise subprocess.CalledProcessError(process.returncode, command, heard.read())
    if out.exists():
        with out.open("rb") as file:
            os.fsync(file.fileno())
    wall = time.perf_counter() - start
    out.unlink(missing_ok=True)
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def _sharpen(setting: Setting, method: str) -> list[str]:
    files = [str(setting.file(role)) for role in ("pan", "ms", "out")]
    options = ["-q", "--method", method, "--num-threads", str(setting.threads)]
    return [sys.executable, "-m", "pancli", "sharpen", *files, *options, *_pairs("--co", setting.creation)]


def _peers(setting: Setting) -> list[Contender]:
    """What is installed of the programs to compare with."""
    pan, ms, out = (str(setting.file(role)) for role in ("pan", "ms", "out"))
    creation = _pairs("-co", setting.creation)
    threads = str(setting.threads)
    extended = "&".join(f"gdal:co:{key}={value}" for key, value in setting.creation.items())
    limited = ["env", f"ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS={threads}", "OTB_LOGGER_LEVEL=CRITICAL"]
    wanted = [
        Contender(COPY, ["gdal_translate", "-q", str(setting.file("fused")), out, *creation]),
        Contender(GDAL, ["gdal_pansharpen.py", "-q", "-threads", threads, pan, ms, out, *creation]),
        Contender(
            OTB,
            [
                "otbcli_BundleToPerfectSensor",
                "-inp",
                pan,
                "-inxs",
                ms,
                "-out",
                f"{out}?&{extended}",
                "uint16",
            ],
        ),
    ]
    found = [one for one in wanted if shutil.which(one.command[0])]
    for one in wanted:
        if one not in found:
            print(f"{one.name}: skipped, {one.command[0]} is not installed")
    return [Contender(one.name, [*limited, *one.command]) for one in found]


def _pairs(option: str, values: dict[str, str]) -> list[str]:
    return [word for key, value in values.items() for word in (option, f"{key}={value}")]


def _make_scene(folder: Path, size: int) -> None:
    """Pan and ms of a size, and what brovey makes of them, uncompressed."""
    _child("build_scene", folder, size)
    setting = Setting(folder, size, os.cpu_count() or 1, "NONE")
    subprocess.run(_sharpen(setting, "brovey"), check=True)
    setting.file("out").rename(setting.file("fused"))


def _remove_scene(folder: Path, size: int) -> None:
    for path in folder.glob(f"*{size}.tif"):
        path.unlink()


def _weights(folder: Path, name: str) -> str:
    """What to call a network by: its name, or a file of untrained weights where none ship."""
    shipped = json.loads(_child("print_shipped"))
    if name in shipped:
        return name
    path = folder / f"{name}.safetensors"
    if not path.exists():
        print(f"{name}: no weights ship; its speed is measured with untrained ones")
        _child("save_untrained", name, path)
    return str(path)


def _child(function: str, *arguments: object) -> str:
    """Call a function of ``workloads`` in a process of its own; what it printed."""
    code = f"import sys; from tests.benchmarks.workloads import {function}; {function}(*sys.argv[1:])"
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout


if __name__ == "__main__":
    main()
