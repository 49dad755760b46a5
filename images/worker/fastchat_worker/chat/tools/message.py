"""The message of one choice while it is read: content, reasoning and calls as deltas."""

from collections.abc import Mapping

from fastchat.api.tools import Function
from fastchat_worker.output.parser import CallDelta, Delta


class Message:
    """Collects what readers find.

    functions: those that may be called, by name. most: calls that are kept; further ones are left out. reasons: the
    reasoning is kept. Blanks at the end of content wait: before a call, or after nothing but reasoning, they are no
    content.
    """

    def __init__(
        self, functions: Mapping[str, Function] | None = None, most: int | None = None, *, reasons: bool = True
    ) -> None:
        self.functions = functions or {}
        self._most = most
        self._reasons = reasons
        self._calls = 0
        self._new: list[Delta] = []
        self._blanks: list[str] = []
        self._reasoning_blanks: list[str] = []
        self._began = False  # content that is not blank is there
        self._trims = False  # blanks that come next are no content
        self._reasoned = False

    @property
    def called(self) -> bool:
        """A call was made."""
        return self._calls > 0

    def content(self, text: str) -> None:
        """What the user reads."""
        if not text:
            return
        body = text.rstrip()
        if not body:
            self._blanks.append(text)
            return
        before = "" if self._trims else "".join(self._blanks)
        if self._trims:
            body, text = body.lstrip(), text.lstrip()
        self._blanks = [text[len(body) :]]
        self._trims, self._began = False, True
        self._new.append(Delta(before + body))

    def reasoning(self, text: str) -> None:
        """What the model thinks, without blanks around it."""
        if not self._reasons:
            self._trims = self._trims or not self._began
            return
        body = text.rstrip()
        if not body:
            self._reasoning_blanks.append(text)
            return
        if not self._reasoned:
            text, body = text.lstrip(), body.lstrip()
        before = "".join(self._reasoning_blanks) if self._reasoned else ""
        self._reasoning_blanks, self._reasoned = [text[len(body) :]], True
        self._new.append(Delta(reasoning=before + body))

    def reasoned(self) -> None:
        """The reasoning is over: blanks after it are no content."""
        self._trims = self._trims or not self._began
        self._reasoning_blanks = []

    def call(self, name: str) -> None:
        """A call begins."""
        self._blanks, self._trims = [], True
        self._calls += 1
        self._call(CallDelta(self._calls - 1, name))

    def arguments(self, text: str) -> None:
        """A piece of the arguments of the call that began last."""
        if text:
            self._call(CallDelta(self._calls - 1, arguments=text))

    def end(self) -> None:
        """No more follows: blanks that waited are content, where there is no call."""
        if not self.called and not self._trims:
            self._new += [Delta("".join(self._blanks))] if any(self._blanks) else []
        self._blanks = []

    def taken(self) -> list[Delta]:
        """What came since the last time."""
        new, self._new = self._new, []
        return new

    def _call(self, delta: CallDelta) -> None:
        if self._most is None or delta.index < self._most:
            self._new.append(Delta(calls=(delta,)))
