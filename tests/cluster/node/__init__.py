"""A machine of its own for one cluster, and the programs that run on it."""
