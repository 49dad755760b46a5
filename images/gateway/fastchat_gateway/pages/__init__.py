"""What a gateway serves itself, off the hot path."""
