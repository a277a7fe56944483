"""What a process of the tests ends after its last test, whether it is a worker or runs all of them.

`atexit` is not enough: a worker is a fork, and leaves without the exit functions of the process it came from.
"""

from __future__ import annotations

from contextlib import ExitStack

AT_END = ExitStack()
