"""How the files of a prefix are split into parts, and where they are kept."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.sources.bucket import Object
from fastchat_worker.sources.parts import split
from fastchat_worker.sources.snapshot import snapshot_of

HOME = Path("/cache/s3/b/m")
CONFIG = Object("m/config.json", "config.json", 700, '"1"')
MODEL = Object("m/model.safetensors", "model.safetensors", 5_000_000_000, '"2-9"')


@given(st.lists(st.integers(0, 1 << 28), max_size=5))
def test_the_parts_are_all_bytes_of_all_files_once(sizes):
    items = [Object(f"m/{i}", f"{i}", size, None) for i, size in enumerate(sizes)]
    parts = split(items)
    assert [part.marked for part in parts] == list(range(len(parts)))
    for item in items:
        of_it = [part for part in parts if part.item == item]
        assert [part.start for part in of_it] == [0, *(part.end for part in of_it[:-1])]
        assert of_it[-1].end == item.size


def test_the_same_files_are_kept_in_the_same_place():
    assert snapshot_of([CONFIG, MODEL], HOME).folder == snapshot_of([CONFIG, replace(MODEL)], HOME).folder


@pytest.mark.parametrize("change", [{"etag": '"3-9"'}, {"size": 1}, {"path": "other.safetensors"}])
def test_files_that_differ_are_kept_in_another_place(change):
    assert snapshot_of([CONFIG, MODEL], HOME).folder != snapshot_of([CONFIG, replace(MODEL, **change)], HOME).folder
