"""`fastchat plan`: the memory that a model takes, from its config.json (or a GGUF file's head) alone.

`model` holds what decides it, `architectures` reads that from a configuration, `sources` and `gguf` find one, `gpus`
knows what GPUs have, `command` tells what fits.
"""
