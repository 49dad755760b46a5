"""Responses in the shape of each API: deltas → one document, or the events of a stream."""
