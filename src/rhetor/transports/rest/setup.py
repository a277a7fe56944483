"""What a person needs to set the hub up: `/api/v2/setup`."""

from __future__ import annotations

from typing import Any

from rhetor.transports.server.call import Call

from .bodies import TrialBody

DEFAULT = "models.default"
AUTO, OFFLINE, CLI = "auto", "offline", "cli:"


async def candidates(call: Call) -> dict[str, Any]:
    """Return what could answer: providers, model servers on this machine, and coding agents. `default` is the
    setting `models.default`."""
    call.node.check_environment(call)
    default = next((value for key, value, _ in call.node.configuration.values() if key == DEFAULT), "auto")
    found = await call.node.providers.candidates()
    if default not in (AUTO, OFFLINE) and all(each["model"] != default for each in found):
        kind = "agent" if default.startswith(CLI) else "provider"
        own = {"name": default, "kind": kind, "model": default, "ready": True, "detail": DEFAULT, "hint": ""}
        found = [own, *found]
    return {"path": call.node.configuration.path, "default": default, "candidates": found}


async def try_model(call: Call, body: TrialBody) -> dict[str, Any]:
    """Ask a model a short question, which is not in the log, and return how it answers, within 30 seconds."""
    call.node.check_environment(call)
    call.acting.detail = body.model
    trial = await call.node.providers.try_model(body.model)
    mask = call.hub.state.secrets.mask
    return {**trial, "error": mask(trial["error"]), "answer": mask(trial["answer"])}
