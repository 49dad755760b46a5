"""The real Kubernetes that tests run against: fixtures `api_server` and `cluster`."""

pytest_plugins = ["cluster.fixtures"]
