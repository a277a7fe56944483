"""The questions of a permission request, and their answers as they are typed: `QUESTION=LABEL[,LABEL…]`."""

from aish import exits
from aish.exits import Failure
from aish.render import one_line, revealed

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Question = dict[str, Any]
    Answers = dict[str, list[str] | str]


def parse_answers(questions: "list[Question]", given: "list[str]") -> "Answers":
    """Return the answers by the ids of their questions.

    A question is named by its id, header, text or number. Case is ignored.

    Raises:
        Failure: there is no such question or label, or a question has no answer.
    """
    answers: Answers = {}
    for text in given:
        question, value = _question_and_value(questions, text)
        labels = _labels(question, value)
        earlier = answers.get(question["id"], [])
        if isinstance(labels, str) and earlier:
            raise Failure(f"{question['id']!r} is answered twice", exits.USAGE)
        answers[question["id"]] = labels if isinstance(labels, str) else [*earlier, *labels]
    if missing := [question for question in questions if question["id"] not in answers]:
        raise Failure(f"no answer to: {describe_question(missing[0])}", exits.USAGE)
    return answers


def describe_question(question: "Question") -> str:
    """Return the question with its labels, on one line: `Which colour? (Red, Blue)`."""
    labels = ", ".join(option["label"] for option in question["options"])
    several = "; one or more" if question["multi_select"] else ""
    return one_line(revealed(f"{question['question']} {f'({labels}{several})' if labels else ''}".strip()))


def usage_of(request: "dict[str, Any]", id: str) -> str:
    """Return the command that answers the questions of a request."""
    names = [question["id"] for question in request["questions"]]
    return one_line(f"aish approve {id} " + " ".join(f"--answer '{name}=…'" for name in names))


def describe_answers(answers: "Answers") -> str:
    shown = ((id, one if isinstance(one, str) else ", ".join(one)) for id, one in answers.items())
    return one_line(" · ".join(f"{id}={one}" for id, one in shown))


def _question_and_value(questions: "list[Question]", text: str) -> "tuple[Question, str]":
    at = text.rfind("=")
    while at >= 0:  # a name and a label may contain `=`
        if question := _named(questions, text[:at]):
            return question, text[at + 1 :]
        at = text.rfind("=", 0, at)
    known = ", ".join(question["id"] for question in questions)
    raise Failure(f"--answer needs QUESTION=LABEL, not {text!r}; the questions are: {known}", exits.USAGE)


def _named(questions: "list[Question]", name: str) -> "Question | None":
    plain = name.strip().casefold()
    for member in ("id", "header", "question"):
        same = [q for q in questions if q[member].strip().casefold() == plain]
        if len(same) == 1:
            return same[0]
    return questions[int(plain) - 1] if plain.isdecimal() and 0 < int(plain) <= len(questions) else None


def _labels(question: "Question", value: str) -> "list[str] | str":
    labels = [option["label"] for option in question["options"]]
    if not labels:
        return value
    found = _split(value.strip(), labels)
    if not found:
        offered = ", ".join(labels)
        raise Failure(f"{value!r} does not answer {question['id']!r}; choose from: {offered}", exits.USAGE)
    return found


def _split(value: str, labels: "list[str]") -> "list[str]":
    """Return the labels that a text names, separated by commas; empty if it names another one. Labels may
    contain commas."""
    for label in sorted(labels, key=len, reverse=True):
        if not value.casefold().startswith(label.casefold()):
            continue
        rest = value[len(label) :].lstrip()
        if not rest:
            return [label]
        if rest[0] == "," and (others := _split(rest[1:].lstrip(), labels)):
            return [label, *others]
    return []
