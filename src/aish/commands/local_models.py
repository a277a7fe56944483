"""`aish models list|pull|use|remove`: the small models that the hub runs itself."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import JSON_WORDS, show_list, usage_error
from aish.exits import Failure
from aish.output import print_json, print_line, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_PATH = "/api/v2/models/local"
_MISSING = "local models need xllamacpp; install the extra `local`: uv pip install 'tekton-aish[local]'"


def _list(words: "list[str]") -> int:
    as_json = any(word in JSON_WORDS for word in words)
    if any(word not in JSON_WORDS for word in words):
        raise usage_error("models list")
    found = Hub().ask("GET", _PATH)
    if not as_json:
        for known in found["known"]:
            say(f"aish: {known['name']} ({_megabytes(known['bytes'])}): aish models pull {known['name']}")
        _warn_if_missing(found)
    heading = ("MODEL", "SIZE", "STATE", "FROM")
    return show_list(found["models"], heading, _local_row, "No local models", as_json=as_json)


def _local_row(model: "dict[str, Any]") -> "tuple[str, ...]":
    name = f"{model['model']} (in use)" if model["in_use"] else model["model"]
    state = f"running, pid {model['pid']}" if model["pid"] else "not running"
    return name, _megabytes(model["bytes"]), state, model["source"]


def _pull(words: "list[str]") -> int:
    from aish.commands.sessions_lookup import split_options
    from aish.progress import ask_with_progress

    plain, options = split_options(words, "models pull", ("--sha256", "--name"), ("--json",))
    if len(plain) != 1:
        raise usage_error("models pull")
    body: dict[str, Any] = {"model": plain[0]}
    if "://" in plain[0]:
        if "--sha256" not in options:
            raise Failure("a URL needs --sha256 with the SHA-256 of the file", exits.USAGE)
        body = {"url": plain[0], "sha256": options["--sha256"].lower()}
        if "--name" in options:
            body["name"] = options["--name"]
    elif "--sha256" in options or "--name" in options:
        raise Failure("--sha256 and --name work only with a URL", exits.USAGE)
    hub = Hub()
    model = ask_with_progress(hub, f"pull {plain[0].rpartition('/')[2]}", _PATH, body)
    if "--json" in options:
        return print_json(model)
    _warn_if_missing(hub.ask("GET", _PATH))
    use = "" if model["in_use"] else f"; aish models use {model['name']} lets auto take it"
    return print_line(f"✓ {model['model']} is here, {_megabytes(model['bytes'])}{use}")


def _use(words: "list[str]") -> int:
    model = Hub().ask("POST", f"{_PATH}/{_name(words, 'models use')}/use")
    return print_line(f"✓ auto takes {model['model']} if nothing better answers")


def _remove(words: "list[str]") -> int:
    name = _name(words, "models remove")
    Hub().ask("DELETE", f"{_PATH}/{name}")
    return print_line(f"✓ Removed local/{name}")


def _name(words: "list[str]", page: str) -> str:
    from urllib.parse import quote

    if len(words) != 1 or words[0].startswith("-"):
        raise usage_error(page)
    return quote(words[0].removeprefix("local/"), safe="")


def _warn_if_missing(found: "dict[str, Any]") -> None:
    if not found["installed"]:
        say(f"aish: {_MISSING}")


def _megabytes(size: int) -> str:
    return f"{round(size / 1e6):,} MB"


SUBCOMMANDS = {"list": _list, "pull": _pull, "use": _use, "remove": _remove}
