"""`python3 -m fastchat.serve.api --host localhost --port 8000`: FastChat's API server, now our gateway."""

from fastchat.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import os
import sys
from collections.abc import Mapping, Sequence

from fastchat.serve.parser import Parser, become

_DEFAULT_WORKER = "http://localhost:21002"
_NO_CONTROLLER = "there is no controller any more; name the workers with --worker or FASTCHAT_WORKERS"
_NO_CORS = "let a proxy in front of the gateway answer browsers of other origins"
_REFUSED = {
    **dict.fromkeys(("--allow-credentials", "--allowed-origins", "--allowed-methods", "--allowed-headers"), _NO_CORS),
    "--ssl": "put a proxy that speaks TLS in front of the gateway",
}


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
    parser.note({"--controller-address": _NO_CONTROLLER, "--controller": _NO_CONTROLLER})
    parser.refuse(_REFUSED)
    args = parser.parse_args(argv)
    arguments = ["--host", args.host, "--port", args.port]
    for worker in args.worker or ([] if environ.get("FASTCHAT_WORKERS") else [_DEFAULT_WORKER]):
        arguments += ["--worker", worker]
    for alias in args.alias:
        arguments += ["--alias", alias]
    env = {"FASTCHAT_API_KEYS": args.api_keys} if args.api_keys else {}
    if args.worker:
        env["FASTCHAT_WORKERS"] = ""
    return arguments, env


if __name__ == "__main__":
    become("fastchat_gateway", *translate(sys.argv[1:], os.environ))
