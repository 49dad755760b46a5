"""The command line of `fastchat verify`, and the table of what was found."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from fastchat.cli import options
from fastchat.cli.console import complain, say, show_json, show_table

if TYPE_CHECKING:
    from fastchat.cli.connection import Server
    from fastchat.cli.verify.target import Check, Target

STYLES = {"ok": "green", "failed": "bold red", "skipped": "yellow"}


@dataclass(frozen=True)
class Finding:
    """What came of one check."""

    name: str
    result: str
    """ok, failed or skipped."""
    detail: str


def verify(
    url: Annotated[
        str | None,
        typer.Argument(metavar="[URL]", help="the server; default: FASTCHAT_BASEURL, or http://localhost:8000"),
    ] = None,
    model: options.Model = None,
    timeout: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", help="that a response may be waited for", min=1)
    ] = 60,
    drain: Annotated[
        int | None,
        typer.Option(
            "--drain", metavar="PID", help="at last end this process, the server's: it must complete what it began"
        ),
    ] = None,
    as_json: options.AsJson = False,
    api_key: options.ApiKey = None,
    namespace: options.OfServer = None,
    context: options.Context = None,
    kubeconfig: options.Kubeconfig = None,
) -> int:
    """Examine whether a server does what OpenAI's clients need.

    Some dozen short requests to one model. Ends with 1 where something is not as it should be.
    """
    import asyncio

    from fastchat.cli import connection

    server = connection.server(url, api_key, namespace, context, kubeconfig)
    with server.client() as client:
        name = connection.choose_model(client, "Generate", model)
    findings = asyncio.run(_examine(server, name, timeout, drain))
    if as_json:
        listed = [{"check": each.name, "result": each.result, "detail": each.detail} for each in findings]
        show_json({"url": server.base_url, "model": name, "checks": listed})
    else:
        show_table(("CHECK", "RESULT", "FOUND"), [(each.name, each.result, each.detail) for each in findings], STYLES)
    return _verdict(findings)


def _verdict(findings: list[Finding]) -> int:
    """Tell how many checks failed. Returns the exit code."""
    failed = [each.name for each in findings if each.result == "failed"]
    done = sum(each.result != "skipped" for each in findings)
    if failed:
        complain(f"{len(failed)} of {done} checks failed: {', '.join(failed)}")
        return 1
    say(f"all {done} checks passed")
    return 0


def _checks(drain: int | None) -> "dict[str, Check]":
    from fastchat.cli.verify import checks, forms

    return {
        "models": checks.models,
        "chat": checks.chat,
        "usage": checks.usage,
        "stream": checks.stream,
        "stream usage": checks.stream_usage,
        "errors": checks.errors,
        "unknown model": checks.unknown_model,
        "wrong key": checks.wrong_key,
        "chunked requests": checks.chunked,
        "cancel": checks.cancel,
        "tools": forms.tools,
        "streamed tools": forms.streamed_tools,
        "schema": forms.schema,
        "concurrency": checks.concurrency,
        "embeddings": checks.embeddings,
        "drain": forms.drain(drain),
    }


async def _examine(server: "Server", model: str, seconds: float, drain: int | None) -> list[Finding]:
    from fastchat.cli.verify.target import Target

    async with server.http_async(seconds) as http:
        target = Target(http, model, has_key=server.key is not None)
        return [await _find(name, check, target) for name, check in _checks(drain).items()]


async def _find(name: str, check: "Check", target: "Target") -> Finding:
    import httpx

    from fastchat.cli.verify.target import CheckError, SkippedError

    try:
        return Finding(name, "ok", await check(target))
    except SkippedError as reason:
        return Finding(name, "skipped", str(reason))
    except CheckError as error:
        return Finding(name, "failed", str(error))
    except httpx.TimeoutException:
        return Finding(name, "failed", f"no response within {target.http.timeout.read:g} s")
    except httpx.HTTPError as error:
        return Finding(name, "failed", f"the connection broke: {error}")
