"""Small random models in sentence-transformers' layout, made here."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.models.encoders import save_bert

from fastchat_worker.encoders.cross_encoder import CrossEncoder
from fastchat_worker.encoders.sentence import SentenceEmbedder
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles


@pytest.fixture
def bert(tmp_path: Path) -> Callable[..., Any]:
    """Makes sentence-transformers' module over a small BERT."""
    from sentence_transformers.base.modules import Transformer

    def make(name: str = "bert", **options: Any) -> Any:
        return Transformer(str(save_bert(tmp_path / name, **options)))

    return make


Load = Callable[..., tuple[SentenceEmbedder, Any]]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Saves a model, and gives it as the worker has it and as sentence-transformers has it."""
    from sentence_transformers import SentenceTransformer

    def both(*modules: Any, option: str = "", **config: Any) -> tuple[SentenceEmbedder, Any]:
        folder = tmp_path / "saved"
        SentenceTransformer(modules=list(modules), device="cpu", **config).save(str(folder))
        yardstick = SentenceTransformer(str(folder), device="cpu", local_files_only=True)
        return SentenceEmbedder(ModelFiles(folder), _settings(option), print), yardstick

    return both


@pytest.fixture
def load_cross_encoder() -> Callable[[Path], tuple[CrossEncoder, Any]]:
    """The model of a folder as the worker has it and as sentence-transformers has it."""
    import sentence_transformers

    def both(folder: Path) -> tuple[CrossEncoder, Any]:
        yardstick = sentence_transformers.CrossEncoder(str(folder), device="cpu", local_files_only=True)
        return CrossEncoder(ModelFiles(folder), _settings(), print), yardstick

    return both


def _settings(option: str = "") -> Settings:
    return Settings(model_name="m", model_path="", device="cpu", matryoshka_dimensions=option)
