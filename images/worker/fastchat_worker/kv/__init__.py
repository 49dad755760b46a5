"""The keys and values of the sequences that run."""
