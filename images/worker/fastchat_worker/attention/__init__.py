"""Attention over the cache, as transformers calls it."""
