"""From a request to its response: what is served, and how it is generated, embedded and written."""
