"""The `fastchat` command: its commands, and how it ends."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import typer

from fastchat.cli import keys, up
from fastchat.cli.ask import ask
from fastchat.cli.bench.command import bench
from fastchat.cli.chat.command import chat
from fastchat.cli.cluster import deploy, doctor, listing, logs, scale, status
from fastchat.cli.console import complain, show
from fastchat.cli.embed import embed
from fastchat.cli.errors import CommandError
from fastchat.cli.plan.command import plan
from fastchat.cli.verify.command import verify

EPILOG = "Exit codes: 0 done, 1 it cannot be done, 2 wrong command line, 130 Ctrl-C."

app = typer.Typer(
    name="fastchat",
    epilog=EPILOG,
    rich_markup_mode=None,  # rich would take longer to import than all of `fastchat --help` takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["--help", "-h"]},
)
app.command("up")(up.up)
app.command("deploy")(deploy.deploy)
app.command("list")(listing.list_deployments)
app.command("status")(status.status)
app.command("logs")(logs.logs)
app.command("scale")(scale.scale)
app.command("delete")(scale.delete)
app.command("doctor")(doctor.doctor)
app.command("chat")(chat)
app.command("ask")(ask)
app.command("embed")(embed)
app.command("bench")(bench)
app.command("verify")(verify)
app.command("plan")(plan)
app.add_typer(keys.app, name="keys")


def _show_version(wanted: bool) -> None:
    if wanted:
        from fastchat._runtime.version import version

        show(f"fastchat {version()}")
        raise typer.Exit


@app.callback()
def _fastchat(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="show the version, and end")
    ] = False,
) -> None:
    """Open models, called as you call OpenAI."""


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the exit code: 0 when done, 1 when it cannot be done, 2 for a wrong command line, 130 after Ctrl-C."""
    arguments = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    try:
        return _flushed(app(arguments, prog_name="fastchat", standalone_mode=False) or 0)
    except typer.TyperException as wrong:
        complain(_in_a_line(wrong))
        return wrong.exit_code
    except typer.Abort:  # the end of what a command would have asked for
        return 130
    except KeyboardInterrupt:
        return 130
    except _expected() as error:
        complain(str(error))
        return 1


def _in_a_line(wrong: typer.TyperException) -> str:
    """What is wrong with a command line, and where to read how it is right."""
    message = wrong.format_message().rstrip(".")
    context: Any = getattr(wrong, "ctx", None)
    return f"{context.command_path}: {message}; see {context.command_path} --help" if context else message


def _expected() -> tuple[type[Exception], ...]:
    """What commands raise for users. Imported when something was raised, for it takes its time."""
    from fastchat._kube.errors import KubeError
    from fastchat.errors import FastChatError
    from fastchat.keys.store import KeysError
    from fastchat.local.manifest import ManifestError
    from fastchat.local.plan import UpError

    return CommandError, FastChatError, KeysError, KubeError, ManifestError, UpError


def _flushed(code: int) -> int:
    """The exit code, once all that was printed is written. Who reads it may have read enough (`fastchat … | head`)."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the interpreter complains when it ends
    return code
