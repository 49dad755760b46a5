"""Small models, made where they are needed."""
