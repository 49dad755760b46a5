"""Whether prompts fit the context, with what is to follow them."""

from fastchat.api import TokenCheckRequest
from fastchat_worker.errors import TooLongError
from fastchat_worker.serving.models import ServedModel, ServedModels
from fastchat_worker.serving.token_check import check_tokens


class Embedder:
    """A token a character, up to 8; a longer text is not split to its end."""

    max_len = 8

    def tokens(self, text: str, param: str) -> list[int]:
        if len(text) > 2 * self.max_len:
            raise TooLongError(self.max_len, len(text), f"{param} has", param)
        return list(range(len(text)))


class Batcher:
    waiting = 0


def checked(*prompts: tuple[str, int]) -> list[tuple[bool, int]]:
    models = ServedModels("m", "Embed")
    models.add(ServedModel(Embedder(), Batcher()))  # type: ignore[arg-type]
    items = [{"model": "m", "prompt": prompt, "max_tokens": follow} for prompt, follow in prompts]
    results = check_tokens(models, TokenCheckRequest.model_validate({"prompts": items})).prompts
    return [(result.fits, result.tokenCount) for result in results]


def test_a_prompt_fits_with_as_many_tokens_as_the_context_has_left():
    assert checked(("x" * 5, 3), ("x" * 5, 4)) == [(True, 5), (False, 5)]


def test_a_text_of_any_length_is_no_error_and_does_not_fit_beside_others_that_do():
    assert checked(("x" * 10, 0), ("x" * 10**6, 0), ("x", 0)) == [(False, 10), (False, 10**6), (True, 1)]
