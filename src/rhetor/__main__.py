"""`python -m rhetor`."""

import sys

from rhetor.cli import main

sys.exit(main())
