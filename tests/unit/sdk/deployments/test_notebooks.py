"""What is shown in a notebook: short, escaped, and nothing secret."""

import pytest

from fastchat import api
from fastchat.deployments import DeploymentList, manifest

EVIL = "<script>alert(1)</script>"
SAFE = "&lt;script&gt;alert(1)&lt;/script&gt;"


@pytest.fixture
def deployment():
    return manifest(
        "vicuna",
        "hf://org/name",
        engine={"env": [{"name": "HF_TOKEN", "value": "hf_secret"}]},
        gpus=1,
        namespace="team",
    )


def test_a_deployment_is_a_line_without_its_variables(deployment):
    assert repr(deployment) == "ModelDeployment('vicuna', namespace='team', source='hf://org/name')"


def test_no_secret_is_shown(deployment):
    shown = [repr(deployment), str(deployment), repr(deployment.spec), deployment._repr_html_()]
    assert not [text for text in shown if "hf_secret" in text]


def test_a_deployment_is_a_table(deployment):
    assert "<td" in deployment._repr_html_()
    assert "hf://org/name" in deployment._repr_html_()


def test_deployments_are_a_table_with_a_head(deployment):
    html = DeploymentList([deployment, deployment])._repr_html_()
    assert html.count(">vicuna<") == 2
    assert ">progress<" in html


def completion(*texts):
    choices = [{"index": place, "message": {"content": text}} for place, text in enumerate(texts)]
    usage = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    return api.ChatCompletion.model_validate({"model": "m", "choices": choices, "usage": usage})


@pytest.mark.parametrize("texts", [(EVIL,), (EVIL, "other")])
def test_what_a_model_says_is_text_and_no_markup(texts):
    html = completion(*texts)._repr_html_()
    assert SAFE in html
    assert "<script" not in html
    assert "3 tokens in, 4 out" in html


def test_a_call_of_a_tool_is_shown():
    call = {"id": "1", "type": "function", "function": {"name": "look", "arguments": '{"at": 1}'}}
    message = {"role": "assistant", "content": None, "tool_calls": [call]}
    said = api.ChatCompletion.model_validate({"choices": [{"message": message}]})
    assert "look({&quot;at&quot;: 1})" in said._repr_html_()


def test_a_completion_of_a_text_is_text():
    said = api.Completion.model_validate({"model": EVIL, "choices": [{"text": EVIL}]})
    assert said._repr_html_().count(SAFE) == 2


def test_a_long_text_is_cut():
    assert len(repr(completion("x" * 100_000))) < 1000
    assert len(completion("x" * 100_000)._repr_html_()) < 3000


def test_vectors_are_shown_by_their_first_numbers():
    data = [{"index": place, "embedding": [0.125] * 384} for place in range(50)]
    said = api.EmbeddingResponse.model_validate({"model": "minilm", "data": data})
    assert repr(said.data[0]) == "EmbeddingData(index=0, embedding=[0.125, 0.125, 0.125, … 384 numbers])"
    assert repr(said) == "EmbeddingResponse(model='minilm', data=[50 vectors], usage=None)"
    assert len(said._repr_html_()) < 3000
    assert "40 more" in said._repr_html_()


def test_models_are_a_table():
    said = api.ModelList.model_validate({"data": [{"id": EVIL, "max_model_len": 2048}]})
    assert SAFE in said._repr_html_()
    assert "2048" in said._repr_html_()


def test_a_value_of_a_variable_is_not_in_its_repr():
    from fastchat.v1alpha1.primitives import EnvVar

    assert "hf_secret" not in repr(EnvVar(name="HF_TOKEN", value="hf_secret"))
