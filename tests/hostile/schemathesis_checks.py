"""Checks of Schemathesis, with the rules of the hub that a JSON Schema cannot express.

`st` loads this module, named in SCHEMATHESIS_HOOKS.
"""

from __future__ import annotations

import json
import re
from typing import Any

import schemathesis
from schemathesis.checks import load_all_checks
from schemathesis.openapi.checks import RejectedPositiveData

load_all_checks()
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402  (registers itself)

# the code of an error, a pattern of its detail, and why a request may get it that is valid by the page
BEYOND_SCHEMA = (
    ("invalid_settings", "", "settings have rules of their own, and depend on each other"),
    ("conflict", "^configuration ", "the digest is that of the file"),
    ("unknown_model", "", "only the providers know which models exist"),
    ("program_missing", "", "what is installed depends on the machine"),
    ("program_refused", "is not a folder$", "which folders exist depends on the machine"),
    ("unprocessable", "^body.at: the line has only", "the cursor is a place in the line"),
    ("unprocessable", "^query: give after or before", "a page begins at one cursor, or ends at one"),
    ("hop_limit", "", "how many peers a message may pass is a setting"),
    ("position_lost", "", "a cursor is well-formed, but not one of this log"),
    ("misdirected", "^log in at the host name", "the page does not describe the header Host"),
    ("unprocessable", "^only a browser can log out", "the page does not describe the kind of a credential"),
    ("malformed", "^the message is empty$", "a step may get its text from `input` or from other steps"),
    ("unprocessable", "must not contain NUL$", "the tests leave out the patterns of long texts"),
    ("unprocessable", "^no peer is called", "the members of a team are peers that exist"),
    ("unprocessable", "has no tokens of its own", "which peers are models or agents depends on the machine"),
    ("unprocessable", "^on_limit: must name another peer$", "a peer does not stand in for itself"),
    ("unprocessable", "^url: ", "a server's URL is not one that the hub must not call"),
    ("unprocessable", "cannot call an alias", "which aliases exist depends on the hub"),
    ("unprocessable", "is not a specialist, so", "whether `model` is allowed depends on the peer"),
    ("unprocessable", "there is no MCP server", "the servers of a project exist"),
    ("unprocessable", "^path: ", "the folder of a project exists, in an allowed place"),
    ("unprocessable", "^step .* needs .*, which does not exist$", "dependencies refer to other steps"),
    ("unprocessable", "depend on each other in a cycle$", "dependencies have no cycle"),
    ("unprocessable", "^two (steps|tools) are called", "the names in a list are unique"),
    ("unprocessable", r"\(column \d+\)$", "`line` follows the grammar of the shell"),
    ("unprocessable", "chooses its own model", "whether `model` is allowed depends on the peer"),
    ("unprocessable", "belongs to .*, or omit the target$", "a session belongs to one peer"),
    ("cannot_schedule", "", "the hub can run a `line` by itself"),
    ("unprocessable", "^invalid times", "`cron` is an expression that comes true"),
    ("unprocessable", "^unknown time zone", "the machine knows the time zone"),
    ("files_missing", "", "which sessions have files depends on their peers"),
    ("no_repository", "", "which folders are repositories depends on the machine"),
    ("unprocessable", "is inside of .*, whose files are forked$", "a fork is beside the original"),
    ("unprocessable", "always works in", "which folder a peer works in is a setting"),
    ("unprocessable", "^the files cannot be written to", "which folders exist depends on the machine"),
    ("unprocessable", "^query.from: must not be after", "a period does not end before it begins"),
    ("unprocessable", "Invalid base64 encoded string", "the content of a part is base64"),
    ("unprocessable", "its first bytes show another type$", "a part has the type that it names"),
    ("unprocessable", r"a JSON Schema|^(the schema|\$\w+|the pattern) ", "`response_schema` is a schema"),
    ("unsupported", "", "what a message may contain depends on the peer and its model"),
    ("missing_required_parameter", r"^(input|tools)\b", "requests have an input, and items their members"),
    ("previous_response_not_found", "", "which responses exist depends on the hub"),
    ("invalid_value", "^(input|include|tools?|tool_choice|background|stream_options)\\b", "items and tools"),
    ("invalid_value", "^conversation: ", "a request continues a session or a response"),
    ("unsupported_value", "^(generate|prompt_cache_options)\\b", "only a WebSocket can prepare a response"),
    ("unsupported_value", "^model: only a specialist", "which peers can summarize depends on the hub"),
    ("invalid_value", "got `float`$", "1.0 is an integer in JSON Schema; the hub requires 1"),
    ("unsupported_parameter", "^(input|include|tools)\\b", "items and tools have types of their own"),
    ("item_not_found", "^input", "which items exist depends on the hub"),
    ("invalid_request_error", "", "a conversation has rules between its messages, tools and options"),
    ("invalid_value", "^messages: the last message must be", "a conversation ends with the user's message"),
    ("invalid_value", "^tool_choice: ", "`tool_choice` names tools of `tools`"),
    (
        "invalid_value",
        "^(stream_options|max_tokens): (only|not) allowed with",
        "it depends on another member",
    ),
    ("invalid_value", "must be an http, https or data URL$", "which URLs the hub reads"),
    ("invalid_value", ": (not base64: .*|empty)$", "the content of a part is base64"),
    ("unsupported_parameter", "file_id: ", "the hub has no files API"),
    ("missing_required_parameter", "file_data: missing$", "a file has content"),
    ("malformed", "^the message is empty$", "a message has text or a part"),
    ("download_failed", "", "only the server knows what a URL has"),
    (
        "unprocessable",
        "is not a GGUF model|has the SHA-256|is not a valid name for a local model",
        "a URL has a model",
    ),
    ("unprocessable", "got `float`$", "1.0 is an integer in JSON Schema; the hub requires 1"),
)


@schemathesis.check
def accepts_valid_requests(ctx: Any, response: Any, case: Any) -> None:
    """Do the same as `positive_data_acceptance`, except for the rules beyond the schema."""
    try:
        positive_data_acceptance(ctx, response, case)
    except RejectedPositiveData:
        if not is_explained(response.content):
            raise


def is_explained(content: bytes) -> bool:
    """Return whether the problem is one that a valid request may get."""
    problem = json.loads(content)
    if "error" in problem:  # in the shape of OpenAI or Anthropic
        given = problem["error"]
        problem = {"code": given.get("code", given["type"]), "detail": given["message"]}
    return any(
        problem["code"] == code and re.search(detail, problem["detail"]) for code, detail, _ in BEYOND_SCHEMA
    )
