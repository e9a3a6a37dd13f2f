"""``pancli batch``: many pairs in, one GeoTIFF and one line of JSON each."""

from __future__ import annotations

import codecs
import json
import os
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from pancli.cli.options import Quiet
from pancli.cli.sharpening import takes_sharpening_options
from pancli.cli.showing import is_terminal, plain_console, warn
from pancli.errors import InputError
from pancli.progress import Progress

if TYPE_CHECKING:
    from pancli.batch import Entry, Naming, SceneResult
    from pancli.sharpening import SharpenOptions

SOME_FAILED = 3


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("batch")(takes_sharpening_options(_command))


def _command(  # noqa: PLR0913 - one parameter per option is Typer's way
    context: typer.Context,
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="LIST|-|FOLDER...",
            help="A list: CSV with columns pan, ms, out; JSON Lines; or lines 'PAN MS [OUT]'. "
            "With --layout: folders.",
        ),
    ],
    layout: Annotated[
        str | None,
        typer.Option("--layout", metavar="landsat|pairs", help="Find scenes in folders, as delivered."),
    ] = None,
    out_dir: Annotated[
        Path | None,
        typer.Option(
            "--out-dir", metavar="DIR", help="For outputs without a name; is made if it is not there."
        ),
    ] = None,
    out_name: Annotated[
        str | None,
        typer.Option(
            "--out-name",
            metavar="TEXT",
            help="Their names there, of {stem} and {folder} (those of PAN); default: {stem}.tif.",
        ),
    ] = None,
    shard: Annotated[
        str, typer.Option("--shard", metavar="I/N", help="Only every N-th scene from the I-th on, from 0.")
    ] = "0/1",
    jobs: Annotated[
        int | None,
        typer.Option(
            "--jobs",
            metavar="N",
            help="Processes, which share threads and CUDA devices; default: 1. With ray: workers, each with "
            "--num-threads (default: 1) and a GPU of its own; default: as many as there is room for.",
        ),
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            "--engine",
            metavar="local|ray",
            help="Where scenes are made: by processes of this machine, or on a Ray cluster.",
        ),
    ] = "local",
    address: Annotated[
        str | None,
        typer.Option(
            "--address",
            metavar="auto|ray://HOST:PORT",
            help="Of the Ray cluster; default: one is started on this machine and ends with the batch.",
        ),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Skip what was made before of the same inputs and options.")
    ] = False,
    fail_fast: Annotated[
        bool, typer.Option("--fail-fast/--keep-going", help="Begin no scene after one has failed.")
    ] = False,
    quicklook: Annotated[
        bool,
        typer.Option("--quicklook", help="Write a picture of each, too: OUT with the ending .png."),
    ] = False,
    stac: Annotated[
        bool, typer.Option("--stac", help="Write a STAC item of each, too: OUT with the ending .json.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print every scene's plan and stop.")] = False,
    quiet: Quiet = False,
    *,
    options: SharpenOptions,
) -> None:
    """Sharpen many pairs; a line of JSON on stdout for each as it ends.

    Several MS files are separated by ';' (JSON: a list). Exit code 0: all are done or were before; 3: some
    failed; 1: all failed, or nothing could be begun; 2: the command line or the list is wrong, nothing ran.
    """
    from pancli.batch import BatchTerms, Shard, check_batch, plan_batch, run_batch

    options = replace(options, quicklook=quicklook, stac=stac)
    terms = BatchTerms(jobs, not fail_fast, resume, out_dir, engine, address)
    part = Shard.parse(shard)
    entries = _entries(sources, layout, _naming(out_dir, out_name))
    told = context.get_parameter_source("sensor")
    if told is not None and told.name == "COMMANDLINE":  # even where it is the default that was given
        entries = [replace(entry, sensor=None) for entry in entries]
    check_batch(entries, options, terms)
    if not entries:
        warn([f"{sources[0]}: no scenes in it"])
    entries = part.take(entries)
    with _own_stdout(engine) as stdout, _showing(len(entries), stdout, quiet=quiet) as show:
        if dry_run:
            results = plan_batch(entries, options, terms)
        else:
            results = run_batch(entries, options, terms, show.tile)
        tally = _print(results, show)
    _judge(tally, len(entries))


def _naming(folder: Path | None, template: str | None) -> Naming:
    from pancli.batch import Naming

    if template is None:
        return Naming(folder)
    naming = Naming(folder, template)
    if folder is None:
        raise typer.BadParameter(f"'{template}' goes with --out-dir", param_hint="--out-name")
    return naming


def _entries(sources: list[str], layout: str | None, naming: Naming) -> list[Entry]:
    from pancli.batch import LAYOUTS, find_entries, read_list

    if layout is not None:
        if layout not in LAYOUTS:
            raise typer.BadParameter(f"'{layout}' is none of {', '.join(LAYOUTS)}", param_hint="--layout")
        if naming.folder is None:
            raise typer.BadParameter("--layout finds inputs, not names for outputs", param_hint="--out-dir")
        return find_entries([Path(source) for source in sources], layout, naming)
    if len(sources) > 1:
        raise typer.BadParameter(f"one list too many: {sources[1]} (folders are for --layout)")
    return read_list(_read(sources[0]), "stdin" if sources[0] == "-" else sources[0], naming)


def _read(source: str) -> str:
    """The list: UTF-8, or UTF-16 where it begins so, as Windows' PowerShell has it.

    Bytes that are no UTF-8 stay what they are, for there are file names that are none.
    """
    if source == "-" and sys.stdin is None:
        raise InputError("-: stdin is closed")
    if source != "-" and Path(source).is_dir():
        raise typer.BadParameter(f"{source} is a folder, not a list; say what is in it with --layout")
    try:
        data = sys.stdin.buffer.read() if source == "-" else Path(source).read_bytes()
    except OSError as error:
        raise InputError(f"{source}: cannot be read ({error.strerror})") from error
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", errors="replace")
    return data.decode(errors="surrogateescape")


def _print(results: Generator[SceneResult, None, None], show: _Show) -> Counter[str]:
    tally: Counter[str] = Counter()
    with closing(results):
        for result in results:
            tally[result.status] += 1
            show.line(json.dumps(result.as_dict(), allow_nan=False))
            show.scene(result)
    return tally


def _judge(tally: Counter[str], count: int) -> None:
    """The last word, and the exit code."""
    if failed := tally["failed"]:
        left = count - tally.total()
        rest = f"; {left} not begun" if left else ""
        typer.echo(f"pancli: {failed} of {count} scenes failed{rest}", err=True)
        raise typer.Exit(1 if failed == tally.total() else SOME_FAILED)


@dataclass(frozen=True)
class _Show:
    """How what happens is shown: the tiles of a scene, a scene that has ended, and its line of JSON."""

    tile: Progress | None
    scene: Callable[[SceneResult], None]
    line: Callable[[str], None]


@contextmanager
def _own_stdout(engine: str) -> Iterator[TextIO]:
    """The standard output, for lines of JSON alone: Ray prints there, from a thread, of lost workers."""
    with ExitStack() as stack:
        stdout = sys.stdout
        if engine == "ray":
            stack.enter_context(redirect_stdout(stack.enter_context(Path(os.devnull).open("w"))))
        yield stdout


@contextmanager
def _showing(count: int, stdout: TextIO, *, quiet: bool) -> Iterator[_Show]:
    if quiet:
        yield _Show(None, lambda _: None, partial(typer.echo, file=stdout))
    elif is_terminal(sys.stderr):
        with _bar(count, stdout) as show:
            yield show
    else:
        yield _plain(count, stdout)


@contextmanager
def _bar(count: int, stdout: TextIO) -> Iterator[_Show]:
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    console = plain_console(stderr=True)
    with Bar(*columns, console=console, transient=True, redirect_stdout=False) as bar:
        task = bar.add_task("batch", total=count)

        def tile(stage: str, done: int, total: int) -> None:
            part = f" {100 * done // total} %" if total else ""
            bar.update(task, description=f"batch: {stage}{part}")

        def scene(result: SceneResult) -> None:
            bar.update(task, description="batch", advance=1)
            if result.failed:
                line(f"{result.entry.output}: {_describe(result)}")

        def line(text: str) -> None:
            console.print(text, soft_wrap=True)

        # Where stdout is the terminal as well, its lines go above the bar, not into it.
        yield _Show(tile, scene, line if is_terminal(stdout) else partial(typer.echo, file=stdout))


def _plain(count: int, stdout: TextIO) -> _Show:
    ended = 0

    def scene(result: SceneResult) -> None:
        nonlocal ended
        ended += 1
        typer.echo(f"{ended} of {count}: {result.entry.output}: {_describe(result)}", err=True)

    return _Show(None, scene, partial(typer.echo, file=stdout))


def _describe(result: SceneResult) -> str:
    if result.error is not None:
        return f"failed: {result.error}"
    return f"{result.status}, {result.seconds:.1f} s"
