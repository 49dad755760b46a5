"""What edits do to the tensors of the cache."""

import torch

from fastchat_worker.kv.edits import Clear, Copy, Move, Rotate
from fastchat_worker.kv.tensors import LayerShape, SlotTensors, bytes_per_token

SHAPES = {0: LayerShape(2, 4, 3), 5: LayerShape(1, 8, 8)}


def _tensors() -> SlotTensors:
    """Two slots of four tokens; every element says its slot and token: 10 × (slot + 1) + token."""
    tensors = SlotTensors(SHAPES, 2, 4, torch.float32, torch.device("cpu"))
    numbers = 10.0 * torch.arange(1, 3)[:, None] + torch.arange(4)
    for tensor in (*tensors.keys.values(), *tensors.values.values()):
        tensor += numbers[:, None, :, None]
    return tensors


def _contents(tensors: SlotTensors) -> set[tuple[tuple[float, ...], ...]]:
    """[slots][tokens] of each head and element of each tensor; one where all are alike."""
    contents = set()
    for tensor in (*tensors.keys.values(), *tensors.values.values()):
        for column in tensor.permute(1, 3, 0, 2).reshape(-1, len(tensor), 4):
            contents.add(tuple(map(tuple, column.tolist())))
    return contents


def test_memory_is_zero_at_first():
    tensors = SlotTensors(SHAPES, 2, 4, torch.float32, torch.device("cpu"))
    assert not any(tensor.any() for tensor in (*tensors.keys.values(), *tensors.values.values()))


def test_a_move_leaves_zeros_behind():
    tensors = _tensors()
    tensors.apply([Move(1, 0, 3)])
    assert _contents(tensors) == {((20, 21, 22, 13), (0, 0, 0, 23))}


def test_a_slot_is_cleared_as_far_as_it_was_written():
    tensors = _tensors()
    tensors.apply([Clear(0, 2)])
    assert _contents(tensors) == {((0, 0, 12, 13), (20, 21, 22, 23))}


def test_a_token_takes_the_bytes_of_its_keys_and_values_in_all_layers():
    assert bytes_per_token(SHAPES, torch.bfloat16) == 2 * (2 * 7 + 16)


def test_what_stands_in_slots_goes_round_and_leaves_zeros_behind_the_shorter_ones():
    tensors = SlotTensors(SHAPES, 3, 4, torch.float32, torch.device("cpu"))
    lengths = (4, 1, 2)
    for tensor in (*tensors.keys.values(), *tensors.values.values()):
        for slot, length in enumerate(lengths):
            tensor[slot, :, :length] = 10.0 * (slot + 1) + torch.arange(length)[:, None]
    tensors.apply([Rotate((0, 1, 2), lengths)])
    assert _contents(tensors) == {((20, 0, 0, 0), (30, 31, 0, 0), (10, 11, 12, 13))}


def test_a_copy_leaves_its_source_as_it_was():
    tensors = _tensors()
    tensors.apply([Clear(1, 4), Copy(0, 1, 2)])
    assert _contents(tensors) == {((10, 11, 12, 13), (10, 11, 0, 0))}
