"""A model's files: where they come from and how they are kept."""
