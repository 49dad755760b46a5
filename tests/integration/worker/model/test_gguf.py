from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.gguf_file import write_gguf
from support.workers import SMOLLM2

from fastchat_worker.model.gguf import by_rows
from fastchat_worker.model.gguf_file import GgufFile
from fastchat_worker.sources.files import locate

_VALUES = st.one_of(
    st.text(max_size=20),
    st.booleans(),
    st.integers(-(2**31), 2**31 - 1),
    st.lists(st.text(max_size=9), min_size=1, max_size=9),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=9),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=9),
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    files = locate(SMOLLM2, tmp_path_factory.mktemp("cache"), print)
    return str(files.folder / str(files.gguf))


def test_what_a_file_states_is_what_ggufs_own_reader_reads(path: str) -> None:
    ours, theirs = GgufFile(path), gguf.GGUFReader(path)
    stated = {name: field for name, field in theirs.fields.items() if not name.startswith("GGUF.")}
    assert list(ours.fields) == list(stated)
    for name, field in stated.items():
        assert ours.fields[name].contents() == field.contents()
        assert list(ours.fields[name].types) == field.types


def test_the_tensors_of_a_file_are_those_that_ggufs_own_reader_finds(path: str) -> None:
    for ours, theirs in zip(GgufFile(path).tensors, gguf.GGUFReader(path).tensors, strict=True):
        assert (ours.name, ours.tensor_type, list(ours.shape)) == (
            theirs.name, theirs.tensor_type, theirs.shape.tolist()
        )  # fmt: skip
        np.testing.assert_array_equal(ours.data, theirs.data)


@given(values=st.dictionaries(st.text(min_size=1, max_size=9), _VALUES, max_size=6))
@settings(deadline=None, max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_values_of_every_kind_are_read_as_they_were_written(values: dict[str, Any], tmp_path: Path) -> None:
    path = tmp_path / "any.gguf"
    writer = gguf.GGUFWriter(path, "any")
    for key, value in values.items():
        writer.add_key_value(f"k.{key}", value, gguf.GGUFValueType.get_type(value))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    found = {key: field.contents() for key, field in GgufFile(str(path)).fields.items()}
    assert found == {"general.architecture": "any"} | {f"k.{key}": value for key, value in values.items()}


@pytest.mark.parametrize("size", [0, 3, 20, 200, 5000, 300_000, 90_000_000])
def test_a_file_that_ends_too_early_is_refused(path: str, size: int, tmp_path: Path) -> None:
    (tmp_path / "cut.gguf").write_bytes(Path(path).read_bytes()[:size])
    with pytest.raises(ValueError, match=r"cut\.gguf|empty|smaller|offset"):
        GgufFile(str(tmp_path / "cut.gguf"))


@given(at=st.integers(0, 2000), byte=st.integers(0, 255))
@settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_file_with_a_wrong_byte_is_read_or_refused(at: int, byte: int, tmp_path: Path) -> None:
    path = tmp_path / "small.gguf"
    if not path.exists():
        write_gguf(path)
    changed = bytearray(path.read_bytes())
    changed[at] = byte
    (tmp_path / "changed.gguf").write_bytes(changed)
    with suppress(ValueError):
        GgufFile(str(tmp_path / "changed.gguf"))


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("rows", [1, 1000])
def test_numbers_unpacked_in_larger_parts_are_the_same(kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    traits = quants._type_traits[GGMLQuantizationType[kind]]
    packed = np.random.default_rng(0).integers(0, 60, (rows, 3 * traits.type_size), np.uint8)
    expected = gguf.dequantize(packed, GGMLQuantizationType[kind])
    monkeypatch.setattr(quants, "_apply_over_grouped_rows", by_rows)
    np.testing.assert_array_equal(gguf.dequantize(packed, GGMLQuantizationType[kind]), expected)
