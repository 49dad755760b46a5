"""What `fastchat up` prints once all models are served."""

from fastchat.api.routes import CHAT_COMPLETIONS, EMBEDDINGS, RERANK
from fastchat.local.plan import API_KEYS, NO_PAGE, Plan
from fastchat.local.progress import table


def overview(plan: Plan) -> str:
    """What is served, where, and a line to try it with."""
    rows = [
        (
            deployment.name,
            ", ".join(deployment.spec.model.aliases) or "-",
            deployment.spec.model.task,
            str(deployment.spec.replicas),
            str(deployment.spec.model.source),
        )
        for deployment in plan.deployments
    ]
    listing = table(("MODEL", "ALIASES", "TASK", "REPLICAS", "SOURCE"), rows)
    page = "" if NO_PAGE in plan.gateway.argv else f"\nor chat in a browser at {plan.gateway.url}/"
    return f"{listing}\n\nServing on {plan.gateway.url}/v1 – Ctrl-C stops it. Try:\n  {_curl(plan)}{page}"


def _curl(plan: Plan) -> str:
    deployment = next(deployment for deployment in plan.deployments if deployment.spec.replicas)
    if deployment.spec.model.task == "Embed":
        route, body = EMBEDDINGS, '"input": "Hello!"'
    elif deployment.spec.model.task == "Rerank":
        route, body = RERANK, '"query": "Hello!", "documents": ["Hi.", "Goodbye."]'
    else:
        route, body = CHAT_COMPLETIONS, '"messages": [{"role": "user", "content": "Hello!"}]'
    key = '-H "Authorization: Bearer $KEY" ' if API_KEYS in plan.gateway.env else ""
    return (
        f"curl {plan.gateway.url}{route.path} {key}-H 'Content-Type: application/json' "
        f'-d \'{{"model": "{deployment.name}", {body}}}\''
    )
