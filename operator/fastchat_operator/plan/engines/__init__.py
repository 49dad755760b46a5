"""The servers that run a model, one file each, by the name that `spec.engine.type` has for them."""

from collections.abc import Mapping

from fastchat_operator.plan.engines import custom, transformers, vllm
from fastchat_operator.plan.engines.launch import Engine

ENGINES: Mapping[str, Engine] = {
    "Transformers": transformers.launch,
    "VLLM": vllm.launch,
    "Custom": custom.launch,
}
