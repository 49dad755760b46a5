"""Models that make numbers of texts: embedding models and cross-encoders, and the batches of their texts."""
