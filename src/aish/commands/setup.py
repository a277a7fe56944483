"""`aish setup`: finds what could answer, tries each, and writes the choice into the configuration.

Without a terminal, it only reports what it has found, unless `--yes` chooses.
"""

import os

from aish import exits
from aish.client.hub import Hub
from aish.commands import JSON_WORDS, usage_error
from aish.commands.config import remarks
from aish.commands.keys import described_storing, store
from aish.exits import Failure
from aish.output import print_json, print_line, print_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from queue import Queue
    from typing import Any

    Candidate = dict[str, Any]
    Found = dict[str, Any]

_PATH, _TRY, _CONFIG = "/api/v2/setup", "/api/v2/setup/try", "/api/v2/config"
_FIND_TIMEOUT, _TRY_TIMEOUT = 30.0, 45.0  # seconds; the hub's own limits are shorter
_AT_ONCE = 4
_TITLES = {"provider": "provider", "server": "on this machine", "agent": "coding agent", "local": "local"}


def setup(words: "list[str]") -> int:
    """Find and try what could answer, and let the user choose. Return 1 if nothing can answer.

    Raises:
        Failure: the words are invalid, or the hub cannot be reached or rejects the choice.
    """
    as_json, chooses = any(word in JSON_WORDS for word in words), "--yes" in words
    if any(word not in (*JSON_WORDS, "--yes") for word in words) or (as_json and chooses):
        raise usage_error("setup")
    found = _found()
    if as_json:
        tried = [{**each, "trial": trial} for each, trial in _tried(found["candidates"])]
        print_json({"path": found["path"], "default": found["default"], "candidates": tried})
        return exits.DONE if any(_works(each["trial"]) for each in tried) else exits.FAILED
    working = _shown(found)
    if chooses:
        return _choose_first(found, working)
    if not (os.isatty(0) and os.isatty(1)):
        return _advise(working)
    return _ask(found, working)


def _found() -> "Found":
    hub = _hub(_FIND_TIMEOUT)
    print_to_terminal("Looking for models and agents …")
    found: Found = hub.ask("GET", _PATH)
    return found


def _hub(seconds: float) -> Hub:
    from time import monotonic

    hub = Hub()
    hub.deadline = monotonic() + seconds
    return hub


def print_to_terminal(line: str) -> None:
    """Print a line about progress, if somebody watches."""
    if os.isatty(1):
        print_line(line)


def _shown(found: "Found") -> "list[Candidate]":
    """Try the candidates and show each; return those that work."""
    working = []
    for candidate, trial in _tried(found["candidates"]):
        if trial is None:
            continue
        print_text(_described(candidate, trial))
        if _works(trial):
            working.append(candidate)
    rest = [each for each in found["candidates"] if not each["ready"]]
    without_key = [each["name"] for each in rest if each["detail"] == "no API key"]
    missing = [each["name"] for each in rest if each["detail"] == "not installed"]
    for each in rest:
        if each["name"] not in (*without_key, *missing):
            print_text(_described(each, None))
    if without_key:
        print_text(_item("–", f"no API key: {', '.join(without_key)}", "aish keys set NAME stores one"))
    if missing:
        print_text(_item("–", f"not installed: {', '.join(missing)}", "aish doctor shows how to get them"))
    places = {each["name"]: place for place, each in enumerate(found["candidates"])}
    return sorted(working, key=lambda each: places[each["name"]])


def _tried(candidates: "list[Candidate]") -> "Iterator[tuple[Candidate, dict[str, Any] | None]]":
    """Yield the candidates with their trials, in the order in which these end. What is not ready has none."""
    import threading
    from queue import Queue

    waiting: Queue[Candidate] = Queue()
    done: Queue[tuple[Candidate, Any]] = Queue()
    ready = [each for each in candidates if each["ready"]]
    for each in ready:
        waiting.put(each)
    print_to_terminal("Asking each a short question …\n" if ready else "")
    for _ in range(min(_AT_ONCE, len(ready))):
        threading.Thread(target=_try_all, args=(waiting, done), daemon=True).start()
    for _ in ready:
        candidate, trial = done.get()  # each has a deadline
        if isinstance(trial, Exception):
            raise trial
        yield candidate, trial
    for each in candidates:
        if not each["ready"]:
            yield each, None


def _try_all(waiting: "Queue[Candidate]", done: "Queue[tuple[Candidate, Any]]") -> None:
    from queue import Empty

    while True:
        try:
            candidate = waiting.get_nowait()
        except Empty:
            return
        try:
            trial = _hub(_TRY_TIMEOUT).ask("POST", _TRY, {"model": candidate["model"]})
        except Failure as failure:
            done.put((candidate, _failed(failure)))
        except Exception as error:  # noqa: BLE001  # the main thread raises it
            done.put((candidate, error))
        else:
            done.put((candidate, trial))


def _failed(failure: Failure) -> "Exception | dict[str, Any]":
    """Return the trial of a model that the hub did not report in time, or the failure of the hub itself."""
    if failure.code != exits.TIMED_OUT:
        return failure
    return {"ok": False, "seconds": _TRY_TIMEOUT, "error": failure.message, "hint": failure.hint}


def _works(trial: "dict[str, Any] | None") -> bool:
    return trial is not None and bool(trial["ok"])


def _described(candidate: "Candidate", trial: "dict[str, Any] | None") -> str:
    if trial is None:
        return _item("✗", f"{candidate['name']}: {candidate['detail']}", candidate["hint"])
    where = f"{_TITLES[candidate['kind']]}, {candidate['detail']}"
    if trial["ok"]:
        return _item("✓", f"{candidate['model']} answers in {trial['seconds']:.1f} s", where)
    return _item("✗", f"{candidate['model']}: {trial['error']}", trial["hint"] or where)


def _item(mark: str, line: str, more: str) -> str:
    """Return a line and, indented below it, what else there is to know, at the width of the terminal."""
    import shutil
    import textwrap

    from aish.render import cleaned

    width = max(20, min(shutil.get_terminal_size().columns, 100))
    lines = textwrap.wrap(cleaned(line), width, initial_indent=f"{mark} ", subsequent_indent="  ")
    lines += textwrap.wrap(cleaned(more), width, initial_indent="    ", subsequent_indent="    ")
    return "\n".join(lines) + "\n"


def _advise(working: "list[Candidate]") -> int:
    if not working:
        return _none()
    return print_line(
        f"\nNothing was written. To use {working[0]['model']}, run: aish setup --yes\n"
        "To choose, run aish setup in a terminal."
    )


def _none() -> int:
    print_line(
        "\nNothing can answer yet, so the embedded offline model does. Store an API key\n"
        "(aish keys set openrouter), start a model server such as Ollama, or log in to\n"
        "a coding agent. Then run aish setup again."
    )
    return exits.FAILED


def _choose_first(found: "Found", working: "list[Candidate]") -> int:
    """Write the first model that works, unless the configuration names one that works."""
    models = [each["model"] for each in working]
    if not models:
        return _none()
    return _write(found["default"] if found["default"] in models else models[0], found)


def _ask(found: "Found", working: "list[Candidate]") -> int:
    while True:
        choices = [each["model"] for each in working]
        default = choices.index(found["default"]) + 1 if found["default"] in choices else 1
        answer = _answer(choices, default)
        if answer == "q":
            print_line("Nothing was written")
            return exits.DONE if working else exits.FAILED
        if answer == "k":
            found, working = _with_key(found, working)
        elif choices and answer.isdecimal() and 1 <= int(answer) <= len(choices):
            return _write(choices[int(answer) - 1], found)
        else:
            print_line(f"Type {f'a number from 1 to {len(choices)}, ' if choices else ''}k or q.")


def _answer(choices: "list[str]", default: int) -> str:
    """Show the choices, and return what the user types: a number, k or q."""
    lines = ["", "Which model should answer?" if choices else "Nothing can answer yet."]
    lines += [f"  {number}  {model}" for number, model in enumerate(choices, 1)]
    lines += ["  k  store an API key", "  q  quit"]
    print_line("\n".join(lines))
    print_text(f"[{default if choices else 'q'}] ")
    line = os.read(0, 1024)
    if not line.endswith(b"\n"):
        print_line("")
    typed = line.decode("utf-8", "replace").strip().lower()
    if not line:
        return "q"
    return typed or (str(default) if choices else "q")


def _with_key(found: "Found", working: "list[Candidate]") -> "tuple[Found, list[Candidate]]":
    """Let the user store a key, and try its provider."""
    names = [each["name"] for each in found["candidates"] if each["kind"] == "provider"]
    print_text(f"Which provider ({', '.join(names)})? ")
    provider = os.read(0, 1024).decode("utf-8", "replace").strip()
    if not provider:
        return found, working
    try:
        print_line(f"✓ {described_storing(store(provider))}")
    except Failure as failure:
        print_line(failure.shown)
        return found, working
    fresh: Found = _hub(_FIND_TIMEOUT).ask("GET", _PATH)
    for candidate, trial in _tried([each for each in fresh["candidates"] if each["name"] == provider]):
        print_text(_described(candidate, trial))
        working = [each for each in working if each["name"] != provider]
        if _works(trial):
            working.append(candidate)
    return fresh, working


def _write(model: str, found: "Found") -> int:
    changed = _hub(_FIND_TIMEOUT).ask("PATCH", _CONFIG, {"models": {"default": model}})
    done = "Wrote" if changed["changed"] else "Kept"
    lines = [f"✓ {done} models.default: {model} in {changed['path']}", *remarks(changed)]
    return print_line("\n".join([*lines, 'Try it: aish apollo "hello"']))


COMMANDS = {"setup": setup}
