"""The OpenAPI page is correct: requests generated from it are answered as documented."""

from __future__ import annotations

from contextlib import nullcontext
from functools import cache
from importlib.metadata import version
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from tests.hostile.running import RunningHub, at_a_port
from tests.scale import sampled, scaled

from rhetor.app import DISTRIBUTION
from rhetor.auth.policy import Policy
from rhetor.routes import TABLE
from rhetor.transports.compatible.table import ROUTES as COMPATIBLE
from rhetor.transports.console.table import ROUTES as CONSOLE
from rhetor.transports.rest import openapi
from rhetor.transports.rest.table import ROUTES

pytestmark = pytest.mark.long

PAGE = openapi.page(TABLE, version(DISTRIBUTION))
OPERATIONS = [f"{row.method} {row.path}" for row in (*ROUTES, *COMPATIBLE)]
PAGES = [f"{row.method} {row.path}" for row in CONSOLE]
# undocumented members are ignored; other tests cover the token
GENERATION = {"allow-extra-parameters": False, "with-security-parameters": False}
EXAMPLES = scaled(25, 3)
LONG = 10_000  # characters
NOWHERE = {"type": "string", "pattern": "^/no/such/folder/[a-z]{1,9}$"}
OWNERS = {f"{row.method} {row.path}" for row in ROUTES if row.policy is Policy.OWNER} - {
    "POST /api/v2/shutdown"
}
REQUEST_SECONDS = 25.0
MET = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
ACCEPTED = (*MET, "accepts_valid_requests")
REJECTED = "negative_data_rejection"
REFUSED = (*MET, REJECTED)
# those that it expects by default, and 413 for a generated body that is too large
STATUSES = (400, 401, 403, 404, 405, 406, 409, 413, 415, 422, 428, 429)
REFUSALS = {"expected-statuses": [*map(str, STATUSES), "5xx"]}


def test_every_route_is_described_with_its_security() -> None:
    operations = {f"{m.upper()} {path}": op for path, ms in PAGE["paths"].items() for m, op in ms.items()}
    assert set(operations) == {*OPERATIONS, *PAGES}
    public = {label for label, operation in operations.items() if operation["security"] == []}
    auth = {"POST /api/auth/refresh", "POST /api/auth/revoke", "GET /.well-known/jwks.json"}
    files = {f"{row.method} {row.path}" for row in CONSOLE if row.policy is Policy.PUBLIC}
    assert public == {"GET /healthz", "GET /login", "GET /ca.crt", *auth, *files}


def test_the_page_is_served_unchanged(hub: RunningHub) -> None:
    assert hub.ask("GET", "/openapi.json").json() == PAGE


@pytest.mark.parametrize("label", sampled(OPERATIONS, 4))
def test_valid_requests_get_documented_responses(hub: RunningHub, label: str) -> None:
    send_requests(hub, label, "positive", ACCEPTED)


def _forbids(label: str) -> bool:
    """Return whether a request can be invalid by the page; any text is a valid id, and any bytes are valid
    binary content."""
    method, path = label.split(" ")
    operation = PAGE["paths"][path][method.lower()]
    if "*/*" in operation.get("requestBody", {}).get("content", {}):
        return False
    named = [one for one in operation.get("parameters", []) if one["in"] != "path"]
    return bool(named) or "requestBody" in operation


@pytest.mark.parametrize("label", sampled([label for label in OPERATIONS if _forbids(label)], 3))
def test_invalid_requests_get_documented_errors(hub: RunningHub, label: str) -> None:
    send_requests(hub, label, "negative", REFUSED)


@cache
def schema() -> Any:
    """Load the page into Schemathesis, whose import takes long."""
    import schemathesis
    from tests.hostile import schemathesis_checks

    assert schemathesis_checks.BEYOND_SCHEMA
    config = schemathesis.Config.from_dict({"generation": GENERATION, "checks": {REJECTED: REFUSALS}})
    return schemathesis.openapi.from_dict(generated_from(), config=config)


def generated_from() -> Any:
    """Return the page as Schemathesis gets it. Long texts have no pattern, because it needs seconds to
    generate a text of up to 131,072 characters for one. Imports name only paths that do not exist, because
    it would choose `/`; and models, one that exists."""
    page = _quick(PAGE)
    for body in ("ChatBody", "ResponsesBody"):
        page["components"]["schemas"][body]["properties"]["model"] = {"enum": ["apollo"]}
    page["components"]["schemas"]["ImportBody"]["properties"]["paths"]["items"] = NOWHERE
    return page


def _quick(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_quick(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    is_long = schema.get("maxLength", 0) > LONG
    return {key: _quick(value) for key, value in schema.items() if not (is_long and key == "pattern")}


def send_requests(hub: RunningHub, label: str, mode: str, checks: tuple[str, ...]) -> None:
    """Send generated requests of one operation, then a valid message."""
    from schemathesis.checks import CHECKS
    from schemathesis.generation import GenerationMode

    method, path = label.split(" ")
    strategy = schema()[path][method].as_strategy(
        generation_mode=GenerationMode(mode), path_parameters=_there(path, hub)
    )

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def ask(case: Any) -> None:
        response = case.call(base_url=url, session=hub.session, timeout=REQUEST_SECONDS, headers=headers)
        # a lost cursor is rejected before what else is invalid in the request
        wanted = [name for name in checks if not (name == REJECTED and response.status_code == 410)]
        case.validate_response(response, checks=cast("list[Any]", CHECKS.get_by_names(wanted)))

    with at_a_port(hub.socket) if label in OWNERS else nullcontext(hub.url) as url:
        headers = {"host": "localhost"} if label in OWNERS else {}
        ask()
    assert hub.ask("POST", "/api/v2/ai/apollo/message", json={"content": "hi"}).status_code == 200


def _there(path: str, hub: RunningHub) -> dict[str, str] | None:
    """Return the id of something that exists, or the name of a budget that limits nobody."""
    if "/budgets/" in path:
        return {"name": "caller.nobody"}
    if "/keys/" in path:
        return {"name": "openai"}  # messages name models of other providers, or none
    if "/specialists/" in path:
        return {"name": "hermes"}  # not one to which the tests send messages
    if "{id}" not in path:
        return None
    if path.startswith("/v1/responses/"):
        body = {"model": "apollo", "input": "hi"}
        return {"id": str(hub.ask("POST", "/v1/responses", json=body).json()["id"])}
    if path.startswith("/v1/models/"):
        return {"id": "apollo"}
    if "/sessions/" in path:
        return {"id": str(hub.ask("POST", "/api/v2/sessions", json={"specialist_id": "apollo"}).json()["id"])}
    return {"id": "apollo" if "/ai/" in path else hub.plan_id}
