"""What a worker reports of itself: metrics, traces, and that its loading has stalled."""
