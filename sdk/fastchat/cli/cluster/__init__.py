"""Commands about ModelDeployments in a cluster, one file for each."""
