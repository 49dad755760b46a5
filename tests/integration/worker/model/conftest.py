"""Models loaded in the test's own process, which takes a fraction of a worker's start."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fastchat_worker.errors import LoadError
from fastchat_worker.model import loader
from fastchat_worker.model.language_model import LanguageModel
from fastchat_worker.serving.service import Service
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import locate


def _settings(path: Path, **options: Any) -> Settings:
    return Settings(model_name="m", model_path=str(path), **options)


@pytest.fixture
def load() -> Callable[..., LanguageModel]:
    """A language model as the worker has it, without an engine."""

    def load(path: Path, **options: Any) -> LanguageModel:
        return loader.load(locate(str(path), Path("unused"), print), _settings(path, **options), print)

    return load


@pytest.fixture
def refusal() -> Callable[..., str]:
    """Why a worker does not load a model: the line that it ends with."""

    def refusal(path: Path, **options: Any) -> str:
        with pytest.raises(LoadError) as refused:
            Service(_settings(path, **options)).load()
        line = str(refused.value)
        assert "\n" not in line
        return line

    return refusal


@pytest.fixture
def edit_json() -> Callable[..., None]:
    """Changes members of a JSON file; None removes one."""

    def edit(path: Path, **members: Any) -> None:
        changed = json.loads(path.read_text()) | members
        path.write_text(json.dumps({key: value for key, value in changed.items() if value is not None}))

    return edit
