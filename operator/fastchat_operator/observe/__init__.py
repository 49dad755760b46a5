"""What the cluster says of a ModelDeployment: its status, a root cause, what was changed by others."""
