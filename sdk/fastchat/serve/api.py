"""`python3 -m fastchat.serve.api --host localhost --port 8000`: FastChat's API server, now our gateway."""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence

from fastchat.local.loopback import own_hosts
from fastchat.serve.parser import Parser, become

_DEFAULT_WORKER = "http://localhost:21002"
_NO_CONTROLLER = "there is no controller any more; name the workers with --worker or FASTCHAT_WORKERS"
_REFUSED = {"--ssl": "put a proxy that speaks TLS in front of the gateway"}
_CORS = ("--allowed-origins", "--allowed-methods", "--allowed-headers")


def translate(argv: Sequence[str], environ: Mapping[str, str]) -> tuple[list[str], dict[str, str]]:
    """Our gateway's arguments and environment for those of FastChat's; exits with 2 for what cannot be translated."""
    parser = Parser("fastchat.serve.api")
    parser.add_argument("--host", default="localhost", help="address to serve on (%(default)s)")
    parser.add_argument("--port", default="8000", help="port to serve on (%(default)s)")
    parser.add_argument(
        "--worker", metavar="URL", action="append", help=f"a worker; default: FASTCHAT_WORKERS or {_DEFAULT_WORKER}"
    )
    parser.add_argument("--alias", metavar="ALIAS=NAME", action="append", default=[], help="a model's further name")
    parser.add_argument("--api-keys", metavar="KEY,…", help="serve only who shows one of these keys")
    parser.add_argument("--allowed-hosts", metavar="HOST,…", help="further names of this host in requests; *: any")
    for flag in _CORS:
        parser.add_argument(
            flag, metavar="JSON", type=_texts, default=[], help='as in ["*"]: whose web pages may call it'
        )
    parser.add_argument("--allow-credentials", action="store_true", help="web pages may send cookies")
    parser.note({"--controller-address": _NO_CONTROLLER, "--controller": _NO_CONTROLLER})
    parser.refuse(_REFUSED)
    args = parser.parse_args(argv)
    arguments = ["--host", args.host, "--port", args.port]
    for worker in args.worker or ([] if environ.get("FASTCHAT_WORKERS") else [_DEFAULT_WORKER]):
        arguments += ["--worker", worker]
    for alias in args.alias:
        arguments += ["--alias", alias]
    for flag in _CORS:
        if values := getattr(args, flag[2:].replace("-", "_")):
            arguments += [flag, ",".join(values)]
    if args.allow_credentials:
        arguments.append("--allow-credentials")
    hosts = own_hosts(args.host)
    if hosts or args.allowed_hosts:
        arguments += ["--allowed-hosts", ",".join([*hosts, *filter(None, [args.allowed_hosts])])]
    env = {"FASTCHAT_API_KEYS": args.api_keys} if args.api_keys else {}
    if args.worker:
        env["FASTCHAT_WORKERS"] = ""
    return arguments, env


def _texts(text: str) -> list[str]:
    """FastChat's lists are JSON; without brackets, commas do."""
    try:
        values = json.loads(text) if text.lstrip().startswith("[") else text.split(",")
    except ValueError:
        values = None
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise argparse.ArgumentTypeError(
            f"""not a list of texts: {text!r}; it looks like '["http://localhost:3000"]'"""
        )
    return [value.rstrip("/") for value in values]


if __name__ == "__main__":
    become("fastchat_gateway", *translate(sys.argv[1:], os.environ))
