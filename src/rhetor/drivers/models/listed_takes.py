"""What models take, as Anthropic and OpenRouter say it in the lists of their models."""

from __future__ import annotations

from typing import Any

from rhetor.domain.parts import TEXT_ONLY, Take

_JSON: frozenset[Take] = frozenset({"json"})


def listed_takes(answer: Any) -> dict[str, frozenset[Take]]:
    """Return what each model takes, from the provider's list of its models. Models of which the list says
    nothing are left out."""
    rows = answer.get("data") if isinstance(answer, dict) else None
    models = [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []
    found = ((str(model.get("id", "")), _takes(model)) for model in models)
    return {name: takes for name, takes in found if name and takes is not None}


def _takes(model: dict[str, Any]) -> frozenset[Take] | None:
    if isinstance(able := model.get("capabilities"), dict):  # Anthropic's
        names: dict[Take, str] = {"image": "image_input", "pdf": "pdf_input", "json": "structured_outputs"}
        return frozenset(take for take, name in names.items() if _is_supported(able.get(name)))
    architecture = model.get("architecture")  # OpenRouter's
    ways = architecture.get("input_modalities") if isinstance(architecture, dict) else None
    if not isinstance(ways, list):
        return None
    modalities: dict[Take, str] = {"image": "image", "pdf": "file", "audio": "audio"}
    can = model.get("supported_parameters")
    json = _JSON if isinstance(can, list) and "structured_outputs" in can else TEXT_ONLY
    return frozenset(take for take, name in modalities.items() if name in ways) | json


def _is_supported(capability: Any) -> bool:
    return isinstance(capability, dict) and capability.get("supported") is True
