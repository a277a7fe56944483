"""What each option of a message is for, in one line."""

PURPOSES = {
    "-s": "keep the conversation; the peer receives its last N messages (10); or continue a session",
    "--session-id": "continue a session, by name or id",
    "-C": "continue the last conversation with the peer",
    "-m": "let this model answer: provider/model",
    "-S": "use this system prompt for the message",
    "-f": "send a text file after the message; can be repeated",
    "-a": "send an image, PDF or audio file, or a URL of one, - for piped input; can be repeated",
    "--schema": "ask for a JSON answer that matches this JSON Schema, a file or the JSON itself",
    "-x": "make a wrapped program run the text; DELIM may contain \\n \\r \\t \\0 \\xHH",
    "-d": "the same, with this delimiter",
    "--if-idle": "if the peer is busy: fail",
    "--if-offline": "if its machine is offline: queue, or refuse (the default)",
    "--queue": "if the peer is busy: wait (the default)",
    "--interrupt": "if the peer is busy: interrupt it",
    "--timeout": "stop waiting after S seconds",
    "--json": "print one event per line",
    "--no-stream": "print the answer when it is complete, and nothing of one that fails",
    "--quiet": "print only failures on stderr",
    "--raw": "do not render Markdown on a terminal",
    "--usage": "print tokens, cost and seconds after the answer",
}
