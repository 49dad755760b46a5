"""What is told of a worker: metrics, traces, and that it stands still."""
