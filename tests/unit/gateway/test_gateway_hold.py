import asyncio

import pytest

from fastchat_gateway.hold import Full, Hold


async def test_a_place_that_is_not_called_ends_with_its_time() -> None:
    with Hold().enter(1) as place:
        assert not await place.wait(0.001)


async def test_those_who_wait_are_called_in_the_order_they_came() -> None:
    hold = Hold()
    called: list[int] = []

    async def wait(number: int) -> None:
        with hold.enter(3) as place:
            await place.wait(10)
            called.append(number)

    tasks = [asyncio.create_task(wait(number)) for number in range(3)]
    await asyncio.sleep(0)
    hold.release()
    await asyncio.gather(*tasks)
    assert called == [0, 1, 2]


async def test_a_full_queue_takes_nobody() -> None:
    hold = Hold()
    with hold.enter(1), pytest.raises(Full), hold.enter(1):
        pass


async def test_who_leaves_makes_room() -> None:
    hold = Hold()
    with hold.enter(1):
        assert len(hold) == 1
    assert len(hold) == 0


async def test_who_is_cancelled_leaves_the_queue() -> None:
    hold = Hold()

    async def wait() -> None:
        with hold.enter(1) as place:
            await place.wait(10)

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert len(hold) == 0


async def test_who_finds_nothing_keeps_its_place_and_waits_on() -> None:
    hold = Hold()
    with hold.enter(1) as place:
        hold.release()
        assert await place.wait(0)
        assert not await place.wait(0)
        assert len(hold) == 1
