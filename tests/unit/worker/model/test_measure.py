"""How much of a text is split before it is known to be too long; a token here is a word."""

from hypothesis import given
from hypothesis import strategies as st

from fastchat_worker.model.measure import Measure


class Split:
    """Counts the characters that were split."""

    def __init__(self) -> None:
        self.characters = 0
        self.measure = Measure(16, self.count)

    def count(self, text: str) -> int:
        self.characters += len(text)
        return len(text.split())


def test_a_text_with_more_characters_than_so_many_tokens_have_is_not_split_at_all():
    split = Split()
    assert split.measure.least("x " * 2**22, most=8192) == 2**23 // 16
    assert split.characters == 0


def test_a_text_with_many_short_tokens_is_split_until_that_is_known():
    split = Split()
    assert split.measure.least("x " * 2**19, most=2**16) == 2**16 + 1
    assert split.characters < 2**19


def test_a_text_that_may_fit_is_not_refused_for_its_length():
    assert Split().measure.least(" " * 65_000 + "x", most=64) is None
    assert Split().measure.least("fifteen_letters " * 2**13, most=2**13) is None


def test_a_text_that_is_to_be_cut_is_cut_before_it_is_split():
    split = Split()
    assert len(split.measure.beginning("x " * 2**22, most=256)) <= 2**15
    assert len(split.measure.beginning(" " * 2**23, most=256)) <= 2**16
    assert split.characters <= 2**17


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), st.integers(1, 20_000))
def test_what_is_left_of_a_cut_text_has_all_the_tokens_that_were_asked_for(widths, most):
    text = "".join("x" * (width % 15 + 1) + " " * (width // 15) for width in widths * 400)
    wanted = text.split()[:most]
    assert Split().measure.beginning(text, most).split()[: len(wanted)] == wanted
