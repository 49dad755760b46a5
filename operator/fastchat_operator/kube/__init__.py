"""The API server: calls, kinds, labels, the watch, the Lease, Events, the namespaces' tokens."""
