"""What decides how much memory a model takes."""

from dataclasses import dataclass

ITEM_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2}


@dataclass(frozen=True)
class Model:
    """A decoder, in numbers."""

    architecture: str
    parameters: int
    """Numbers of its weights; what is tied counts once."""
    layers: int
    key_heads: int
    """Heads of keys and values in a layer."""
    key_size: int
    value_size: int
    """Numbers of a key and of a value."""
    context: int
    """Tokens that it was made for; 0: not told."""
    dtype: str
    """That its weights were saved in."""
    quantized_bytes: int | None = None
    """Of its weights where they stay quantised; an estimate."""
    latent_size: int | None = None
    """Numbers of a token and layer that its keys and values can be made from, where that is so (MLA)."""
    whole_share: float = 0
    """Of the weights, those of attention where each of several GPUs has all of them, and of the cache."""

    def weight_bytes(self, dtype: str) -> int:
        """On the device, with numbers of this type."""
        return self.quantized_bytes or self.parameters * ITEM_BYTES[dtype]

    def token_bytes(self, dtype: str) -> int:
        """Of the cache for one token of one sequence: keys and values of all layers."""
        return self.layers * self.key_heads * (self.key_size + self.value_size) * ITEM_BYTES[dtype]

    def vllm_token_bytes(self, dtype: str) -> int:
        """Of vLLM's cache for one token, on each GPU: it keeps what keys and values are made from where it can."""
        return self.layers * (self.latent_size or 0) * ITEM_BYTES[dtype] or self.token_bytes(dtype)

    def each_bytes(self, dtype: str, gpus: int) -> tuple[float, float]:
        """Of the weights, and of the cache for one token, on each of so many GPUs."""
        weights = self.weight_bytes(dtype) * (self.whole_share + (1 - self.whole_share) / gpus)
        return weights, self.token_bytes(dtype) / (1 if self.whole_share else gpus)
