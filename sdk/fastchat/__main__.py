"""Where the `fastchat` command begins: ready for Ctrl-C first, then everything else."""

from fastchat._runtime.interrupt import end_quietly

end_quietly()

import sys

from fastchat.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
