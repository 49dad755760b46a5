"""Each client's own calls, from `suites/`, against gateway and worker; nothing of the client is changed."""

import pytest


@pytest.mark.parametrize("suite", ["openai", "anthropic", "litellm", "agents", "llm", "instructor"])
def test_a_client_works_unchanged(run_suite, suite) -> None:
    run_suite(f"{suite}_suite")
