"""FastChat's `/api/v1/token_check`: does a prompt, with so many tokens after it, fit the context?"""

from fastchat.api import TokenCheckItem, TokenCheckRequest, TokenCheckResponse, TokenCheckResult
from fastchat_worker.errors import TooLongError
from fastchat_worker.serving.models import ServedModel, ServedModels


def check_tokens(models: ServedModels, request: TokenCheckRequest) -> TokenCheckResponse:
    """Counts the tokens of each prompt; of one that cannot fit, a number that it has at least.

    Raises: RequestError 404 or 503 where one of the models is not served.
    """
    results = []
    for index, item in enumerate(request.prompts):
        model, _ = models.find(item.model)
        results.append(_check(model, item, f"prompts[{index}].prompt"))
    return TokenCheckResponse(prompts=results)


def _check(model: ServedModel, item: TokenCheckItem, param: str) -> TokenCheckResult:
    try:
        count = len(model.encoder.tokens(item.prompt, param))
    except TooLongError as error:
        count = error.at_least
    return TokenCheckResult(
        fits=count + item.max_tokens <= model.max_len, tokenCount=count, contextLength=model.max_len
    )
