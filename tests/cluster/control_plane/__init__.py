"""An API server with its etcd: the keys, command lines and log that a cluster uses as well."""
