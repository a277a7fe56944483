"""`aish config`: the hub's configuration, shown and edited."""

# ruff: noqa: PTH118
import os

from aish import exits
from aish.client.home import state_home
from aish.client.hub import NO_HUB, Hub
from aish.commands import JSON_WORDS, run_subcommand, usage_error
from aish.commands.text_editor import Draft, can_ask, confirm
from aish.exits import Failure
from aish.output import print_json, print_line, say

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_CONFIG, _FILE = "/api/v2/config", "/api/v2/config/file"
_REPLACE_TIMEOUT = 60.0  # seconds
_NEW = """\
# The configuration of the hub. Uncomment what you need; docs/reference/configuration.md lists all settings.
#
# models:
#   default: anthropic/claude-sonnet-5-5   # or auto, cli:claude, ollama/llama3.2
# specialists:
#   reviewer:
#     prompt: You review code.
"""


def config(words: "list[str]") -> int:
    """Show the configuration, edit its file, or print the path of the file.

    Raises:
        Failure: the words are invalid, the hub cannot be reached, or the configuration is invalid.
    """
    action, *rest = words or ["show"]
    actions = {"show": _show, "edit": _edit, "path": _path}
    return run_subcommand("config", actions, action, rest)


def _show(words: "list[str]") -> int:
    wanted = [word for word in words if word not in JSON_WORDS]
    if any(word[:1] == "-" for word in wanted):
        raise usage_error("config show")
    found = Hub().ask("GET", _CONFIG)
    values = [each for each in found["config"] if not wanted or any(_is_in(each["key"], w) for w in wanted)]
    if wanted and not values:
        from aish.catalogue.nearest import did_you_mean

        hint = did_you_mean(wanted[0], [each["key"] for each in found["config"]])
        raise Failure(f"there is no setting {', '.join(wanted)}", exits.UNKNOWN, hint=hint)
    if len(wanted) < len(words):
        return print_json(values)
    import json

    from aish.render import cleaned

    lines = []
    for each in values:
        value = each["value"]
        shown = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
        lines.append(cleaned(f"{each['key']}: {' '.join(shown.split())}  ({each['origin']})"))
    return print_line("\n".join(lines))


def _is_in(key: str, wanted: str) -> bool:
    return key == wanted or key.startswith(f"{wanted}.")


def _path(words: "list[str]") -> int:
    if words:
        raise usage_error("config path")
    return print_line(_read()["path"])


def _read() -> "dict[str, Any]":
    """Return the path, the text and the digest of the file, also if no hub is running."""
    try:
        found: dict[str, Any] = Hub(may_start=False).ask("GET", _FILE)
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
    else:
        return found
    from hashlib import sha256

    path = os.path.join(state_home(), "config.yaml")
    try:
        with open(path, "rb") as file:
            data = file.read()
        return {"path": path, "text": data.decode(), "digest": sha256(data).hexdigest()}
    except FileNotFoundError:
        return {"path": path, "text": "", "digest": sha256(b"").hexdigest()}
    except (OSError, UnicodeDecodeError) as error:
        raise Failure(f"cannot read {path}: {error}") from None


def _edit(words: "list[str]") -> int:
    if words:
        raise usage_error("config edit")
    before = _read()
    offered = before["text"] or _NEW
    draft = Draft(state_home(), offered, ".yaml")
    while True:
        try:
            text = draft.edit()
        except Failure:
            draft.remove()
            raise
        if text in (offered, before["text"]):
            draft.remove()
            return print_line("No changes")
        try:
            changed = _replace(text, before["digest"])
        except Failure as failure:
            if failure.code == exits.USAGE and can_ask():
                say(failure.shown)
                if confirm("Edit it again?"):
                    continue
                raise Failure(f"nothing was changed; your text is in {draft.path}", exits.USAGE) from None
            raise _not_written(failure, draft.path) from None
        draft.remove()
        return print_line(_described(changed, before["path"]))


def _not_written(failure: Failure, draft: str) -> Failure:
    kept = f"nothing was changed; your text is in {draft}"
    hint = f"{failure.hint}\n{kept}" if failure.hint else kept
    return Failure(failure.message, failure.code, hint=hint)


def _replace(text: str, digest: str) -> "dict[str, Any]":
    """Replace the text of the file.

    Raises:
        Failure: the text is invalid (exit code 2), or the file was changed in the meantime.
    """
    try:
        changed: dict[str, Any] = Hub(may_start=False).ask("PUT", _FILE, {"text": text, "digest": digest})
    except Failure as failure:
        if failure.problem != NO_HUB:
            raise
        return _replace_without_hub(text, digest)
    return changed


def _replace_without_hub(text: str, digest: str) -> "dict[str, Any]":
    """Let `rhetor` check and replace the text, because a hub does not start with an invalid file."""
    import subprocess
    import sys

    command = [sys.executable, "-m", "rhetor", "config", "replace", "--digest", digest]
    environment = {**os.environ, "RHETOR_HOME": state_home()}
    ran = subprocess.run(
        command,
        env=environment,
        input=text.encode("utf-8", "surrogateescape"),
        capture_output=True,
        timeout=_REPLACE_TIMEOUT,
        check=False,
    )
    if ran.returncode:
        reason = ran.stderr.decode("utf-8", "replace").strip().removeprefix("rhetor: ")
        code = exits.USAGE if ran.returncode == exits.USAGE else exits.FAILED
        raise Failure(reason or f"rhetor exited with {ran.returncode}", code)
    return {}


def _described(changed: "dict[str, Any]", path: str) -> str:
    lines = [f"✓ Wrote {path}"]
    if changed.get("changed"):
        lines.append(f"in effect now: {', '.join(changed['changed'])}")
    return "\n".join([*lines, *remarks(changed)])


def remarks(changed: "dict[str, Any]") -> "list[str]":
    """Return lines about changes that have no effect, or none yet."""
    lines = []
    if changed.get("needs_restart"):
        lines.append(f"in effect when the hub starts again: {', '.join(changed['needs_restart'])}")
    lines += [
        f"no effect: {each['key']}, because the hub's variable {each['variable']} sets it"
        for each in changed.get("overridden", ())
    ]
    return lines


COMMANDS = {"config": config}
