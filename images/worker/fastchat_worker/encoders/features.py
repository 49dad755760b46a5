"""Between texts and sentence-transformers' models: what its `preprocess` makes of a text, and batches of that."""

import threading
from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from fastchat_worker.encoders.text import Kind, Text, TextTask
from fastchat_worker.errors import LoadError

_TENSORS = frozenset({"input_ids", "attention_mask", "token_type_ids", "offsets", "special_tokens_mask"})
_TEXT_ONLY = ["text", "message"]


class Features:
    """Reads texts and puts them together as one of sentence-transformers' models wants them.

    Texts become tokens exactly as by the model's own `encode` or `predict`, which read them anew for each batch; here
    they are read once, bounded and counted before they wait.
    """

    def __init__(self, model: Any) -> None:
        self._model = model
        self._reading = threading.Lock()  # truncation is state of the tokenizer: another thread's text would be cut
        self._modules = {task: _first_module(model, task) for task in (None, "query", "document")}
        for module in filter(None, self._modules.values()):
            _keep_to_text(module)
        self._kinds: dict[TextTask | None, Kind] = {}
        self._tokenizers = {task: _tokenizer_of(module) for task, module in self._modules.items() if module}

    def module(self, task: TextTask | None) -> Any:
        """The one that reads texts of this task; None where the model has none for it."""
        return self._modules[task]

    def read(
        self, inputs: Sequence[str | tuple[str, str]], prompt: str | None, task: TextTask | None, **options: Any
    ) -> list[Text]:
        """Texts, or pairs of them; options are those of the tokenizer. Raises: what the tokenizer raises."""
        how = {"common": {"return_tensors": None}, "text": {"padding": False, **options}}
        with self._reading:
            found = self._model.preprocess(list(inputs), prompt=prompt, processing_kwargs=how, **_tasked(task))
        kind = Kind(task, tuple(sorted((name, value) for name, value in found.items() if name not in _TENSORS)))
        if "offsets" in found:
            return [Text(row, None, kind) for row in _rows(found["input_ids"], found["offsets"])]
        types = found.get("token_type_ids") or [None] * len(inputs)
        return [Text(row, types_of, kind) for row, types_of in zip(found["input_ids"], types, strict=True)]

    def kind(self, task: TextTask | None) -> Kind:
        """Of a text of this task that has no prompt, such as one that comes as tokens."""
        if task not in self._kinds:
            self._kinds[task] = self.read(["?"], None, task)[0].kind
        return self._kinds[task]

    def tokenizer(self, task: TextTask | None) -> Any:
        """transformers' one, by which texts of a task are read."""
        return self._tokenizers[task]

    def split(self, text: str, task: TextTask | None, *, special: bool) -> list[int]:
        """The tokens of a text, or of a part of one; special: with what the model wants before and after it."""
        with self._reading:
            tokens: list[int] = self._tokenizers[task](text, add_special_tokens=special)["input_ids"]
        return tokens

    def batch(self, texts: Sequence[Text], kind: Kind) -> dict[str, Any]:
        """Texts of one kind as the features of a forward pass, on the model's device."""
        tensors = _concatenated(texts) if _is_static(self._modules[kind.task]) else self._padded(texts, kind.task)
        return {name: tensor.to(self._model.device) for name, tensor in tensors.items()} | dict(kind.shared)

    def _padded(self, texts: Sequence[Text], task: TextTask | None) -> dict[str, torch.Tensor]:
        """[texts, longest] each."""
        columns = {"input_ids": [text.tokens for text in texts]}
        if any(text.types is not None for text in texts):
            columns["token_type_ids"] = [text.types or [0] * len(text.tokens) for text in texts]
        return dict(self._tokenizers[task].pad(columns, return_tensors="pt"))

    def forward(self, texts: Sequence[Text]) -> dict[str, Any]:
        """What the model computes of texts of one kind."""
        kind = texts[0].kind
        computed: dict[str, Any] = self._model(self.batch(texts, kind), **_tasked(kind.task))
        return computed


def vocabulary_of(module: Any) -> int:
    """Rows of the embedding of a module that reads texts."""
    if _is_static(module):
        return int(module.num_embeddings)
    return int(module.model.get_input_embeddings().weight.shape[0])


def max_len_of(module: Any, unlimited: int) -> int:
    """Tokens that a module takes; `unlimited` where nothing bounds them."""
    config = getattr(getattr(module, "model", None), "config", None)
    text_config = config.get_text_config() if config is not None else None
    limits = [getattr(module, "max_seq_length", None), getattr(text_config, "max_position_embeddings", None)]
    return min([int(limit) for limit in limits if limit and limit < 2**31], default=unlimited)


def _first_module(model: Any, task: TextTask | None) -> Any:
    """The module that reads texts of a task; None where a router has no route for it."""
    first = model[0]
    if not hasattr(first, "sub_modules"):
        return first
    try:
        return first.sub_modules[first._resolve_route(task=task, modality="text")][0]
    except ValueError:
        return None


def _keep_to_text(module: Any) -> None:
    """A text that is a URL or a path of an image stays a text: nothing is fetched or opened because of a request."""
    formatter = getattr(module, "input_formatter", None)
    if formatter is not None:
        formatter.supported_modalities = [kind for kind in formatter.supported_modalities if kind in _TEXT_ONLY]


def _tasked(task: TextTask | None) -> dict[str, Any]:
    return {} if task is None else {"task": task}


def _rows(tokens: torch.Tensor, offsets: torch.Tensor) -> list[list[int]]:
    """Texts that stand one after the other, each from its offset on."""
    return [row.tolist() for row in tokens.tensor_split(offsets[1:])]


def _is_static(module: Any) -> bool:
    """It has a vector for each token, and no model that reads them."""
    return hasattr(module, "num_embeddings")


def _tokenizer_of(module: Any) -> Any:
    """Raises: LoadError where a module has none, or one of its own kind."""
    tokenizer = getattr(module, "tokenizer", None)
    if _is_static(module):
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    if not isinstance(tokenizer, PreTrainedTokenizerBase):
        raise LoadError(f"the model begins with {type(module).__name__}, which has no tokenizer of transformers'")
    return tokenizer


def _concatenated(texts: Sequence[Text]) -> dict[str, torch.Tensor]:
    """All tokens in a row, and where each text begins."""
    lengths = torch.tensor([0, *(len(text.tokens) for text in texts[:-1])])
    tokens = torch.tensor([token for text in texts for token in text.tokens], dtype=torch.long)
    return {"input_ids": tokens, "offsets": lengths.cumsum(0)}
