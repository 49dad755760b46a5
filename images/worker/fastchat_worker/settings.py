"""What can be set, on the command line: one field, one option."""

import argparse
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from fastchat._runtime.options import between
from fastchat.v1alpha1.names import INTERNAL_TOKEN_VARIABLE


def _option(default: Any, text: str, *, parse: Callable[[str], Any] = str, choices: Sequence[str] | None = None) -> Any:
    return field(default=default, metadata={"help": text, "type": parse, "choices": choices})


def _flag(text: str) -> Any:
    return field(default=False, metadata={"help": text, "action": "store_true"})


_count = between(1, 2**31)


def _dimensions(text: str) -> str:
    """`any`, or numbers with commas. Raises: ArgumentTypeError for anything else."""
    if text and text != "any":
        for number in text.split(","):
            _count(number)
    return text


class Adapter(NamedTuple):
    """An adapter as `--adapter` names it."""

    name: str
    source: str


def _adapter(text: str) -> Adapter:
    """Raises: ArgumentTypeError where it is no NAME=SOURCE."""
    name, _, source = text.partition("=")
    if not name.strip() or not source.strip():
        raise argparse.ArgumentTypeError(f"not an adapter: {text!r}; it looks like sql=hf://team/sql-lora")
    return Adapter(name, source)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What a worker serves and how; `--help` says what each field means."""

    model_name: str = field(metadata={"help": "name of the model in requests"})
    model_path: str = field(
        metadata={
            "help": "folder, GGUF file, package://…, file://…, s3://bucket/prefix, hf://org/name[@revision][:Q4_K_M] "
            "or org/name on the hub"
        }
    )
    adapter: Sequence[Adapter] | None = field(
        default=None,
        metadata={
            "help": "an adapter (LoRA in PEFT's layout), served under a name of its own beside the model, from a "
            "source like the model's; may be given several times",
            "metavar": "NAME=SOURCE",
            "action": "append",
            "type": _adapter,
        },
    )
    adapters_file: str | None = _option(
        None,
        'JSON file with further adapters, [{"name": …, "source": …}, …], which is looked at while the worker runs: '
        "what it says then is loaded and dropped",
    )
    task: str = _option(
        "generate",
        "generate: chat, completions and embeddings by a language model; embed: a sentence-transformers model; "
        "rerank: a cross-encoder",
        parse=str.lower,
        choices=("generate", "embed", "rerank"),
    )
    host: str = _option("127.0.0.1", "address to listen on")
    port: int = _option(8000, "port to listen on; 0: any free one", parse=between(0, 65535))
    device: str = _option("auto", "auto: a GPU where there is one, else the CPU; or torch's name of it, such as cuda:1")
    dtype: str = _option(
        "auto",
        "type of the weights; auto: the model's own on a GPU, float32 on the CPU",
        choices=("auto", "float32", "bfloat16", "float16"),
    )
    executor: str = _option(
        "auto",
        "what computes a step; native: code of our own for decoders like Llama on the CPU; torch: transformers' model; "
        "auto: native where it can run the model and its logits are torch's",
        choices=("auto", "native", "torch"),
    )
    quantization: str = _option(
        "none",
        "for the native executor: int8, int4: what the weights are made while they are loaded, in groups of 32; gguf: "
        "they stay as a GGUF file has them, where it is in Q8_0, Q4_0, Q4_1 or Q4_K, and become int8 elsewhere",
        choices=("none", "int8", "int4", "gguf"),
    )
    cuda_graphs: str = _option(
        "off",
        "on: steps in which all sequences decode are recorded once for each shape and replayed, on one GPU",
        choices=("on", "off"),
    )
    tensor_parallel_size: int = _option(
        0,
        "GPUs that share the model, a part of every layer each; 0: all that the worker sees, where the model can be "
        "shared out so. It needs the model's safetensors",
        parse=between(0, 64),
    )
    cache_dir: str = _option(
        os.environ.get("FASTCHAT_CACHE_DIR") or "~/.cache/fastchat/models",
        "where models of s3:// are kept, $FASTCHAT_CACHE_DIR where that is set; those of the hub are in $HF_HOME",
    )
    load_timeout_seconds: int = _option(
        1800,
        "while the model is fetched and loaded: how long nothing may move before the worker gives up",
        parse=between(1, 86_400),
    )
    trust_remote_code: bool = field(
        default=False,
        metadata={
            "help": "run the Python code that a model brings along, for models that need it; it can do whatever this "
            "process can: read its secrets, its files and its network. Only for code that you have read",
            "action": "store_true",
        },
    )
    chat_template: str | None = _option(
        None,
        "file with a Jinja chat template, or name of one that ships, such as vicuna_v1.1; default: the model's own, "
        "else one that ships for its name",
    )
    tool_call_parser: str | None = _option(
        None,
        "form in which the model writes calls of tools, such as hermes (docs/models.md lists them); default: the one "
        "that its chat template tells",
    )
    control_text: str = _option(
        "text",
        "what control text in messages, such as <|im_end|>, is read as; tokens: as if the template had written it",
        choices=("text", "tokens"),
    )
    max_model_len: int | None = _option(
        None,
        "longest prompt and completion together, in tokens; default: the model's limit or what memory allows",
        parse=_count,
    )
    max_batch_size: int = _option(
        16, "sequences generated at once; fewer where memory does not allow so many", parse=between(1, 1024)
    )
    max_batched_tokens: int = _option(
        512, "tokens of one step; a longer prompt is read in several, so that others go on meanwhile", parse=_count
    )
    prefix_caching: str = _option(
        "per-key",
        "what a prompt begins with is not read again while the cache has it; per-key: from requests of the same API "
        "key; shared: from all, so that a key can tell by the time to its first token what others asked; off: never",
        choices=("per-key", "shared", "off"),
    )
    speculative_ngram: int = _option(
        0,
        "where at most two sequences run: what followed their last so many tokens before is guessed to follow now, and "
        "checked in one step; no text changes. For texts that repeat their prompts, by the native executor; 0: off",
        parse=between(0, 16),
    )
    max_queue: int = _option(256, "sequences that may wait; with more a request is refused with 429", parse=_count)
    max_sequences_per_request: int | None = _option(
        None, "choices that one request may have, n for each prompt; default: as many as run at once", parse=_count
    )
    matryoshka_dimensions: str = _option(
        "",
        "to how many dimensions embeddings may be cut, for a model that was trained for it: numbers with commas, or "
        "any; default: what the model's configuration says",
        parse=_dimensions,
    )
    # A gateway takes 8 MiB, and puts the model's own name and what it wants to know itself into what it passes on.
    max_body_bytes: int = _option(8 * 2**20 + 2**14, "largest request body", parse=_count)
    strict_fields: bool = _flag("refuse a request that has a field which nobody knows, instead of ignoring the field")
    grace_period_seconds: int = _option(
        30, "after SIGTERM, how long what is in flight may take", parse=between(0, 86_400)
    )
    step_timeout_seconds: int = _option(
        300,
        "how long a step may take before /health says that the worker is stuck, for Kubernetes to start it again",
        parse=between(1, 86_400),
    )
    handover: str = _option(
        "asked",
        "after SIGTERM, when responses end here that a gateway can have continued elsewhere; asked: when it says that "
        "another worker is there, or the grace period ends; at-once: at once, for a worker that is replaced in place",
        choices=("asked", "at-once"),
    )
    internal_token: str = field(default="", repr=False)
    """What callers must know, if it is set. It comes from the environment, because anybody can read a command line."""


def parse(argv: Sequence[str] | None = None, environ: Mapping[str, str] = os.environ) -> Settings:
    """Settings of a command line and the environment; exits with 2 and one clear line where it is wrong."""
    parser = command_line()
    args = parser.parse_args(argv)
    _check_adapters(parser, args)
    return Settings(**vars(args), internal_token=environ.get(INTERNAL_TOKEN_VARIABLE, ""))


def command_line() -> argparse.ArgumentParser:
    """The parser of all options."""
    parser = argparse.ArgumentParser(
        prog="python -m fastchat_worker",
        description="Serves one model by OpenAI's API.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        allow_abbrev=False,  # a policy of the cluster looks for the name of an option as it is
    )
    for option in filter(lambda option: option.metadata, fields(Settings)):
        default = {"required": True} if option.name in ("model_name", "model_path") else {"default": option.default}
        parser.add_argument("--" + option.name.replace("_", "-"), **option.metadata, **default)
    return parser


def _check_adapters(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Exits with 2 where two things that are served have one name, or where adapters have no place."""
    names = [args.model_name, *(adapter.name for adapter in args.adapter or ())]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        parser.error(f"argument --adapter: {twice} is the name of two: each adapter has a name of its own")
    if (args.adapter or args.adapters_file) and args.task != "generate":
        parser.error(f"argument --adapter: adapters are for --task generate, not {args.task}")
