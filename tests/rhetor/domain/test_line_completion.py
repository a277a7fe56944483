"""What can stand at the cursor in a line that the hub runs."""

from __future__ import annotations

from rhetor.domain.line_completion import MOST, OPTIONS, Candidate, Names, complete

PEERS = [
    Candidate("apollo", "peer"),
    Candidate("athena", "peer"),
    Candidate("@code", "capability"),
    Candidate("team:all", "team"),
]
NAMES = Names(
    lambda: PEERS,
    lambda target: [Candidate(f"{target}-work", "session")],
    lambda: [Candidate("openai/gpt", "model")],
)


def found(line: str) -> tuple[str, list[str]]:
    """Complete at `^` in the line; return what is replaced, and by what."""
    at = line.index("^")
    completion = complete(line.replace("^", ""), at, NAMES)
    return line[completion.start : completion.end], [each.text for each in completion.candidates]


def test_targets_stand_at_the_beginning_of_a_stage() -> None:
    everybody = [each.text for each in PEERS]
    for line in ("^", 'apollo "hi" | ^', "apollo hi |^", "{^", "{apollo|^"):
        assert (line, found(line)) == (line, ("", everybody))
    assert found("a^") == ("a", ["apollo", "athena"])
    assert found("AP^") == ("AP", ["apollo"])
    assert found("apollo x | @c^") == ("@c", ["@code"])
    assert found("{apollo|ath^}") == ("ath", ["athena"])


def test_targets_stand_in_a_list_of_names() -> None:
    assert found("apollo,at^") == ("at", ["athena"])
    assert found("apollo, at^") == ("at", ["athena"])
    assert found("apollo,^ << hi") == ("", [each.text for each in PEERS])


def test_sessions_stand_after_their_options() -> None:
    assert found("apollo -s ^")[1][0] == "apollo-work"
    assert found("apollo --session-id=ap^") == ("ap", ["apollo-work"])
    assert found("apollo hi -s=^") == ("", ["apollo-work"])
    assert found("-s ^")[1][:1] != ["-s-work"]


def test_models_stand_after_their_options() -> None:
    assert found("apollo -m op^") == ("op", ["openai/gpt"])
    assert found("apollo --model=^") == ("", ["openai/gpt"])


def test_options_and_operators_stand_after_a_message() -> None:
    assert found("apollo hi ^") == ("", ["|", *OPTIONS])
    assert found("apollo hi --i^") == ("--i", ["--if-idle", "--interrupt", "--if-offline"])
    assert found("apollo --queue hi --q^") == ("--q", [])
    assert found("apollo,athena ^")[1][:2] == ["|", "<<"]
    assert "|" not in found("apollo,athena << hi ^")[1]
    assert found("apollo -- ^") == ("", [])


def test_nothing_stands_within_a_message() -> None:
    for line in ('apollo "ap^', "apollo 'hi ^", "apollo hello^"):
        assert (line, found(line)[1]) == (line, [])


def test_at_most_fifty_are_offered() -> None:
    many = Names(lambda: [Candidate(f"p{n}", "peer") for n in range(100)], lambda _: [], list)
    assert len(complete("p", 1, many).candidates) == MOST
