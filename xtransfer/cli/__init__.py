"""The command line: `xtransfer COMMAND`. Results go to stdout, progress and errors to stderr."""

from __future__ import annotations

import errno
import io
import sys
import traceback
from typing import Annotated

import typer

from xtransfer import __version__
from xtransfer.cli import benchmark, cluster, data, jobs, results, run, store, study, watch
from xtransfer.driver.termination import on_terminate
from xtransfer.errors import LONGEST_LINE, XtransferError, shown

INTERRUPTED = 130
"""Exit status by Ctrl-C, SIGTERM and SIGHUP."""

app = typer.Typer(
    name="xtransfer",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Intermediate-task training for zero-shot cross-lingual transfer, on one machine or a cluster.",
)


def main() -> None:
    """Run the command line; errors of the project's own end it with one line and their status."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # names of files may be no text
    debug = "--debug" in sys.argv
    if debug:
        sys.argv.remove("--debug")
    on_terminate()
    try:
        app(standalone_mode=True)
    except XtransferError as error:
        if debug:
            traceback.print_exc()
        _say(str(error))
        sys.exit(error.exit_status)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except OSError as error:
        if debug:
            traceback.print_exc()
        place = f"{error.filename}: " if error.filename else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        what = "no space is left on the disk. Free some." if full else error.strerror or error
        _say(f"{place}{what}")
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer makes that of Ctrl-C, without a word
            _say("interrupted. The same command goes on from here.")
        raise


def _say(message: str) -> None:
    """Print an error; what it quotes of an input is cut, and cannot control the terminal."""
    first, *more = (shown(line, most=LONGEST_LINE) for line in message.split("\n"))
    print("\n".join([f"xtransfer: {first}", *more]), file=sys.stderr)


def _version(value: bool) -> None:
    if value:
        from xtransfer.identity import source_digest

        print(f"xtransfer {__version__}, source {source_digest()}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Print an error's traceback, too; in any place.")
    ] = False,
) -> None:
    pass  # `main` has taken --debug from wherever it was


for command in (
    study.tasks,
    study.plan,
    run.run,
    study.status,
    watch.watch,
    results.explain,
    results.report,
    results.export,
    results.track,
    benchmark.submission,
    benchmark.score,
    cluster.submit,
    jobs.logs,
    jobs.wait,
    jobs.cancel,
):
    app.command()(command)
app.add_typer(data.commands)
app.add_typer(store.commands)
cluster.commands.command()(jobs.status)
app.add_typer(cluster.commands)
