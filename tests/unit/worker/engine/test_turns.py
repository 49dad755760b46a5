"""Whose turn it is among those that wait."""

from fastchat_worker.engine.turns import Turns, has_room


def served(*waiting: tuple[str, str, int]) -> list[str]:
    """The order in which (key, request, how many) are served."""
    turns: Turns[str] = Turns()
    for key, request, count in waiting:
        for number in range(count):
            turns.add(key, request, f"{request}{number}")
    order = []
    while turns:
        assert turns.next in set(turns)
        order.append(turns.pop())
    return order


def test_one_of_another_key_waits_for_one_and_not_for_256() -> None:
    assert served(("alice", "a", 256), ("bob", "b", 1))[:2] == ["a0", "b0"]


def test_requests_of_one_key_take_turns() -> None:
    assert served(("", "a", 3), ("", "b", 1), ("", "c", 2)) == ["a0", "b0", "c0", "a1", "c1", "a2"]


def test_keys_take_turns_however_many_requests_one_has() -> None:
    order = served(("alice", "a", 2), ("alice", "b", 2), ("alice", "c", 2), ("bob", "d", 3))
    assert order == ["a0", "d0", "b0", "d1", "c0", "d2", "a1", "b1", "c1"]


def test_what_is_dropped_has_no_turn() -> None:
    turns: Turns[int] = Turns()
    for number in range(4):
        turns.add("alice", number % 2, number)
    turns.keep(lambda number: number % 2 == 0)
    assert len(turns) == turns.count("alice") == 2
    assert [turns.pop(), turns.pop()] == [0, 2]
    assert not turns


def test_whoever_has_nothing_that_is_wanted_keeps_the_turn() -> None:
    turns: Turns[int] = Turns()
    for request, item in enumerate([1, 2, 4, 6, 3]):
        turns.add("alice", request % 2, item)
    first_even = lambda items: next((at for at, item in enumerate(items) if item % 2 == 0), None)  # noqa: E731
    assert list(turns.take(first_even)) == [4, 2, 6]
    assert [turns.pop(), turns.pop()] == [1, 3]


def test_a_key_leaves_half_of_the_room_to_others() -> None:
    waiting = 0
    while has_room(256, waiting, waiting, 16):
        waiting += 16
    assert waiting == 128
    assert has_room(256, waiting, 0, 16)
    assert has_room(256, waiting + 16, 16, 16)


def test_one_request_of_a_key_may_wait_while_there_is_room() -> None:
    assert has_room(16, 0, 0, 16)
    assert has_room(16, 8, 0, 8)
    assert not has_room(16, 9, 0, 8)


def test_where_no_key_is_known_the_whole_queue_is_for_all() -> None:
    assert has_room(256, 240, 0, 16)
    assert not has_room(256, 241, 0, 16)
