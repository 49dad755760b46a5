"""FastChat on Kubernetes: the client for users and the types that its parts share."""

from importlib.metadata import version

__version__ = version("fastchat-k8s")
