"""Requests of other APIs as requests of chat: what chat can do, these can."""
