import io

from fastchat.local.progress import Terminal, View, changes, progress_line, table

LOADING = View("smollm2", "loading", "reading weights")
READY = View("smollm2", "ready")
OTHER = View("minilm", "loading")


class Tty(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_one_line_shows_every_process() -> None:
    line = progress_line([LOADING, View("minilm", "ready")], 12.3, width=80)
    assert line == " 12 s  smollm2 loading (reading weights) · minilm ready"


def test_the_line_never_wraps() -> None:
    for width in (20, 40):
        line = progress_line([LOADING, OTHER], 12.3, width)
        assert len(line) < width
        assert line.endswith("…")


def test_a_change_is_told_once() -> None:
    assert changes([], [LOADING], 0) == ["smollm2 is loading"]
    assert changes([LOADING], [LOADING], 1) == []
    assert changes([LOADING], [View("smollm2", "loading", "warming up")], 2) == []
    assert changes([LOADING, OTHER], [READY, OTHER], 3.04) == ["smollm2 is ready after 3.0 s"]


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table(("A", "LONG HEAD"), [("longer cell", "x"), ("y", "z")]).splitlines() == [
        "A            LONG HEAD",
        "longer cell  x",
        "y            z",
    ]


def test_in_a_file_progress_is_a_line_per_change() -> None:
    stream = io.StringIO()
    terminal = Terminal(stream, 80)
    for view in (LOADING, LOADING, READY):
        terminal.progress([view])
    terminal.end_progress()
    assert stream.getvalue() == "smollm2 is loading\nsmollm2 is ready after 0.0 s\n"


def test_in_a_terminal_a_line_appears_above_the_progress() -> None:
    stream = Tty()
    terminal = Terminal(stream, 80)
    terminal.progress([LOADING])
    terminal.line("gateway is ready again")
    _, _, shown = stream.getvalue().partition("\r\x1b[K")
    below = "  0 s  smollm2 loading (reading weights)"
    assert shown == f"{below}\r\x1b[Kgateway is ready again\n{below}"


def test_in_a_terminal_the_progress_goes_when_it_is_over() -> None:
    stream = Tty()
    terminal = Terminal(stream, 80)
    terminal.progress([LOADING])
    terminal.end_progress()
    assert stream.getvalue().endswith("\r\x1b[K")
    terminal.line("done")
    assert stream.getvalue().endswith("\r\x1b[Kdone\n")
