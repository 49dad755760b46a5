"""Loads models in sentence-transformers' layout."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from fastchat_worker.errors import LoadError
from fastchat_worker.model.architecture import missing_package, untrusted
from fastchat_worker.model.checkpoint import check_weights, read_modules
from fastchat_worker.model.loader import pick_device, pick_dtype, quiet
from fastchat_worker.model.tokenizer import as_published
from fastchat_worker.model.weights import exact_weights
from fastchat_worker.settings import Settings
from fastchat_worker.sources.files import ModelFiles


def load_sentence_model(files: ModelFiles, settings: Settings) -> Any:
    """sentence-transformers' SentenceTransformer on its device. Raises: LoadError, which names what to change."""
    return _load(files, settings, "SentenceTransformer", heads=True)


def load_cross_encoder(files: ModelFiles, settings: Settings) -> Any:
    """sentence-transformers' CrossEncoder on its device. Raises: LoadError, which names what to change."""
    return _load(files, settings, "CrossEncoder", heads=False)


def _load(files: ModelFiles, settings: Settings, kind: str, *, heads: bool) -> Any:
    """kind: the class of sentence-transformers; heads: as `exact_weights` has it."""
    import sentence_transformers  # takes seconds; only encoders need it

    quiet()
    name, folder = settings.model_path, _transformer_folder(files, settings.model_path)
    if folder:
        check_weights(folder, name)
    device = pick_device(settings.device)
    try:
        with exact_weights(name, heads=heads):
            model = getattr(sentence_transformers, kind)(
                str(files.folder),
                device=str(device),
                local_files_only=True,
                trust_remote_code=settings.trust_remote_code,
                model_kwargs={"dtype": pick_dtype(settings.dtype, device)},
            )
    except ImportError as error:
        raise missing_package(folder or files.folder, name, error) from error
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise untrusted(name, "its layers") from None
        raise
    if folder and isinstance(model[0].processor, PreTrainedTokenizerBase):
        model[0].processor = as_published(folder, name, model[0].processor)
    return model


def _transformer_folder(files: ModelFiles, name: str) -> Path | None:
    """Where the files of the encoder are; None where a model has none, as those of static vectors."""
    if files.gguf:
        raise LoadError(
            f"{name}: a GGUF file is for task Generate; for task Embed or Rerank take the sentence-transformers folder"
        )
    modules = read_modules(files.folder)
    if modules is None:
        return files.folder
    return next((files.folder / each["path"] for each in modules if each["type"].endswith(".Transformer")), None)
