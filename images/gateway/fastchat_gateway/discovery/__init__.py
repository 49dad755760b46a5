"""Where the catalog of workers comes from: a list of addresses, or the Kubernetes API."""
