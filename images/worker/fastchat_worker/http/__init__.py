"""HTTP: the process and its server, routes, middleware, bodies and streams."""
