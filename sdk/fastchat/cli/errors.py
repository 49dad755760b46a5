"""How a command says that it cannot do what it was asked."""


class CommandError(Exception):
    """The text is one line for the user: what is wrong, and what to do about it. The exit code is 1."""
