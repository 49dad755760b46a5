"""What the tests need on this machine: tools built from Go modules, packages of Debian."""
