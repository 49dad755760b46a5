"""One model over several GPUs: a process for each, called rank, holds a share of every layer; rank 0 is the worker."""
