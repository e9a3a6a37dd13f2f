"""The program: commands, verbosity, signals, and the one place an error becomes a message."""

from __future__ import annotations

import errno
import io
import signal
import sys
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pancli import __version__
from pancli.cli import batch, check, compare, degrade, evaluate, methods, networks, sharpen, simulate, train
from pancli.errors import InputError, PancliError, refusal

INTERRUPTED = 130


class _Group(TyperGroup):
    """Turns refusals into one line on stderr, inside click, so that tests see what the shell sees."""

    def invoke(self, ctx: Any) -> Any:
        try:
            _check_folder()
            return super().invoke(ctx)
        except (PancliError, OSError) as error:
            if (line := refusal(error)) is None:
                raise
            typer.echo(f"pancli: {line}", err=True)
            raise typer.Exit(error.exit_code if isinstance(error, PancliError) else 1) from error
        except KeyboardInterrupt:
            typer.echo("pancli: interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None


def _check_folder() -> None:
    """Refuse to work in a folder that was removed, in which torch's libraries end the process, oddly."""
    try:
        Path.cwd()
    except FileNotFoundError as error:
        raise InputError("the working directory was removed; change into another (cd)") from error


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    for number in (signal.SIGTERM, signal.SIGHUP):  # once is enough: what cleans up is not to be interrupted
        signal.signal(number, signal.SIG_IGN)
    raise KeyboardInterrupt


def _catch_signals() -> None:
    """Have what would end the program at once end it as Ctrl-C does, which leaves no file half made."""
    signal.signal(signal.SIGTERM, _interrupt)
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup has it
        signal.signal(signal.SIGHUP, _interrupt)


def _version(show: bool) -> None:
    if show:
        typer.echo(f"pancli {__version__}")
        raise typer.Exit


def build() -> typer.Typer:
    """The Typer app with every command registered."""
    app = typer.Typer(
        cls=_Group,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        help="Pansharpen whole satellite scenes with deep networks or classical methods.",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def _root(
        version: Annotated[
            bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
        ] = False,
    ) -> None:
        pass

    for command in (sharpen, batch, check, methods, networks, train, simulate, degrade, evaluate, compare):
        command.register(app)
    return app


def main() -> None:
    """Entry point of the ``pancli`` program."""
    _catch_signals()
    if isinstance(sys.stdout, io.TextIOWrapper):  # names of files may be what its encoding cannot say
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        build()()
    except BrokenPipeError:
        # The reader of our stdout went away (as head does): nothing is wrong, nothing is left to say.
        if sys.stderr is not None:
            sys.stderr.close()
        raise SystemExit(1) from None
    except OSError as error:
        # Every file is spoken for where it is read or written: this is stdout, or there would be a traceback.
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EFBIG):
            raise
        print(f"pancli: stdout: cannot be written ({error.strerror})", file=sys.stderr)  # noqa: T201
        with suppress(OSError):
            sys.stdout.close()  # lest Python try again when it ends
        raise SystemExit(1) from None
