"""What a gateway tells of itself: metrics, traces, its access log, the demand for its models."""
