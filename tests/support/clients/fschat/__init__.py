"""FastChat 0.2.36 and the `openai` of its days, from PyPI: a package of our name, which cannot live beside it."""

from pathlib import Path

LOCK = Path(__file__).with_name("requirements.lock")
