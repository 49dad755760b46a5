"""From a ModelDeployment to what is in the cluster: what is written, when, and what is said of it."""
