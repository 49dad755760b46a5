"""What gateways tell of keys, added up."""

from fastchat.cli.usage import Usage, Usages

METRICS = """
# TYPE fastchat_gateway_requests_total counter
fastchat_gateway_requests_total{key="alice",model="m",outcome="ok",route="/v1/models",status="200"} 3.0
fastchat_gateway_requests_total{key="alice",model="m",outcome="server_error",route="x",status="503"} 2.0
fastchat_gateway_requests_total{key="",model="m",outcome="client_error",route="x",status="401"} 1.0
fastchat_gateway_requests_total{key="",model="",outcome="ok",route="/metrics",status="200"} 9.0
fastchat_gateway_tokens_total{direction="in",key="alice",model="m"} 1e+06
fastchat_gateway_tokens_total{direction="out",key="b\\"}, \\\\",model="m"} 7.0
fastchat_gateway_requests_created{key="alice"} 1.7e+09
"""


def test_all_gateways_are_added_up_by_key() -> None:
    usages = Usages()
    usages.add(METRICS)
    usages.add(METRICS)
    assert usages.gateways == 2
    assert usages.by_key == {
        "alice": Usage(requests=10, failed=4, prompt_tokens=2_000_000),
        "": Usage(requests=2),
        'b"}, \\': Usage(completion_tokens=14),
    }
