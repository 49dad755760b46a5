"""`fastchat up`: ModelDeployments served on this machine, without Kubernetes."""
