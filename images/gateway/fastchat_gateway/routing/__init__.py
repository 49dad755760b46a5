"""Which workers there are, and which one a request goes to."""
