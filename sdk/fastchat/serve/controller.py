"""`python3 -m fastchat.serve.controller`: FastChat's controller, which nothing needs any more."""

import sys

MESSAGE = """\
There is no controller any more: start workers with `python3 -m fastchat.serve.model_worker`, and name them to
`python3 -m fastchat.serve.api --worker URL`. Or serve everything with one command: `fastchat up FILE.yaml`.
"""

if __name__ == "__main__":
    sys.stdout.write(MESSAGE)
