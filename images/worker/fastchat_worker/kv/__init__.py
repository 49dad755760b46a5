"""The keys and values of the sequences that run: where each one's stand, and the tensors that hold them."""
