"""Sequences of a step that failed, one of which may be the reason."""

from collections.abc import Iterable

from fastchat_worker.engine.sequence import Phase, Sequence


class Suspects:
    """They are tried one by one, the last to have come first: those that decode have worked before."""

    def __init__(self, sequences: Iterable[Sequence] = ()) -> None:
        self.sequences = list(sequences)
        """Those that have not been tried yet, and the one that is."""
        self.number = len(self.sequences)
        """Sequences of the step."""

    @property
    def next(self) -> Sequence | None:
        """The one to be tried."""
        return self.sequences[-1] if self.sequences else None

    def cleared(self) -> bool:
        """Lets those go that worked alone or have ended; True where with them the last one goes."""
        before = len(self.sequences)
        while self.sequences and self.sequences[-1].phase in (Phase.DECODE, Phase.FINISHED):
            self.sequences.pop()
        return before > 0 and not self.sequences
