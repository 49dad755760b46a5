from dataclasses import dataclass, field

from fastchat_gateway.routing.queue import RequestQueue


@dataclass(eq=False)
class Waiting:
    """A request that leaves the queue as soon as there are workers enough."""

    name: str
    requests: RequestQueue
    workers: list[str] = field(default_factory=list)
    served: list[str] = field(default_factory=list)
    evicted: list[str] = field(default_factory=list)
    failed: bool = False
    sequences: int = 1

    @property
    def key(self) -> str:
        return self.name[0]

    def enter(self, limit: int = 100) -> bool:
        return self.requests.enter(self, self.key, limit)

    def look(self) -> bool:
        if not self.workers:
            return self.failed
        self.workers.pop()
        self.served.append(self.name)
        self.requests.leave(self, self.key)
        return True

    def evict(self) -> None:
        self.evicted.append(self.name)
        self.requests.leave(self, self.key)


def queue(*names: str, workers: int = 0, limit: int = 100) -> tuple[RequestQueue, list[Waiting]]:
    requests, free, served, evicted = RequestQueue(), ["w"] * workers, [], []
    waiting = [Waiting(name, requests, free, served, evicted) for name in names]
    for each in waiting:
        assert each.enter(limit)
    return requests, waiting


def test_those_of_one_key_are_served_in_the_order_they_came() -> None:
    requests, waiting = queue("a1", "a2", "a3", workers=3)
    requests.wake()
    assert waiting[0].served == ["a1", "a2", "a3"]
    assert requests.length == 0


def test_keys_take_turns() -> None:
    requests, waiting = queue("a1", "a2", "a3", "b1", "c1", workers=5)
    requests.wake()
    assert waiting[0].served == ["a1", "b1", "c1", "a2", "a3"]


def test_keys_take_turns_also_where_workers_come_one_by_one() -> None:
    requests, waiting = queue("a1", "a2", "a3", "b1", "b2")
    for _ in range(5):
        waiting[0].workers.append("w")
        requests.wake()
    assert waiting[0].served == ["a1", "b1", "a2", "b2", "a3"]


def test_where_one_finds_nothing_nobody_behind_it_looks() -> None:
    requests, waiting = queue("a1", "b1")
    waiting[1].workers = ["w"]
    requests.wake()
    assert waiting[1].served == []


def test_one_that_has_failed_somewhere_keeps_nobody_from_looking() -> None:
    requests, waiting = queue("a1", "b1")
    waiting[0].failed = True
    waiting[1].workers = ["w"]
    requests.wake()
    assert waiting[1].served == ["b1"]
    assert requests.length == 1


def test_where_the_model_has_changed_everyone_looks() -> None:
    requests, waiting = queue("a1", "b1")
    waiting[1].workers = ["w"]
    requests.wake_all()
    assert waiting[1].served == ["b1"]


def test_a_full_queue_takes_nobody_more_of_the_same_key() -> None:
    requests, waiting = queue("a1", "a2", limit=2)
    assert not Waiting("a3", requests).enter(2)
    assert requests.length == 2
    assert waiting[0].evicted == []


def test_in_a_full_queue_the_last_one_of_the_longest_line_gives_way_to_another_key() -> None:
    requests, waiting = queue("a1", "a2", "a3", limit=3)
    assert Waiting("b1", requests).enter(3)
    assert waiting[0].evicted == ["a3"]
    assert not Waiting("b2", requests).enter(3)
    assert requests.length == 3


def test_who_leaves_makes_room() -> None:
    requests, waiting = queue("a1", limit=1)
    requests.leave(waiting[0], "a")
    requests.leave(waiting[0], "a")
    assert requests.length == 0
    assert Waiting("a2", requests).enter(1)


def test_a_queue_without_places_takes_nobody() -> None:
    requests = RequestQueue()
    assert not Waiting("a1", requests).enter(0)
    requests.wake()
    assert requests.length == 0


def test_what_was_served_in_part_comes_first_of_its_key_however_many_wait() -> None:
    requests, waiting = queue("a1", "a2", "b1", limit=3)
    first = Waiting("a0", requests, waiting[0].workers, waiting[0].served, waiting[0].evicted)
    requests.enter_first(first, "a")
    assert (requests.length, requests.sequences) == (4, 4)
    waiting[0].workers += ["w"] * 4
    requests.wake()
    assert waiting[0].served == ["a0", "b1", "a1", "a2"]
    assert requests.length == 0
