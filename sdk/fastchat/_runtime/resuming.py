"""How responses say what it takes to go on with them elsewhere: docs/decisions/resumable-streams.md."""

RESUMABLE_HEADER = "x-fastchat-resumable"
"""In a request to a worker: the response is to say what it takes to go on elsewhere. In a response: it does."""

RESUME_HEADER = "x-fastchat-resume"
"""In a request: so many bytes before the body say what was generated before, to go on from there."""

HANDED_OVER_HEADER = "x-fastchat-handed-over"
"""In a 503 of a worker: the body says what was generated, for another worker to go on from there."""

HANDOVER_PATH = "/internal/handover"
"""Where gateways tell a worker that stops that others are there to take over what it has in flight."""
