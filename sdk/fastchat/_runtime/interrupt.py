"""Ctrl-C while there is nothing to stop yet: the process ends at once and says nothing.

Every command imports this first and calls it, for what it imports then may take seconds. Before that only the
interpreter's own start is interrupted with a traceback, some milliseconds that no program can have.
"""

import sys


def end_quietly() -> None:
    """From here on Ctrl-C ends the process as it does a program in C (130 to a shell), until it is handled otherwise.

    A process that was started with Ctrl-C ignored, as `nohup` and `&` may do, goes on ignoring it.
    """
    say = sys.excepthook  # quiet until the next lines have taken effect, and where asyncio has undone what they do
    sys.excepthook = lambda kind, *rest: None if issubclass(kind, KeyboardInterrupt) else say(kind, *rest)
    import signal

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
