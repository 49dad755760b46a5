"""Where the `fastchat` command begins: ready for Ctrl-C first, then everything else."""

from fastchat._runtime.interrupt import end_quietly

end_quietly()

import sys

try:
    from fastchat.cli.main import main
except ModuleNotFoundError as missing:
    if missing.name != "typer":
        raise
    sys.exit("the command line needs typer and rich: pip install 'fastchat-k8s[cli]'")

if __name__ == "__main__":
    sys.exit(main())
