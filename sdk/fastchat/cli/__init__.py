"""The `fastchat` command, one file for each of its commands."""
