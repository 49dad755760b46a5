"""The body of a message as it arrives: where it ends, and what comes after that."""


class Body:
    """One that ends with the connection: `feed` returns all that comes. Others say themselves where they end."""

    __slots__ = ("complete", "surplus")

    def __init__(self) -> None:
        self.complete = False
        self.surplus = False
        """Something came after its end."""

    def feed(self, data: bytes) -> bytes:
        """What comes next of the body, without framing; raises BadResponseError."""
        return data


class SizedBody(Body):
    """One of so many bytes."""

    __slots__ = ("_left",)

    def __init__(self, size: int) -> None:
        super().__init__()
        self._left = size

    def feed(self, data: bytes) -> bytes:
        part = data[: self._left]
        self._left -= len(part)
        self.complete = not self._left
        self.surplus = len(part) < len(data)
        return part
