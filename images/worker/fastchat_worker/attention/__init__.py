"""Attention over rows of different sequences packed into one forward pass, as transformers calls it."""
