"""How the families of models are talked to whose published tokenizers say nothing of it: facts, as data."""
