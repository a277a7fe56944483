"""Questions that a permission request asks, and their answers.

An answer is a list of labels, or a text of a person's own. Answers are kept by the question's id.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec import Struct

from rhetor.errors import Unprocessable

ANSWER = "answer"  # the id of the option that stands for answering the questions
HIDDEN = "(hidden)"  # shown instead of the answer to a secret question
_LISTED_CHARACTERS = 300  # of the valid names in an error

Answers = dict[str, list[str] | str]


class Choice(Struct, frozen=True, gc=False):
    """One answer that a question offers."""

    label: str
    description: str = ""


class Question(Struct, frozen=True, gc=False):
    """A question. `id` is unique in its request; `header` is a short name. Without `options`, the answer is a
    text. `multi_select`: several options may be chosen. `secret`: the answer is not logged."""

    id: str
    header: str
    question: str
    options: tuple[Choice, ...] = ()
    multi_select: bool = False
    secret: bool = False


def with_ids(questions: Sequence[Question]) -> tuple[Question, ...]:
    """Return the questions of an agent that gives them no ids. The id is the header, or the number if several
    have the same header."""
    headers = [question.header.strip() for question in questions]
    if not all(headers) or len(set(headers)) < len(headers):
        headers = [str(number) for number in range(1, len(headers) + 1)]
    return tuple(
        Question(id, q.header, q.question, q.options, q.multi_select, q.secret)
        for id, q in zip(headers, questions, strict=True)
    )


def checked(questions: Sequence[Question], given: Mapping[str, Sequence[str] | str]) -> Answers:
    """Return the answers by the questions' ids, with the labels as the questions spell them.

    A question may be named by its id, its header, its text or its number. Case is ignored.

    Raises:
        Unprocessable: a name or a label does not exist, or a question has no answer, or too many.
    """
    found: Answers = {}
    for name, answer in given.items():
        question = named(questions, name)
        if question.id in found:
            raise Unprocessable(f"{question.id[:100]!r} is answered twice")
        found[question.id] = _answer(question, answer)
    missing = [question.id for question in questions if question.id not in found]
    if missing:
        raise Unprocessable(f"no answer to {', '.join(missing)[:200]}", unanswered=missing)
    return found


def named(questions: Sequence[Question], name: str) -> Question:
    """Return the question with this name.

    Raises:
        Unprocessable: there is none, or there are several.
    """
    plain = name.strip().casefold()
    for names in (_ids, _headers, _texts, _numbers):
        same = [q for n, q in enumerate(questions, 1) if names(n, q).strip().casefold() == plain]
        if len(same) == 1:
            return same[0]
    ids = [question.id for question in questions]
    detail = f"the request has no question {name[:100]!r}; its questions are: {_listed(ids)}"
    raise Unprocessable(detail, questions=ids)


def shown(questions: Sequence[Question], answers: Answers) -> Answers:
    """Return the answers as they are logged."""
    secret = {question.id for question in questions if question.secret}
    return {id: HIDDEN if id in secret else answer for id, answer in answers.items()}


def _answer(question: Question, given: Sequence[str] | str) -> list[str] | str:
    if isinstance(given, str):
        if not given.strip():
            raise Unprocessable(f"the answer to {question.id[:100]!r} is empty")
        label = _label(question, given)
        return given if label is None else [label]
    if not question.options:
        return _answer(question, "\n".join(given))
    labels = [_label(question, each) for each in given]
    if unknown := [each for each, label in zip(given, labels, strict=True) if label is None]:
        offered = [choice.label for choice in question.options]
        detail = f"{question.id[:100]!r} has no option {unknown[0][:100]!r}; choose from: {_listed(offered)}"
        raise Unprocessable(detail, options=offered)
    chosen = list(dict.fromkeys(label for label in labels if label is not None))
    if not chosen:
        raise Unprocessable(f"the answer to {question.id[:100]!r} is empty")
    if len(chosen) > 1 and not question.multi_select:
        raise Unprocessable(f"{question.id[:100]!r} takes one answer, not {len(chosen)}")
    return chosen


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names)[:_LISTED_CHARACTERS]


def _label(question: Question, text: str) -> str | None:
    plain = text.strip()
    labels = [choice.label for choice in question.options]
    if plain in labels:
        return plain
    same = [label for label in labels if label.strip().casefold() == plain.casefold()]
    return same[0] if len(same) == 1 else None


def _ids(number: int, question: Question) -> str:
    return question.id


def _headers(number: int, question: Question) -> str:
    return question.header


def _texts(number: int, question: Question) -> str:
    return question.question


def _numbers(number: int, question: Question) -> str:
    return str(number)
