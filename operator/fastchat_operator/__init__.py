"""The operator: ModelDeployment resources in, worker pods and a gateway per namespace out."""
