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

    def weight_bytes(self, dtype: str) -> int:
        """On the device, with numbers of this type."""
        return self.quantized_bytes or self.parameters * ITEM_BYTES[dtype]

    def token_bytes(self, dtype: str) -> int:
        """Of the cache for one token of one sequence: keys and values of all layers."""
        return self.layers * self.key_heads * (self.key_size + self.value_size) * ITEM_BYTES[dtype]
