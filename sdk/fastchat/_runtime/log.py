"""How every part logs: to stderr, from INFO on, a line with time, level and logger."""

import logging


def configure() -> None:
    """Set up the root logger, unless it is set up."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
