"""A REPL as those for Go typically are: it reads whole lines and leaves their editing to the terminal.

It shows `gore> `, and `..... ` before the further lines of a block. As in a program in Go, one thread waits
for input, another for that thread, and a third wakes up now and then. It knows calls of `fmt.Println` and
`time.Sleep`, `:=`, blocks, and expressions, whose values it prints.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from typing import Any

_SLEEP = re.compile(r"time\.Sleep\((\d+) \* time\.Second\)")
_PRINT = re.compile(r"fmt\.Println\((.*)\)")
_names: dict[str, Any] = {}


def write(text: str) -> None:
    os.write(1, text.encode())


def lines() -> Iterator[str]:
    data = b""
    while more := os.read(0, 4096):
        data += more
        while b"\n" in data:
            line, _, data = data.partition(b"\n")
            yield line.decode()


def value(expression: str) -> Any:
    return eval(expression, {"__builtins__": {}}, _names)


def run(statement: str) -> None:
    if found := _SLEEP.fullmatch(statement):
        time.sleep(int(found[1]))
    elif found := _PRINT.fullmatch(statement):
        write(f"{value(found[1])}\n")
    elif ":=" in statement:
        name, _, expression = statement.partition(":=")
        _names[name.strip()] = value(expression.strip())
    elif statement not in ("", "{", "}"):
        write(f"{value(statement)}\n")


def run_all(text: str) -> None:
    try:
        for statement in re.split(r"[;\n]", text):
            run(statement.strip())
    except NameError as error:
        write(f"undefined: {error.name}\n")
    except SyntaxError:
        write("expected operand\n")


def serve() -> None:
    held = ""
    write("gore> ")
    for line in lines():
        held += line + "\n"
        if held.count("{") <= held.count("}"):
            run_all(held)
            held = ""
        write("..... " if held else "gore> ")


def wake_now_and_then() -> None:
    while True:
        time.sleep(0.1)


if __name__ == "__main__":
    threading.Thread(target=wake_now_and_then, daemon=True).start()
    reader = threading.Thread(target=serve)
    reader.start()
    reader.join()
