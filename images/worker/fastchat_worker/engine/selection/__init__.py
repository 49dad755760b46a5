"""Which executor runs a model."""
