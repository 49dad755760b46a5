"""The product in a cluster, as tests use it: installed by Helm, one namespace per test file, clients in pods."""
