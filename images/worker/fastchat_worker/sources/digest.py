"""What a worker says with: digests of the files, the conversation and the numbers, to be compared with another's."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

_HEAD = 8 * 2**20  # bytes from the beginning: names and shapes of weights, and a GGUF's vocabulary
_PLACES, _PLACE = 512, 64  # so many times so many bytes of the rest, for files of many GiB
_PARTS = ("model or tokenizer", "chat template or form of tool calls", "dtype or quantization", "adapter")


@dataclass(frozen=True)
class ModelDigest:
    """Digests, in hex. files: of model and tokenizer. words: of what a conversation becomes. numbers: of their type."""

    files: str = "0"
    words: str = "0"
    numbers: str = "0"

    def with_adapter(self, adapter: str = "") -> str:
        """All of them as one word. adapter: digest of its files; empty where there is none."""
        return f"{self.files}.{self.words}.{self.numbers}.{adapter or '0'}"


def differences(ours: str, theirs: str) -> list[str]:
    """In plain words what differs between two workers; empty where nothing does."""
    if ours.count(".") != theirs.count("."):
        return ["release"] if ours != theirs else []
    pairs = zip(_PARTS, ours.split("."), theirs.split("."), strict=False)
    return [part for part, own, other in pairs if own != other]


def digest(*values: object) -> str:
    """Of values that are written the same wherever they are the same."""
    return blake2b(repr(values).encode(errors="surrogatepass"), digest_size=8).hexdigest()


def files_digest(folder: Path, names: Iterable[str]) -> str:
    """Of files by their paths below a folder: all of small ones; of others the head, and samples of the rest.

    Other weights of the same shapes differ nearly everywhere, so that samples tell them apart without reading all.
    """
    found = blake2b(digest_size=8)
    for name in sorted(names):
        path = folder / name
        found.update(f"{name}\n{path.stat().st_size}\n".encode(errors="surrogatepass"))
        for piece in _samples(path):
            found.update(piece)
    return found.hexdigest()


def _samples(path: Path) -> Iterable[bytes]:
    with path.open("rb") as file:
        yield file.read(_HEAD)
        rest = path.stat().st_size - _HEAD
        for number in range(_PLACES if rest > 0 else 0):
            file.seek(_HEAD + max(rest - _PLACE, 0) * number // (_PLACES - 1))
            yield file.read(_PLACE)
