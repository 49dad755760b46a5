"""API keys of a gateway: what is kept of them, and where."""
