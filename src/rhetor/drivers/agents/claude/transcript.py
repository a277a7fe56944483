"""Claude Code's own transcript of a conversation, as observed with version 2.1.330.

A user's message begins a passage. The assistant's lines follow, one for each block of a message, each with
the usage and the stop reason of the message. Lines of sub-agents, summaries of compacted messages, and the
program's own messages are not part of a passage. If the user went back and sent another message, both
branches are included, in the order in which they were written.
"""

from __future__ import annotations

import re
from typing import Any

from rhetor.domain.output import Usage
from rhetor.domain.transcript import Ending
from rhetor.drivers.agents.records import count, rows, table, text
from rhetor.drivers.agents.transcript import Transcript

_ENDS = frozenset(("end_turn", "stop_sequence", "max_tokens", "refusal", "model_context_window_exceeded"))
_SYNTHETIC = "<synthetic>"  # the model in messages that no model wrote
_STOPPED = "[Request interrupted by user"
_COMMAND = re.compile(r"<command-name>(.*?)</command-name>", re.DOTALL)
_ARGUMENTS = re.compile(r"<command-args>(.*?)</command-args>", re.DOTALL)
_ASIDE = ("<local-command-", "<bash-", "Caveat: The messages below", "<task-notification>")


class ClaudeTranscript(Transcript):
    def __init__(self) -> None:
        super().__init__()
        self._message = ""  # the model's message whose usage is output when the next one begins
        self._usage: Usage | None = None
        self._stop = ""
        self._has_answered = False  # the last block is text: thinking comes before the answer
        self._is_command = False
        self._failure = ""

    def _take(self, found: dict[str, Any], offset: int) -> None:
        if found.get("isSidechain") is True:
            self.is_foreign = self.is_foreign or not self.conversation
            return
        self.conversation = self.conversation or text(found, "sessionId")
        self.cwd = self.cwd or text(found, "cwd")
        if found.get("isMeta") is True or found.get("isCompactSummary") is True:
            return
        match text(found, "type"):
            case "user":
                self._person(found)
            case "assistant":
                self._assistant(found)
            case "system" if text(found, "subtype") == "local_command":
                self._drop_command()

    def _is_whole(self) -> bool:
        return bool(self._failure) or (self._stop in _ENDS and self._has_answered)

    def _person(self, found: dict[str, Any]) -> None:
        message = table(found, "message")
        for block in rows(message, "content"):
            if text(block, "type") == "tool_result":
                self._note_time(text(found, "timestamp"))
                self._return(text(block, "tool_use_id"), _plain(block), block.get("is_error") is True)
        said = _said(message)
        if said.startswith(_STOPPED):
            self._note_time(text(found, "timestamp"))
            self._close("interrupted", "it was interrupted")
        elif said.startswith(_ASIDE):
            self._drop_command()
        elif said.strip():
            self._end_before()
            command = _COMMAND.search(said)
            self._is_command = command is not None
            self._begin(
                text(found, "uuid"), _command(command[1], said) if command else said, text(found, "timestamp")
            )

    def _assistant(self, found: dict[str, Any]) -> None:
        message = table(found, "message")
        if text(message, "model") == _SYNTHETIC:
            if found.get("isApiErrorMessage") is True:
                self._failure = _said(message) or "the model gave no answer"
            return
        self._note_time(text(found, "timestamp"))
        self._note_usage(found, message)
        self.model = text(message, "model") or self.model
        for block in rows(message, "content"):
            self._has_answered = text(block, "type") == "text"
            match text(block, "type"):
                case "text":
                    self._failure = ""
                    self._say(text(block, "text"))
                case "thinking":
                    self._say(text(block, "thinking"), "reasoning")
                case "tool_use" | "server_tool_use" | "mcp_tool_use":
                    self._call(text(block, "id"), text(block, "name"), block.get("input"))
        self._stop = text(message, "stop_reason")

    def _note_usage(self, found: dict[str, Any], message: dict[str, Any]) -> None:
        """Keep the last usage of the message: the counts grow while the message is written."""
        key = "/".join((text(message, "id"), text(found, "requestId") or text(found, "requestRef")))
        if key != self._message:
            self._tell_usage()
        usage = table(message, "usage")
        cached = count(usage, "cache_read_input_tokens")
        given = count(usage, "input_tokens") + count(usage, "cache_creation_input_tokens") + cached
        self._message = key
        self._usage = Usage(text(message, "model") or None, given, count(usage, "output_tokens"), cached)

    def _tell_usage(self) -> None:
        if self._usage is not None and (self._usage.input_tokens or self._usage.output_tokens):
            self._use(self._usage)
        self._message, self._usage = "", None

    def _end_before(self) -> None:
        """Close the passage before the next message, as interrupted if its answer is not complete."""
        self._drop_command()
        if self._is_whole():
            self._close()
        elif self.is_open:
            self._close("interrupted", "another message came first")

    def _drop_command(self) -> None:
        """Discard the passage if it is a command of the program itself, for which no model was called."""
        if self._is_command and not self._outputs and not self._failure:
            self._drop()

    def _close(self, ending: Ending = "completed", detail: str = "") -> None:
        self._tell_usage()
        if self._failure and ending == "completed":
            ending, detail = "failed", self._failure
        super()._close(ending, detail)
        self._stop = self._failure = ""
        self._has_answered = False


def _said(message: dict[str, Any]) -> str:
    """Return the text of a message; an image or a document becomes `[image]` or `[document]`."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    parts: list[str] = []
    for block in rows(message, "content"):
        kind = text(block, "type")
        if kind == "text":
            parts.append(text(block, "text"))
        elif kind in ("image", "document"):
            parts.append(f"[{kind}]")
    return "\n".join(parts)


def _plain(block: dict[str, Any]) -> Any:
    """Return a tool's result as text; a part without text, such as an image, becomes its type in brackets."""
    content = block.get("content")
    if not isinstance(content, list):
        return content
    return "\n".join(text(part, "text") or f"[{text(part, 'type')}]" for part in rows(block, "content"))


def _command(name: str, said: str) -> str:
    """Return the command as it was typed, such as `/review the tests`."""
    arguments = _ARGUMENTS.search(said)
    typed = f"{name.strip()} {arguments[1].strip() if arguments else ''}".strip()
    return typed if typed.startswith("/") else f"/{typed}"
