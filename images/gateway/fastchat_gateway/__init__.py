"""The gateway: finds workers, routes to them, protects them, measures."""
