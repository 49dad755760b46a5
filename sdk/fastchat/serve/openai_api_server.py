"""`python3 -m fastchat.serve.openai_api_server --host localhost --port 8000`: the same by FastChat's newer name."""

from fastchat._runtime.interrupt import end_quietly

if __name__ == "__main__":
    end_quietly()

import os
import sys

from fastchat.serve.api import translate
from fastchat.serve.parser import become

if __name__ == "__main__":
    become("fastchat_gateway", *translate(sys.argv[1:], os.environ))
