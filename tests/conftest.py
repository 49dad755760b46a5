"""What all tests have: a real Kubernetes, a rule of what may be skipped, and word of where the minutes went."""

pytest_plugins = ["cluster.skips", "cluster.fixtures", "support.durations"]
