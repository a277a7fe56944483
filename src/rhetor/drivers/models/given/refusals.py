"""What a model cannot be asked for, as typed errors that name the parameter. Nothing was sent then, so that
another model may still answer."""

from __future__ import annotations

from rhetor.drivers.models.target import AgentTarget, Target
from rhetor.errors import InputUnsupported


def unsupported(
    target: Target | AgentTarget, name: str, why: str, hint: str = "", reason: str = "unsupported_parameter"
) -> InputUnsupported:
    """Return the error for a parameter. `why` follows the name of the model. `reason`: OpenAI's code."""
    return InputUnsupported(
        f"{target.ref} {why}",
        unsupported=name,
        param=name,
        reason=reason,
        takes=[],
        hint=hint or f"leave out {name}, or use another model (aish models)",
        provider=target.ref.partition("/")[0],
        model=target.ref,
        status=None,
    )


def no_parameter(target: Target | AgentTarget, name: str) -> InputUnsupported:
    """Return the error for a parameter that the model's API does not have."""
    return unsupported(target, name, f"does not have the parameter {name}")


def invalid(target: Target, why: str) -> InputUnsupported:
    """Return the error for a conversation that no API takes. `why` follows the name of the model."""
    hint = "send each result directly after its call"
    return unsupported(target, "messages", why, hint, "invalid_value")
