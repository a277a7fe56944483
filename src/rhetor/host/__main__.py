"""Starts a host: `python -I -S <this file>`. An isolated Python does not find the package by itself."""

import os
import sys

# after the standard library, so that nothing installed beside the package can shadow its modules
_PACKAGES = os.path.abspath(__file__).rsplit("/", 3)[0]  # noqa: PTH100 (pathlib costs memory)
sys.path.append(_PACKAGES)

from rhetor.host.launcher import main  # noqa: E402

if __name__ == "__main__":
    main()
