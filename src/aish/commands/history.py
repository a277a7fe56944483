"""`aish history [N] [json]` and `aish history search WORDS`: what was asked and answered, everywhere."""

from aish import exits
from aish.client.hub import Hub
from aish.commands import usage
from aish.output import STDOUT, write

HOW = "aish history [N] [json] | history search WORDS"
_SHOWN = 20
_WIDTH = 200  # characters of a message or an answer that are shown


def run(words: "list[str]") -> int:
    """Raises:
    Failure: the words do not hold together, or the hub cannot be reached.
    """
    if words[:1] == ["search"] and len(words) > 1:
        from aish.commands import search

        return search.run(words[1:])
    limit, as_json = _SHOWN, False
    for word in words:
        if word in ("json", "--json"):
            as_json = True
        elif word.isdecimal() and len(word) <= 4 and 0 < int(word) <= 1000:
            limit = int(word)
        else:
            raise usage(HOW)
    exchanges = Hub().ask("GET", f"/api/v2/history?limit={limit}")["history"]
    exchanges.reverse()  # the newest last, next to the prompt
    write(STDOUT, (as_lines(exchanges) if as_json else _shown(exchanges)).encode("utf-8", "replace"))
    return exits.DONE


def as_lines(found: "list[dict[str, object]]") -> str:
    """One JSON object a line."""
    import json

    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in found)


def _shown(exchanges: "list[dict[str, str]]") -> str:
    from aish.render import cleaned

    lines = []
    for one in exchanges:
        asked, answered = _short(one["message"]), _short(one["response"]) or "(no answer)"
        lines.append(f"{one['at'][:19].replace('T', ' ')}  {one['ai']}\n  > {asked}\n  {answered}\n")
    return cleaned("\n".join(lines)) if lines else "Nothing was asked yet\n"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _WIDTH else line[: _WIDTH - 1] + "…"
