"""A language model in memory: weights, tokenizer and limits."""
