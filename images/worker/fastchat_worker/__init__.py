"""The worker: loads one model, batches, generates, embeds."""
