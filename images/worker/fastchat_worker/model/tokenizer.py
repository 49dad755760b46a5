"""Loads a tokenizer, and refuses one that is not the model's."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from sentencepiece import SentencePieceProcessor
from sentencepiece import sentencepiece_model_pb2 as protobuf
from tokenizers import Regex, normalizers, pre_tokenizers
from transformers import AutoTokenizer, LlamaTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fastchat_worker.errors import LoadError
from fastchat_worker.model.architecture import untrusted
from fastchat_worker.model.checkpoint import read_json
from fastchat_worker.sources.files import ModelFiles

_OTHER_NAMES = ("tekken.json", "tokenizer.model", "tiktoken.model")
"""Transformers looks for these too, whatever a tokenizer's class asks for."""
_PROBE = "Hello, wörld! It's 1234 here.\nДа, 你好 🦙 (a + b) = c"


def load_tokenizer(files: ModelFiles, name: str, *, trust_remote_code: bool) -> PreTrainedTokenizerBase:
    """The tokenizer of a model's files.

    Raises: LoadError where they have none, or one that makes other tokens than the model was trained on.
    """
    try:
        tokenizer = AutoTokenizer.from_pretrained(files.folder, trust_remote_code=trust_remote_code, **files.kwargs)
    except ValueError as error:
        if "trust_remote_code" in str(error):
            raise untrusted(name, "its tokenizer") from None
        if "instantiate the backend tokenizer" in str(error):
            raise _none(name, ["tokenizer.json"]) from None
        if (files.folder / "vocab.json").exists() and not (files.folder / "merges.txt").exists():
            raise _none(name, ["tokenizer.json", "vocab.json with merges.txt"]) from None
        raise
    return tokenizer if files.gguf else as_published(files.folder, name, tokenizer)


def as_published(folder: Path, name: str, tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerBase:
    """The tokenizer that a folder's files describe, which need not be the one that transformers has made of them.

    Raises: LoadError where the files are not there, or none that transformers can make is theirs.
    """
    if not tokenizer.is_fast:  # Python code of its own
        return tokenizer
    _check_files(folder, name, tokenizer)
    path = _sentencepiece_file(folder, tokenizer)
    trained = _open(path) if path else None
    if path is None or trained is None:
        return tokenizer
    tokenizer = _like_sentencepiece(folder, name, tokenizer, path, trained)
    if isinstance(tokenizer, LlamaTokenizer) and "add_bos_token" not in read_json(folder / "tokenizer_config.json"):
        tokenizer.add_bos_token = True  # what transformers 4 did where a configuration does not say, as it documents
    return tokenizer


def _check_files(folder: Path, name: str, tokenizer: PreTrainedTokenizerBase) -> None:
    """Raises: LoadError where the tokenizer was made of nothing: transformers makes an empty one without its files."""
    names = tokenizer.vocab_files_names
    whole = names.get("tokenizer_file", "tokenizer.json")
    parts = [name for key, name in names.items() if key != "tokenizer_file"]
    if (folder / whole).exists() or any((folder / other).exists() for other in _OTHER_NAMES):
        return
    missing = [part for part in parts if not (folder / part).exists()]
    if missing or not parts:
        raise _none(name, [whole, " with ".join(parts)])


def _none(name: str, wanted: Sequence[str]) -> LoadError:
    names = dict.fromkeys(filter(None, [*wanted, *_OTHER_NAMES]))
    return LoadError(
        f"{name} has no tokenizer: none of {', '.join(names)} is there; copy the tokenizer's files beside the weights"
    )


def _like_sentencepiece(
    folder: Path, name: str, tokenizer: PreTrainedTokenizerBase, path: Path, trained: SentencePieceProcessor
) -> PreTrainedTokenizerBase:
    """A tokenizer that splits a text as sentencepiece does with the file of this path.

    Transformers converts such a file by the class that a model's architecture or configuration names: a Mistral's loses
    the space before the first word, and what sentencepiece does before it splits is lost by all of Llama's.
    Raises: LoadError where no conversion suits the file.
    """
    wanted = _merged([None if trained.is_unknown(id_) else trained.id_to_piece(id_) for id_ in trained.encode(_PROBE)])
    for candidate in _conversions(folder, path, tokenizer):
        if _pieces(candidate) == wanted:
            return candidate
    raise LoadError(
        f"{name}: {path.name} cannot be converted: transformers splits a text into other tokens by it than "
        "sentencepiece does; put the tokenizer.json beside it that belongs to the model"
    )


def _conversions(folder: Path, path: Path, tokenizer: PreTrainedTokenizerBase) -> Iterator[PreTrainedTokenizerBase]:
    yield tokenizer
    if path.name == "tokenizer.model":
        yield LlamaTokenizer.from_pretrained(folder)
        yield _normalizing(LlamaTokenizer.from_pretrained(folder), path)
        yield PreTrainedTokenizerFast.from_pretrained(folder)


def _normalizing(tokenizer: PreTrainedTokenizerBase, path: Path) -> PreTrainedTokenizerBase:
    """With what the file says of how a text is changed before it is split."""
    proto: Any = protobuf.ModelProto()  # type: ignore[attr-defined]  # made when it is imported
    proto.ParseFromString(path.read_bytes())
    rules = proto.normalizer_spec
    steps: list[Any] = []
    if rules.precompiled_charsmap:
        steps.append(normalizers.Precompiled(rules.precompiled_charsmap))
    if rules.remove_extra_whitespaces:
        steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    prepend = "first" if rules.add_dummy_prefix else "never"
    tokenizer.backend_tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=prepend, split=False)
    return tokenizer


def _sentencepiece_file(folder: Path, tokenizer: PreTrainedTokenizerBase) -> Path | None:
    """The file that the tokenizer was made of, if it may be sentencepiece's."""
    names = tokenizer.vocab_files_names
    if (folder / names.get("tokenizer_file", "tokenizer.json")).exists():
        return None
    paths = [folder / name for name in (names.get("vocab_file"), "tokenizer.model") if name and name.endswith(".model")]
    return next((path for path in paths if path.exists()), None)


def _open(path: Path) -> SentencePieceProcessor | None:
    """None for a file in another format, such as tiktoken's under the same name."""
    try:
        return SentencePieceProcessor(model_file=str(path))
    except RuntimeError:
        return None


def _pieces(tokenizer: PreTrainedTokenizerBase) -> list[str | None]:
    ids = tokenizer(_PROBE, add_special_tokens=False)["input_ids"]
    return _merged([None if id_ == tokenizer.unk_token_id else tokenizer.convert_ids_to_tokens(id_) for id_ in ids])


def _merged(pieces: Sequence[str | None]) -> list[str | None]:
    """One None for several in a row: what is not in the vocabulary may be one token or several."""
    return [piece for before, piece in pairwise(["", *pieces]) if piece is not None or before is not None]
