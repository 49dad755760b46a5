"""What is random in a response comes from its seed."""

from fastchat_worker.serving.resuming.identity import Identity


def test_the_same_seed_makes_the_same_ids_whatever_the_order_of_the_choices():
    first, second = Identity(7, 0), Identity(7, 0)
    forth = [first.new_id("call", choice=choice) for choice in (0, 1, 0, 1)]
    back = [second.new_id("call", choice=choice) for choice in (1, 1, 0, 0)]
    assert sorted(forth) == sorted(back)
    assert (forth[0], forth[2]) == (back[2], back[3])


def test_ids_of_a_response_and_of_others_are_all_different():
    ids = [Identity(seed, 0).new_id("call", choice=choice) for seed in (1, 2) for choice in (0, 1)]
    one = Identity(1, 0)
    ids += [one.new_id(prefix)[len(prefix) :] for prefix in ("call", "msg") for _ in range(2)][1:]
    assert len(set(ids)) == len(ids)
    assert all(len(each.rpartition("-")[2]) == 32 for each in ids)


def test_each_choice_draws_from_a_seed_of_its_own():
    seeds = [Identity(seed, 0).sampling_seed(choice) for seed in (1, 2) for choice in range(8)]
    assert len(set(seeds)) == 16
    assert seeds[0] == Identity(1, 5).sampling_seed(0)


def test_a_response_that_begins_here_has_a_seed_of_64_bits():
    assert len({Identity().seed for _ in range(50)}) == 50
    assert max(Identity().seed for _ in range(50)) < 2**64
