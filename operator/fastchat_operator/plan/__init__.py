"""From a ModelDeployment and the settings to the objects of Kubernetes that it needs: pure functions."""
