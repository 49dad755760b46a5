"""What can be set, and from where: the command line and the environment."""

import argparse
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from fastchat._runtime.options import between
from fastchat.keys.record import digest
from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE
from fastchat_gateway.routing.catalog import LoadBalancing, QueueLimits

_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]+\]")
_ORIGIN = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s/,?#@*]+")
_NAME = re.compile(r"[!#$%&'+.^_`|~0-9A-Za-z-]+")
_NAMESPACE_FILE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


@dataclass(frozen=True)
class Settings:
    """Everything a gateway needs to know before it starts."""

    workers: tuple[str, ...] = ()
    """Base URLs of the workers of static discovery, without a path."""
    aliases: Mapping[str, str] = field(default_factory=dict)
    """Further names of models of static discovery: alias → name."""
    namespace: str | None = None
    """Namespace whose ModelDeployments are served; None: static discovery."""
    kubeconfig: str | None = None
    """File that says where the Kubernetes API is; None: the pod's own, or else kubectl's default."""
    host: str = "0.0.0.0"  # noqa: S104  # a pod is reached from outside
    """Address to listen on."""
    port: int = 8080
    """Port to listen on; 0 takes a free one and says which."""
    key_digests: tuple[bytes, ...] = ()
    """SHA-256 of the API keys that are given here, which have no limits."""
    keys_dir: Path | None = None
    """Folder with a file per API key, which says what the key may do; it may change at any time."""
    require_api_keys: bool = False
    """Serve nobody while there is no API key, instead of everybody."""
    internal_token: bytes | None = None
    """With which gateway, workers and operator of a cluster know each other."""
    queue: QueueLimits = field(default_factory=QueueLimits)
    """How many requests of a model of static discovery wait for a worker, and for how long."""
    comment_seconds: float = 10.0
    """A stream that waits for a worker gets an SSE comment this often, so that proxies do not time out."""
    max_body_bytes: int = 8 * 2**20
    """Largest request body."""
    grace_period_seconds: float = 30.0
    """After SIGTERM, requests in flight have this long to finish."""
    poll_seconds: float = 1.0
    """Static discovery looks at each worker this often, discovery in a cluster at one that failed a request."""
    poll_timeout_seconds: float = 2.0
    """A worker that does not respond to a probe within this time is not ready."""
    connect_timeout_seconds: float = 2.0
    """A worker that does not accept a connection within this time has failed."""
    access_log: bool = True
    """One JSON line per request on stdout."""
    load_balancing: LoadBalancing = "LeastRequests"
    """Of models of static discovery."""
    open_metrics: bool = False
    """/metrics is for everyone, instead of for who knows the internal token."""
    page: bool = True
    """A page to chat on at `/`."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that requests may name, without a port; none: any."""
    allowed_origins: tuple[str, ...] = ()
    """Origins whose web pages may ask, `*` for all; none: web pages of this gateway's own origin only."""
    allowed_methods: tuple[str, ...] = ("*",)
    """Methods by which they may."""
    allowed_headers: tuple[str, ...] = ("*",)
    """Headers that they may send."""
    allow_credentials: bool = False
    """They may ask with cookies, which mean nothing here."""
    max_concurrent_requests: int = 10_000
    """With more than this in progress, the next is refused."""
    max_connections: int | None = None
    """Clients' connections, idle ones too; the next is refused. None: as many as the descriptors allow."""
    max_buffered_bytes: int = 256 * 2**20
    """Bodies of all requests in progress; a request that would go beyond it is refused."""
    max_resume_bytes: int = 64 * 2**20
    """What is kept of all responses in progress, so that another worker can go on with them; 0: none can."""
    header_timeout_seconds: float = 10.0
    """A request's head has this long to arrive."""
    client_timeout_seconds: float = 60.0
    """A client that neither sends the next part of its body, nor takes any of a response for so long is cut off."""
    silence_seconds: float = 5.0
    """A worker that is silent for this long in the middle of a request is probed."""
    upstream_timeout_seconds: float = 600.0
    """A worker that is silent for this long in the middle of a request is given up."""


def parse(argv: Sequence[str], environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a command line; exits with 2 and one clear line where it is wrong."""
    parser = command_line()
    args = parser.parse_args(argv)
    try:
        return Settings(
            workers=() if args.kubernetes else _workers(args.worker, environ.get("FASTCHAT_WORKERS", "")),
            aliases=dict(args.alias),
            namespace=_namespace(args, environ.get("POD_NAMESPACE")) if args.kubernetes else None,
            kubeconfig=environ.get("KUBECONFIG") or None,
            host=args.host,
            port=args.port,
            key_digests=_keys(args.api_key_file, environ.get("FASTCHAT_API_KEYS", "")),
            keys_dir=_folder(args.keys_dir),
            require_api_keys=args.require_api_keys,
            internal_token=_token(environ.get(INTERNAL_TOKEN_VARIABLE)),
            queue=QueueLimits(args.queue_max_requests, args.queue_timeout_seconds),
            max_body_bytes=args.max_body_bytes,
            grace_period_seconds=args.grace_period_seconds,
            poll_seconds=args.poll_seconds,
            access_log=args.access_log,
            load_balancing=args.load_balancing,
            open_metrics=args.open_metrics,
            page=args.page,
            allowed_hosts=() if "*" in args.allowed_hosts else tuple(args.allowed_hosts),
            allowed_origins=tuple(args.allowed_origins),
            allowed_methods=tuple(args.allowed_methods or Settings.allowed_methods),
            allowed_headers=tuple(args.allowed_headers or Settings.allowed_headers),
            allow_credentials=args.allow_credentials,
            max_concurrent_requests=args.max_concurrent_requests,
            max_connections=args.max_connections,
            max_buffered_bytes=args.max_buffered_bytes,
            max_resume_bytes=args.max_resume_bytes,
            header_timeout_seconds=args.header_timeout_seconds,
            client_timeout_seconds=args.client_timeout_seconds,
            upstream_timeout_seconds=args.upstream_timeout_seconds,
        )
    except ValueError as wrong:
        parser.error(str(wrong))


def command_line() -> argparse.ArgumentParser:
    """The parser of all options."""
    parser = argparse.ArgumentParser(
        prog="python -m fastchat_gateway",
        description="OpenAI-compatible gateway in front of model workers.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    add = parser.add_argument
    add("--worker", metavar="URL", action="append", default=[], help="a worker; also FASTCHAT_WORKERS=URL,…")
    add("--alias", metavar="ALIAS=NAME", type=_alias, action="append", default=[], help="a model's further name")
    add("--kubernetes", action="store_true", help="serve the ModelDeployments of a namespace, instead of --worker")
    add("--namespace", metavar="NAME", help="which; also POD_NAMESPACE, and in a pod its own")
    add("--host", default=Settings.host, help="address to listen on")
    add("--port", type=between(0, 65535), default=Settings.port, help="port to listen on; 0: any free one")
    add("--api-key-file", metavar="FILE", help="one API key a line; also FASTCHAT_API_KEYS=KEY,…")
    add("--keys-dir", metavar="FOLDER", help="a file for each API key, as `fastchat keys` writes them")
    add("--require-api-keys", action="store_true", help="serve nobody while there is no API key")
    add("--queue-max-requests", type=between(0), default=256, help="requests of a model that wait for a worker")
    add("--queue-timeout-seconds", type=_seconds, default=600.0, help="how long they wait")
    add("--max-body-bytes", type=between(1), default=Settings.max_body_bytes, help="largest request body")
    add("--grace-period-seconds", type=_seconds, default=Settings.grace_period_seconds, help="to finish after SIGTERM")
    add("--poll-seconds", type=_seconds, default=Settings.poll_seconds, help="how often each worker is looked at")
    add("--access-log", action=argparse.BooleanOptionalAction, default=True, help="one JSON line per request on stdout")
    add("--load-balancing", choices=get_args(LoadBalancing), default="LeastRequests", help="among --worker")
    add("--open-metrics", action="store_true", help=f"/metrics is for all, not only for {INTERNAL_TOKEN_VARIABLE}")
    add("--page", action=argparse.BooleanOptionalAction, default=True, help="a page to chat on at /")
    _add_list(parser, "hosts", _HOST, "localhost", "that requests may name; *, or none: any")
    _add_list(parser, "origins", _ORIGIN, "https://chat.example.com", "whose web pages may ask; *: all; none: no other")
    _add_list(parser, "methods", _NAME, "POST", "by which they may; *, or none: all there are")
    _add_list(parser, "headers", _NAME, "authorization", "that they may send; *, or none: all")
    add("--allow-credentials", action="store_true", help="they may send cookies")
    _add_limits(parser)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    """What clients may take together, and how long anything may."""
    add = parser.add_argument
    add("--max-concurrent-requests", type=between(1), default=Settings.max_concurrent_requests, help="then 503")
    add("--max-connections", type=between(1), help="of clients; then 503; default: by the limit of open files")
    add("--max-buffered-bytes", type=between(1), default=Settings.max_buffered_bytes, help="of all bodies; then 503")
    add("--max-resume-bytes", type=between(0), default=Settings.max_resume_bytes, help="to resume responses; 0: none")
    add("--header-timeout-seconds", type=_seconds, default=Settings.header_timeout_seconds, help="for a request's head")
    add(
        "--client-timeout-seconds",
        type=_seconds,
        default=Settings.client_timeout_seconds,
        help="for a client to send or take anything",
    )
    add(
        "--upstream-timeout-seconds",
        type=_seconds,
        default=Settings.upstream_timeout_seconds,
        help="for a worker to say anything",
    )


def _add_list(parser: argparse.ArgumentParser, of: str, form: re.Pattern[str], example: str, about: str) -> None:
    """`--allowed-…`, which may be given again, and takes several values with commas between."""
    what = of.removesuffix("s")

    def several(text: str) -> list[str]:
        values = [value.strip() for value in text.split(",")]
        for value in values:
            if value != "*" and not form.fullmatch(value):
                article = "an" if what[0] in "aeiou" else "a"
                raise argparse.ArgumentTypeError(f"not {article} {what}: {value!r}; it looks like {example}")
        return values

    add = parser.add_argument
    add(f"--allowed-{of}", metavar=f"{what.upper()},…", type=several, action="extend", default=[], help=about)


def _workers(arguments: Sequence[str], variable: str) -> tuple[str, ...]:
    urls = [*arguments, *filter(None, (url.strip() for url in variable.split(",")))]
    if not urls:
        raise ValueError("no worker: give --worker URL, set FASTCHAT_WORKERS, or give --kubernetes")
    return tuple(dict.fromkeys(_worker(url) for url in urls))


def _namespace(args: argparse.Namespace, variable: str | None) -> str:
    if args.worker or args.alias:
        raise ValueError("--worker and --alias are not for --kubernetes: ModelDeployments say what is served")
    namespace = args.namespace or variable or _own_namespace()
    if not namespace:
        raise ValueError("no namespace: give --namespace NAME or set POD_NAMESPACE")
    if not re.fullmatch("[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?", namespace):
        raise ValueError(f"not a namespace: {namespace!r}")
    return namespace


def _own_namespace() -> str:
    """Of the pod that this is in."""
    try:
        return _NAMESPACE_FILE.read_text().strip()
    except OSError:
        return ""


def _worker(url: str) -> str:
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError(f"not a worker's URL: {url!r}; it looks like http://127.0.0.1:8000")
    return f"{parts.scheme}://{parts.netloc}"


def _alias(text: str) -> tuple[str, str]:
    alias, _, name = text.partition("=")
    if not alias or not name or alias == name:
        raise argparse.ArgumentTypeError(f"not an alias: {text!r}; it looks like gpt-3.5-turbo=vicuna-7b-v1.5")
    return alias, name


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"not a number of seconds: {text!r}") from None
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"not a number of seconds above 0: {text!r}")
    return seconds


def _keys(file: str | None, variable: str) -> tuple[bytes, ...]:
    keys = variable.split(",")
    if file is not None:
        try:
            found = Path(file).read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"cannot read the API keys of {file!r}: {error}") from None
        if not any(map(str.strip, found)):
            raise ValueError(f"no API key in {file!r}: write one a line")
        keys = found + keys
    return tuple(dict.fromkeys(digest(key.strip().encode()) for key in keys if key.strip()))


def _folder(text: str | None) -> Path | None:
    if text is None:
        return None
    if not Path(text).is_dir():
        raise ValueError(f"no folder with API keys: {text!r}")
    return Path(text)


def _token(variable: str | None) -> bytes | None:
    if variable is not None and not re.fullmatch("[!-~]+", variable):
        raise ValueError(f"{INTERNAL_TOKEN_VARIABLE} must be printable ASCII without spaces, and not empty")
    return None if variable is None else variable.encode()
