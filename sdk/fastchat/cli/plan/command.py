"""The command line of `fastchat plan`, and the table of what fits."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from fastchat.cli import options
from fastchat.cli.console import complain, show, show_json, show_table

if TYPE_CHECKING:
    from fastchat.cli.plan.gpus import Fit
    from fastchat.cli.plan.model import Model

_DTYPES = ("float32", "float16", "bfloat16")


def _dtype(text: str) -> str:
    if text not in _DTYPES:
        raise typer.BadParameter(f"{text!r} is none of {', '.join(_DTYPES)}")
    return text


Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE", help="hf://org/name, package://…, file:///…, or the path of a folder or GGUF file"
    ),
]
Length = Annotated[
    int | None,
    typer.Option(
        "--length",
        metavar="TOKENS",
        parser=options.whole_number(1),
        help="of a sequence, prompt and answer  [default: 4096, or the model's context if that is less]",
    ),
]
Dtype = Annotated[
    str | None,
    typer.Option("--dtype", metavar="TYPE", parser=_dtype, help="default: that which the weights were saved in"),
]
Gpu = Annotated[
    str | None, typer.Option("--gpu", metavar="NAME", help="this kind alone; ends with 1 where the model does not fit")
]


def plan(
    source: Source, length: Length = None, dtype: Dtype = None, gpu: Gpu = None, as_json: options.AsJson = False
) -> int:
    """Tell the memory that a model takes, and which GPUs have it.

    From config.json (or a GGUF file's head) alone: no weights are downloaded. The figures are the worker's own, with
    dense slots; whoever serves with several GPUs shares the model out among them.
    """
    from fastchat.cli.plan.gpus import GPUS, fits
    from fastchat.cli.plan.sources import describe

    kinds = GPUS if gpu is None else _kinds(gpu, GPUS)
    model = describe(source)
    model = replace(model, dtype=dtype or model.dtype)
    tokens = length or min(4096, model.context or 4096)
    found = fits(model, model.dtype, tokens, kinds)
    if as_json:
        show_json(_document(model, tokens, found))
    else:
        _tell(model, tokens, found)
    if gpu is not None and not any(each.count for each in found):
        complain(
            f"a sequence of {tokens} tokens does not fit on eight of {gpu}: take a shorter --length, or a larger GPU"
        )
        return 1
    return 0


def _kinds(wanted: str, gpus: dict[str, int]) -> dict[str, int]:
    found = {name: memory for name, memory in gpus.items() if wanted.lower() in name.lower()}
    if not found:
        raise typer.BadParameter(f"{wanted!r} is none of {', '.join(gpus)}", param_hint="--gpu")
    return found


def _tell(model: "Model", length: int, found: "list[Fit]") -> None:
    weights, token = model.weight_bytes(model.dtype), model.token_bytes(model.dtype)
    context = f", context {model.context} tokens" if model.context else ""
    show(f"{model.architecture}, {model.parameters:,} parameters{context}, {model.dtype}")
    if model.quantized_bytes:
        show("quantised: the size of its weights is an estimate")
    show(f"weights  {weights / 2**30:.2f} GiB")
    show(f"cache    {token / 2**10:.1f} KiB a token, {token * length / 2**30:.2f} GiB for {length} tokens")
    if model.latent_size:
        latent = model.vllm_token_bytes(model.dtype)
        show(
            f"         with engine VLLM {latent / 2**10:.1f} KiB a token, {latent * length / 2**30:.2f} GiB on each GPU"
        )
    show("")
    head = ("GPU", "MEMORY", "GPUS", f"SEQUENCES OF {length} TOKENS")
    rows = [(each.gpu, f"{each.memory / 2**30:.0f} GiB", *_counts(each)) for each in found]
    show_table(head, rows, {"too": "red"})


def _counts(fit: "Fit") -> tuple[str, str]:
    return (str(fit.count), str(fit.sequences)) if fit.count else ("-", "too small")


def _document(model: "Model", length: int, found: "list[Fit]") -> dict[str, object]:
    return {
        "architecture": model.architecture,
        "parameters": model.parameters,
        "context": model.context,
        "dtype": model.dtype,
        "weightBytes": model.weight_bytes(model.dtype),
        "tokenBytes": model.token_bytes(model.dtype),
        "vllmTokenBytes": model.vllm_token_bytes(model.dtype),
        "length": length,
        "gpus": [
            {"name": fit.gpu, "memoryBytes": fit.memory, "count": fit.count or None, "sequences": fit.sequences}
            for fit in found
        ],
    }
