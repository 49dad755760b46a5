"""The connections to workers, and how their state is found out: alive, silent, stopping."""
