"""The requests: routes, what is around them, and the process that answers them."""
