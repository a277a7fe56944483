"""Metrics in the text format of Prometheus."""

from __future__ import annotations

from prometheus_client.parser import text_string_to_metric_families

from rhetor.codec.exposition import counter, exposition, gauge, histogram, labelled

NAME = 'a "quoted" name\\with\nlines'


def _parsed(text: bytes) -> list[tuple[str, str, str, list[tuple[str, dict[str, str], float]]]]:
    return [
        (
            family.name,
            family.type,
            family.documentation,
            [(s.name, s.labels, s.value) for s in family.samples],
        )
        for family in text_string_to_metric_families(text.decode())
    ]


def test_the_parser_of_prometheus_accepts_the_output() -> None:
    families = [
        counter("a_total", "Help with \\ and\nlines.", 3),
        gauge("b_seconds", "B.", 0.25),
        labelled("c", "gauge", "C.", [({"api": "ws.ai", "code": NAME}, 2), ({"api": "sse"}, 0)]),
        labelled("nothing", "gauge", "None of them.", []),
        histogram("d_seconds", "D.", (0.001, 2.0), (4, 0, 1), 7.5),
    ]
    assert _parsed(exposition(families)) == [
        ("a", "counter", "Help with \\ and\nlines.", [("a_total", {}, 3.0)]),
        ("b_seconds", "gauge", "B.", [("b_seconds", {}, 0.25)]),
        ("c", "gauge", "C.", [("c", {"api": "ws.ai", "code": NAME}, 2.0), ("c", {"api": "sse"}, 0.0)]),
        ("nothing", "gauge", "None of them.", []),
        (
            "d_seconds",
            "histogram",
            "D.",
            [
                ("d_seconds_bucket", {"le": "0.001"}, 4.0),
                ("d_seconds_bucket", {"le": "2"}, 4.0),
                ("d_seconds_bucket", {"le": "+Inf"}, 5.0),
                ("d_seconds_sum", {}, 7.5),
                ("d_seconds_count", {}, 5.0),
            ],
        ),
    ]
