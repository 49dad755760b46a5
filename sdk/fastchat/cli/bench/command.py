"""The command line of `fastchat bench`, and the tables of its result."""

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from fastchat.cli import options
from fastchat.cli.console import complain, is_terminal, say, show, show_json, show_table
from fastchat.cli.errors import CommandError

if TYPE_CHECKING:
    from fastchat.cli.bench.figures import Figures, Spread
    from fastchat.cli.bench.load import Load, Timed
    from fastchat.cli.connection import Server

_PICTURES = (".png", ".svg", ".pdf")
_positive = options.whole_number(1, 1_000_000)


Address = Annotated[
    str | None, typer.Argument(metavar="[URL]", help="the server; default: FASTCHAT_BASEURL, or http://localhost:8000")
]
Concurrency = Annotated[
    int, typer.Option("--concurrency", "-c", metavar="N", parser=_positive, help="streams at a time")
]
Requests = Annotated[
    int | None,
    typer.Option("--requests", metavar="N", parser=_positive, help="streams in all  [default: 10 × concurrency]"),
]
Seconds = Annotated[
    float | None, typer.Option("--seconds", metavar="S", help="begin streams for so long, instead", min=0.1)
]
PromptTokens = Annotated[
    int, typer.Option("--prompt-tokens", metavar="N", parser=_positive, help="in each prompt, about")
]
MaxTokens = Annotated[int, typer.Option("--max-tokens", metavar="N", parser=_positive, help="in each answer, at most")]
Plot = Annotated[
    Path | None, typer.Option("--plot", metavar="FILE.png", help="a picture of the times (needs matplotlib)")
]


def bench(
    url: Address = None,
    model: options.Model = None,
    concurrency: Concurrency = 8,
    requests: Requests = None,
    seconds: Seconds = None,
    prompt_tokens: PromptTokens = 128,
    max_tokens: MaxTokens = 64,
    settings: options.Settings = None,
    plot: Plot = None,
    as_json: options.AsJson = False,
    api_key: options.ApiKey = None,
    namespace: options.OfServer = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> int:
    """Put a load of chat streams on a server, and tell how it did.

    Ends with 1 where a request failed.
    """
    import asyncio
    import signal

    from fastchat.cli import connection
    from fastchat.cli.bench.figures import figures
    from fastchat.cli.bench.load import Load
    from fastchat.cli.chat.conversation import Conversation

    if requests and seconds:
        raise typer.BadParameter("--requests and --seconds exclude each other")
    given = Conversation()
    for setting in settings or ():
        given.set(setting)
    if plot is not None:
        _check_plot(plot)
    server = connection.server(url, api_key, namespace, context, kubeconfig)
    with server.client() as client:
        name = connection.choose_model(client, "Generate", model)
    count = requests or (None if seconds else 10 * concurrency)
    load = Load(name, concurrency, count, seconds, max_tokens=max_tokens, settings=given.settings)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # the bar hides the cursor until it has ended
    streams = asyncio.run(_send(server, load, prompt_tokens))
    result = figures(streams)
    _tell(server, load, result, as_json=as_json)
    if plot is not None:
        _draw(streams, load, plot)
    return _verdict(result)


def _check_plot(path: Path) -> None:
    from fastchat.cli.bench.plot import require_matplotlib

    if path.suffix not in _PICTURES:
        raise typer.BadParameter(f"{path} is none of FILE{', FILE'.join(_PICTURES)}", param_hint="--plot")
    require_matplotlib()
    if not path.absolute().parent.is_dir():
        raise CommandError(f"cannot write {path}: there is no folder {path.absolute().parent}")


def _draw(streams: "list[Timed]", load: "Load", path: Path) -> None:
    from fastchat.cli.bench.plot import plot

    plot(streams, f"{load.model}, {load.concurrency} streams at a time", path)
    say(f"the picture is in {path}")


async def _send(server: "Server", load: "Load", prompt_tokens: int) -> "list[Timed]":
    """Send the load, after one request by which it is known how many words are so many tokens.

    Raises:
        CommandError: that request failed.
    """
    import random

    from fastchat.cli.bench.load import one, run

    async with server.http_async(connections=load.concurrency) as http:
        first = await one(http, replace(load, max_tokens=1).body(random.Random(1)))  # noqa: S311  # not a secret
        if first.error:
            raise CommandError(first.error)
        words = max(round(load.words * prompt_tokens / (first.prompt_tokens or load.words)), 1)
        with _Progress(load) as progress:
            return await run(http, replace(load, words=words), progress.ended)


class _Progress:
    """A bar on stderr, in a terminal: of the requests, or of the seconds."""

    def __init__(self, load: "Load") -> None:
        import sys

        self._load = load
        self._bar: Any = None
        self._live = is_terminal(sys.stderr)
        self._failed = 0

    def __enter__(self) -> "_Progress":
        import sys

        if self._live:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            from fastchat.cli.console import console

            columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
            self._bar = Progress(*columns, console=console(sys.stderr), transient=True)
            self._task = self._bar.add_task("streams", total=self._load.requests)
            self._bar.start()
        return self

    def ended(self, timed: "Timed") -> None:
        self._failed += bool(timed.error)
        if self._bar is not None:
            said = f"streams ({self._failed} failed)" if self._failed else "streams"
            self._bar.update(self._task, advance=1, description=said)

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()


def _tell(server: "Server", load: "Load", result: "Figures", *, as_json: bool) -> None:
    if as_json:
        return show_json(_document(server, load, result))
    show(f"{load.model} at {server.base_url}, {load.concurrency} streams at a time, {result.seconds:.1f} s\n")
    rates = [
        ("requests", str(result.succeeded), f"{result.requests_per_second:.2f}"),
        ("prompt tokens", str(result.prompt_tokens), f"{result.prompt_tokens_per_second:.1f}"),
        ("completion tokens", str(result.completion_tokens), f"{result.completion_tokens_per_second:.1f}"),
        ("errors", str(result.errors.total()), ""),
    ]
    show_table(("", "TOTAL", "PER SECOND"), rates)
    show("")
    times = [
        ("time to first token", *_milliseconds(result.first_token)),
        ("between two events", *_milliseconds(result.between_events)),
        ("per further token", *_milliseconds(result.per_token)),
        ("whole stream", *_milliseconds(result.whole)),
    ]
    return show_table(("MILLISECONDS", "MEAN", "P50", "P90", "P99"), times)


def _milliseconds(spread: "Spread") -> tuple[str, ...]:
    return tuple(f"{1000 * time:.1f}" for time in (spread.mean, spread.p50, spread.p90, spread.p99))


def _document(server: "Server", load: "Load", result: "Figures") -> dict[str, Any]:
    """What `--json` prints: times in seconds."""
    spreads = {name: asdict(getattr(result, name)) for name in ("first_token", "between_events", "per_token", "whole")}
    return {
        "url": server.base_url,
        "model": load.model,
        "concurrency": load.concurrency,
        "seconds": result.seconds,
        "requests": result.succeeded,
        "requests_per_second": result.requests_per_second,
        "prompt_tokens": result.prompt_tokens,
        "completion_tokens": result.completion_tokens,
        "completion_tokens_per_second": result.completion_tokens_per_second,
        **spreads,
        "errors": dict(result.errors),
    }


def _verdict(result: "Figures") -> int:
    """Tell what went wrong, each with how often. Returns the exit code."""
    for message, count in result.errors.most_common(5):
        complain(f"{count} × {message}")
    return 1 if result.errors else 0
