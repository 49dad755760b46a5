"""The Kubernetes API: where it is, requests to it and what comes back of them, by asyncio or without.

`request` and `response` are pure, `aio` and `sync` carry them; `reflector` lists and watches.
"""
