"""Engine Custom: any server of OpenAI's API in an image that the ModelDeployment names."""

from fastchat.v1alpha1.deployment import ModelDeployment
from fastchat.v1alpha1.names import WORKER_PORT
from fastchat_operator.plan import source
from fastchat_operator.plan.engines.launch import Launch
from fastchat_operator.settings import Settings


def launch(deployment: ModelDeployment, settings: Settings) -> Launch:  # noqa: ARG001  # no setting is about it
    """The image's own entry point and user; what it has to know of the model is in its environment."""
    engine = deployment.spec.engine
    about = {
        "FASTCHAT_MODEL_NAME": deployment.name,
        "FASTCHAT_MODEL_PATH": source.path(deployment),
        "PORT": str(WORKER_PORT),
    }
    return Launch(engine.image or "", engine.ready_path or "/health", list(engine.args), env=about, user=None)
