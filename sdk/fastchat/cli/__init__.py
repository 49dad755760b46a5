"""The `fastchat` command: a file, or a folder, for each of its commands.

Each imports at its top no more than typer; what it needs to do its work is imported when it does it, so that
`fastchat --help` and shell completion need not wait for it.
"""
