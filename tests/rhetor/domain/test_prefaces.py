from __future__ import annotations

import pytest

from rhetor.domain.prefaces import without_prefaces

CODEX = "<environment_context>\n  <cwd>/w</cwd>\n</environment_context>"


@pytest.mark.parametrize(
    "text, said",
    [
        ("<system-reminder>\nBe brief.\n</system-reminder>\n\nfix it", "fix it"),
        (f"<user_instructions>a</user_instructions>\n\n{CODEX}\n\nfix <a-b>it</a-b>", "fix <a-b>it</a-b>"),
        (CODEX, CODEX),
        ("<system-reminder>cut off", "<system-reminder>cut off"),
        ("<b>fix</b> it", "<b>fix</b> it"),
        ("fix it", "fix it"),
        ("", ""),
    ],
)
def test_only_notes_of_agents_before_other_text_are_left_out(text: str, said: str) -> None:
    assert without_prefaces(text) == said
