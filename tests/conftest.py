"""The real Kubernetes that tests run against, fixtures `api_server` and `cluster`, and what a run may leave out."""

pytest_plugins = ["cluster.skips", "cluster.fixtures"]
