"""Clients and their connections: HTTP/1.1 requests read, responses written in the same order."""
