"""`python -I -S <this file>`: makes the package importable, which an isolated Python does not do."""

import os
import sys

# behind the standard library: nothing that is installed beside the package may take its place
_PACKAGES = os.path.abspath(__file__).rsplit("/", 3)[0]  # noqa: PTH100 (pathlib costs memory)
sys.path.append(_PACKAGES)

from rhetor.host.launcher import main  # noqa: E402

if __name__ == "__main__":
    main()
