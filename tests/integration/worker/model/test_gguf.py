import gguf
import numpy as np
import pytest
from gguf import GGMLQuantizationType, quants
from support.workers import SMOLLM2

from fastchat_worker.model.gguf import PlainReader, by_rows
from fastchat_worker.sources.files import locate


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> str:
    files = locate(SMOLLM2, tmp_path_factory.mktemp("cache"), print)
    return str(files.folder / str(files.gguf))


def test_a_reader_that_makes_no_arrays_of_strings_reads_what_ggufs_own_does(path: str) -> None:
    ours, theirs = PlainReader(path), gguf.GGUFReader(path)
    assert list(ours.fields) == list(theirs.fields)
    for name, field in theirs.fields.items():
        assert ours.fields[name].contents() == field.contents()
        assert ours.fields[name].types == field.types
    assert [each.data_offset for each in ours.tensors] == [each.data_offset for each in theirs.tensors]


@pytest.mark.parametrize("kind", ["Q8_0", "Q4_1", "Q4_K", "Q6_K"])
@pytest.mark.parametrize("rows", [1, 1000])
def test_numbers_unpacked_in_larger_parts_are_the_same(kind: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    traits = quants._type_traits[GGMLQuantizationType[kind]]
    packed = np.random.default_rng(0).integers(0, 60, (rows, 3 * traits.type_size), np.uint8)
    expected = gguf.dequantize(packed, GGMLQuantizationType[kind])
    monkeypatch.setattr(quants, "_apply_over_grouped_rows", by_rows)
    np.testing.assert_array_equal(gguf.dequantize(packed, GGMLQuantizationType[kind]), expected)
