"""Requests generated from the OpenAPI page, of callers with no token, an invalid one, one that may only read,
and one of somebody else: each gets a documented refusal, and nobody sees what belongs to the owner."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
import requests
from hypothesis import HealthCheck, Phase, given, settings
from tests.hostile.running import RunningHub
from tests.hostile.test_description import MET, OPERATIONS, OWNERS, PAGE, REQUEST_SECONDS, _there, schema
from tests.scale import sampled, scaled

from rhetor.auth.policy import Policy
from rhetor.domain.principal import READ, SEND
from rhetor.transports.compatible.table import ROUTES as COMPATIBLE
from rhetor.transports.rest.table import ROUTES

pytestmark = pytest.mark.long

EXAMPLES = scaled(20, 2)
CANARY = "OWNERS-ONLY-CANARY"
CHALLENGE = "Bearer"
POLICIES = {f"{row.method} {row.path}": row.policy for row in (*ROUTES, *COMPATIBLE)}
PUBLIC = {label for label, policy in POLICIES.items() if policy is Policy.PUBLIC}
FORGED = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJtZSIsInNjb3BlIjoiYWRtaW4ifQ."
Callers = dict[str, requests.Session]


@pytest.fixture(scope="module")
def callers(hub: RunningHub) -> Iterator[Callers]:
    """Sessions of clients by what they send. The owner has told the hub things that nobody else may see."""
    _fill(hub)
    tokens = {
        "nothing": None,
        "an invalid token": f"Bearer {'0' * 64}",
        "a forged token": f"Bearer {FORGED}",
        "a read-only token": f"Bearer {_issued(hub, 'reader', READ)}",
        "another principal's token": f"Bearer {_issued(hub, 'guest', READ, SEND)}",
    }
    made = {name: requests.Session() for name in tokens}
    for name, token in tokens.items():
        made[name].trust_env = False
        if token is not None:
            made[name].headers["authorization"] = token
    yield made
    for each in made.values():
        each.close()


def _issued(hub: RunningHub, subject: str, *scopes: str) -> str:
    body = {"subject": subject, "scopes": scopes, "ttl": 86_400}
    answer = hub.ask("POST", "/api/auth/token", json=body)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["access_token"])


def _fill(hub: RunningHub) -> None:
    """Have the owner's things contain the canary, wherever it can be."""
    made = hub.ask("POST", "/api/v2/sessions", json={"specialist_id": "apollo", "name": f"{CANARY}-s"})
    session = made.json()["id"]
    plan = {"line": f"apollo {CANARY}"}
    route = {"name": CANARY.lower(), "hops": [{"ai": "apollo", "purpose": CANARY}]}
    for method, path, body in (
        ("POST", f"/api/v2/sessions/{session}/message", {"message": f"tell {CANARY}"}),
        ("POST", f"/api/v2/sessions/{session}/checkpoint", {"name": f"{CANARY}-c"}),
        ("POST", "/api/v2/plans", plan),
        ("PUT", f"/api/v2/terminals/{CANARY.lower()}", {}),
        ("POST", "/api/v2/routes", route),
        ("PUT", "/api/v2/purposes/athena", {"text": CANARY}),
        ("PUT", "/api/v2/forwards/athena", {"to": CANARY.lower()}),
        ("POST", "/api/v2/context/apollo/stage", {"text": CANARY}),
        ("POST", "/api/ai/socket/create", {"ai_name": "apollo", "prompt": CANARY, "context": {"x": CANARY}}),
    ):
        answer = hub.ask(method, path, json=body)
        assert answer.status_code < 300, (path, answer.text)


@pytest.mark.parametrize("label", sampled(OPERATIONS, 4))
def test_other_callers_get_documented_refusals_and_see_nothing(
    hub: RunningHub, callers: Callers, label: str
) -> None:
    from schemathesis.checks import CHECKS

    method, path = label.split(" ")
    strategy = schema()[path][method].as_strategy(path_parameters=_there(path, hub))
    kept = dict.fromkeys(("/api/v2/wait",))  # waits as long as it is told

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
        for name, session in callers.items():
            response = case.call(base_url=hub.url, session=session, timeout=REQUEST_SECONDS)
            case.validate_response(response, checks=cast("list[Any]", CHECKS.get_by_names(list(MET))))
            _check(label, name, response)

    if path not in kept:
        ask()
    assert hub.ask("GET", "/readyz").status_code == 200


def _check(label: str, caller: str, response: Any) -> None:
    """Check that a caller got what its credential allows, and nothing of the owner."""
    said = (label, caller, response.status_code, response.text[:500])
    assert CANARY not in response.text and CANARY.lower() not in response.text, said
    policy = POLICIES[label]
    if label in PUBLIC:
        return
    if caller in ("nothing", "an invalid token", "a forged token"):
        assert response.status_code == 401, said
        assert response.headers["www-authenticate"][0].startswith(CHALLENGE), said
    elif policy is Policy.OWNER or policy not in (Policy.READ, Policy.PERSON, *_allowed(caller)):
        assert response.status_code == 403, said
    else:
        assert response.status_code != 401, said


def _allowed(caller: str) -> tuple[Policy, ...]:
    return (Policy.SEND,) if caller == "another principal's token" else ()


def test_the_callers_differ_only_in_their_credentials(hub: RunningHub, callers: Callers) -> None:
    """The owner sees what the others must not, so its absence elsewhere means something."""
    assert CANARY in hub.ask("GET", "/api/v2/sessions").text
    assert CANARY in hub.ask("GET", "/api/v2/history").text
    assert CANARY in hub.ask("GET", f"/api/v2/search?q={CANARY}").text
    assert CANARY.lower() in hub.ask("GET", "/api/v2/routes").text
    assert OWNERS and PAGE["paths"]
    for name in ("a read-only token", "another principal's token"):
        own = callers[name].get(f"{hub.url}/api/v2/sessions", timeout=10).json()["sessions"]
        assert {session["owner"] for session in own} <= {"reader", "guest"}
