"""A script that pauses for 3 s twice within its answer, unless the message begins with `now`."""

import sys
import time


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


while True:
    line = input()
    if line.startswith("now "):
        say(line.removeprefix("now "))
        continue
    for part in range(3):
        if line != "nothing":
            say(f"{line} {part}")
        if line == "fail" and part == 2:
            raise SystemExit(3)
        time.sleep(3 * (part < 2))
