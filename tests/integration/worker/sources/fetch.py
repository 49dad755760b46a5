"""Fetches a model as a worker does and uses its files until it is killed: fetch.py SOURCE"""

import logging
import signal
import sys
from pathlib import Path

from fastchat_worker.errors import LoadError
from fastchat_worker.settings import parse
from fastchat_worker.sources.files import locate

logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
settings = parse(["--model-name", "m", "--model-path", sys.argv[1]])
try:
    locate(settings.model_path, Path(settings.cache_dir), lambda text, *_: logging.info("report: %s", text))
except LoadError as error:
    sys.exit(f"refused: {error}")
logging.info("here")
signal.pause()
