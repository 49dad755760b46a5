"""`python -m fastchat_gateway --worker URL …`, in a cluster `python -m fastchat_gateway --kubernetes`"""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import gc
import logging
import sys

from fastchat._runtime import log
from fastchat._runtime.listen import ListenError, listen, url_of
from fastchat.api.common import build_types
from fastchat_gateway import descriptors, memory
from fastchat_gateway.app import build
from fastchat_gateway.proxy import attempts
from fastchat_gateway.settings import parse

logger = logging.getLogger(__name__)


def main() -> None:
    settings = parse(sys.argv[1:])
    log.configure()
    logging.getLogger("uvicorn").setLevel(logging.WARNING)
    try:
        listener = listen(settings.host, settings.port)
    except ListenError as error:
        sys.exit(str(error))
    code = "as source" if attempts.__file__.endswith(".py") else "compiled"
    logger.info("listening on %s (%s)", url_of(listener), code)
    descriptors.allow_most()
    memory.keep_freed()
    server = build(settings)
    build_types()
    # What is there by now stays; requests leave no cycles behind, so that looking for them can be rare.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    server.run(sockets=[listener])


if __name__ == "__main__":
    main()
