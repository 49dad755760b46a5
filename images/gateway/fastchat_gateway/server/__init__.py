"""Clients and their connections: HTTP/1.1 read, answered in turn, written."""
