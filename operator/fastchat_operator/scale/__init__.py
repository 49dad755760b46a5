"""How many workers a ModelDeployment has: from the gateways' demand to `spec.replicas`."""
