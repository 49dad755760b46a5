"""`fastchat up FILE.yaml`: serve ModelDeployment manifests on this machine."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from fastchat._runtime.interrupt import end_quietly
from fastchat.cli import options
from fastchat.cli.console import show

Files = Annotated[list[Path], typer.Argument(metavar="FILE.yaml…", help="manifests of ModelDeployments")]
Host = Annotated[str, typer.Option("--host", help="address to serve on")]
Port = Annotated[
    int,
    typer.Option("--port", parser=options.whole_number(0, 65535), metavar="N", help="port to serve on, 0: a free one"),
]
KeysFolder = Annotated[
    str | None,
    typer.Option("--keys-dir", metavar="FOLDER", help="serve only these API keys: what `fastchat keys --dir` writes"),
]
Origins = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-origins", metavar="ORIGIN,…", help="whose web pages may send requests, *: all (default: no others)"
    ),
]
Hosts = Annotated[
    list[str] | None,
    typer.Option(
        "--allowed-hosts",
        metavar="HOST,…",
        help="further names that requests may use for this host, *: any (default: on loopback, this machine's own)",
    ),
]
Page = Annotated[bool, typer.Option("--page/--no-page", help="a page to chat on at /")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="show what gateway and workers say")]


def up(
    files: Files,
    host: Host = "127.0.0.1",
    port: Port = 8000,
    keys_dir: KeysFolder = None,
    allowed_origins: Origins = None,
    allowed_hosts: Hosts = None,
    page: Page = True,
    verbose: Verbose = False,
) -> None:
    """Serve ModelDeployment manifests on this machine.

    There will be one gateway, and workers as the manifests say.
    """
    import asyncio
    import shutil
    import sys

    from fastchat.local import supervisor
    from fastchat.local.manifest import read
    from fastchat.local.plan import NO_PAGE, check, listen_port, make_plan
    from fastchat.local.progress import Terminal

    terminal = Terminal(sys.stderr, shutil.get_terminal_size().columns)
    manifests = read(files, terminal.line)
    check(manifests, terminal.line)
    port = listen_port(host, port)
    _require("aiohttp", "sentence_transformers", "torch", "transformers", "uvicorn")
    plan = make_plan(
        [manifest.deployment for manifest in manifests],
        host,
        port,
        verbose=verbose,
        keys_dir=keys_dir,
        gateway_args=[
            *(word for origins in allowed_origins or () for word in ("--allowed-origins", origins)),
            *(word for hosts in allowed_hosts or () for word in ("--allowed-hosts", hosts)),
            *([] if page else [NO_PAGE]),
        ],
    )
    asyncio.run(supervisor.run(plan, terminal, show, verbose=verbose))
    end_quietly()  # asyncio has restored Python's own handler of Ctrl-C


def _require(*modules: str) -> None:
    """Raise UpError where the parts of this distribution that run a model are not installed."""
    from fastchat.local.plan import UpError

    missing = [module for module in modules if find_spec(module) is None]
    if missing:
        raise UpError(f"{', '.join(missing)} not installed: pip install 'fastchat-k8s[gateway,worker]'")
