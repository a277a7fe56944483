"""What Claude models take, compared with what pydantic-ai knows of them."""

from typing import Any, get_args

import pytest

from rhetor.drivers.models.given.claude_models import ClaudeModel, claude_model


@pytest.mark.long
def test_all_models_of_the_sdk_take_what_pydantic_ai_says() -> None:
    from anthropic.types.model_param import ModelParam
    from pydantic_ai.profiles.anthropic import anthropic_model_profile

    names = [name for kind in get_args(ModelParam) for name in get_args(kind)]
    older = (
        "claude-opus-4-1-20250805",
        "claude-sonnet-4-20250514",
        "claude-3-7-sonnet-latest",
        "claude-3-haiku-20240307",
    )
    assert len(names) > 20
    for name in (*names, *older):
        known: dict[str, Any] = dict(anthropic_model_profile(name) or {})
        efforts = {
            "xhigh": known["anthropic_supports_xhigh_effort"],
            "max": known["anthropic_supports_max_effort"],
        }
        assert claude_model(name) == ClaudeModel(
            adaptive=known["anthropic_supports_adaptive_thinking"],
            budget=not known["anthropic_disallows_budget_thinking"],
            stops=not known["thinking_always_enabled"],
            samples=not known["anthropic_disallows_sampling_settings"],
            efforts=tuple(e for e in ("low", "medium", "high", "xhigh", "max") if efforts.get(e, True))
            if known["anthropic_supports_effort"]
            else (),
        ), name


def test_a_model_with_another_name_takes_everything() -> None:
    assert claude_model("deepseek-chat") == ClaudeModel()
    assert claude_model("anthropic/claude-haiku-4.5") == claude_model("claude-haiku-4-5")
