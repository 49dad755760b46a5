"""The Kubernetes types, API group fastchat.io/v1alpha1: what users write, operator, gateway and worker read."""
