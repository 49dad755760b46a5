"""Adapters (LoRA): what a folder in PEFT's layout adds to the linear layers of a base model."""
