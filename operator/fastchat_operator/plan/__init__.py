"""What a ModelDeployment asks for, as objects of Kubernetes: values in, values out."""
