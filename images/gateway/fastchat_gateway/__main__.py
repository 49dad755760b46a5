"""`python -m fastchat_gateway --worker URL …`, in a cluster `python -m fastchat_gateway --kubernetes`"""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import gc
import logging
import os
import socket
import sys

from fastchat_gateway import descriptors
from fastchat_gateway.app import build
from fastchat_gateway.proxy import attempts
from fastchat_gateway.settings import Settings, parse

logger = logging.getLogger(__name__)


def main() -> None:
    settings = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        listener = _listen(settings)
    except OSError as error:
        reason = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        sys.exit(f"cannot listen on {settings.host}:{settings.port}: {reason}")
    host, port = listener.getsockname()[:2]
    where = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    code = "as source" if attempts.__file__.endswith(".py") else "compiled"
    logger.info("listening on %s (%s)", where, code)
    descriptors.allow_most()
    server = build(settings)
    # What is there by now stays; requests leave no cycles behind, so that looking for them can be rare.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    server.run(sockets=[listener])


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=2048)


if __name__ == "__main__":
    main()
