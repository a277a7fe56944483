"""The grammar of lines: an example of each rule of the shell's page, and properties of any text."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rhetor.domain.grammar import (
    Broadcast,
    Call,
    GrammarError,
    Group,
    Options,
    Pipeline,
    Sink,
    Stage,
    Target,
    leading_options,
    parse,
    parse_targets,
    parse_words,
)
from rhetor.domain.grammar.lists import split_list


def stages(line: str) -> list[str]:
    parsed = parse(line)
    assert isinstance(parsed, Pipeline)
    return [str(stage) for stage in parsed.stages]


def call(line: str) -> Call:
    parsed = parse(line)
    assert isinstance(parsed, Pipeline)
    (stage,) = parsed.stages
    assert isinstance(stage, Stage)
    return stage.call()


def apollo(text: str = "", **options: object) -> Call:
    return Call(Target("apollo"), text, Options(**options))  # type: ignore[arg-type]


# -- stages -----------------------------------------------------------------------------------------------


def test_a_pipeline_is_split_at_pipes_and_keeps_the_text_of_each_stage() -> None:
    parsed = parse('echo  "Design a cache" | athena | apollo -s 5')
    assert parsed == Pipeline([Stage('echo  "Design a cache"'), Stage("athena"), Stage("apollo -s 5")])


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ('echo "a | b" | apollo', ['echo "a | b"', "apollo"]),
        ("echo 'a | b' | apollo", ["echo 'a | b'", "apollo"]),
        (r"echo a \| b | apollo", [r"echo a \| b", "apollo"]),
        ("awk '{print $1}' f 2>&1 | apollo", ["awk '{print $1}' f 2>&1", "apollo"]),
        ('grep "a|b" | apollo', ['grep "a|b"', "apollo"]),
        ('grep "a\\"|b" | apollo', ['grep "a\\"|b"', "apollo"]),
        ("echo $(ls | wc -l) | apollo", ["echo $(ls | wc -l)", "apollo"]),
        ("echo `ls | wc -l` | apollo", ["echo `ls | wc -l`", "apollo"]),
        ("(cd x; ls | wc) | apollo", ["(cd x; ls | wc)", "apollo"]),
        ("{ ls | wc; } 2>&1 | apollo", ["{ ls | wc; } 2>&1", "apollo"]),
        ("for f in a b; do cat $f | wc; done | apollo", ["for f in a b; do cat $f | wc; done", "apollo"]),
        ("ls | while read f; do wc $f; done >o | x", ["ls", "while read f; do wc $f; done >o", "x"]),
        ("if true; then if a; then b; fi; fi | x", ["if true; then if a; then b; fi; fi", "x"]),
        ("case $1 in done) ls | wc;; esac | x", ["case $1 in done) ls | wc;; esac", "x"]),
        ("format x | x", ["format x", "x"]),
        ("make || echo no | apollo", ["make || echo no", "apollo"]),
        ("echo a >| f | apollo", ["echo a >| f", "apollo"]),
        ("ls > a > b | apollo", ["ls > a > b", "apollo"]),
        ("echo $( | apollo", ["echo $(", "apollo"]),
        ("sort < f|apollo", ["sort < f", "apollo"]),
    ],
)
def test_a_construct_of_the_users_shell_stays_in_one_stage(line: str, expected: list[str]) -> None:
    assert stages(line) == expected


def test_a_stage_has_its_word_and_arguments_without_quotes() -> None:
    parsed = parse("'list' type \"greek\" > f | x")
    assert isinstance(parsed, Pipeline)
    stage = parsed.stages[0]
    assert isinstance(stage, Stage)
    assert (stage.word, stage.arguments) == ("list", ["type", "greek", "f"])


def test_a_group_has_all_of_its_targets() -> None:
    group = Group([Target("apollo"), Target("code-analysis", "capability"), Target("reviewers", "team")])
    assert parse("{apollo| @code-analysis |team:reviewers} | prometheus") == Pipeline(
        [group, Stage("prometheus")]
    )


def test_files_are_at_the_start_and_at_the_end_of_a_line() -> None:
    assert parse("< in.txt apollo | athena > 'out put'") == Pipeline(
        [Stage("apollo"), Stage("athena")], "in.txt", Sink("out put")
    )
    assert parse("<in {a|b}>>out") == Pipeline([Group([Target("a"), Target("b")])], "in", Sink("out", True))


@pytest.mark.parametrize("line", ["cmd > out 2>&1", "cmd 2> out", "cmd >& 2", "cmd >out more"])
def test_other_redirections_stay_with_the_program(line: str) -> None:
    assert parse(line) == Pipeline([Stage(line)])


# -- calls ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("apollo", apollo()),
        ('apollo "why is  this slow?"', apollo("why is  this slow?")),
        ("apollo why   is this 'so  slow'?", apollo("why is this so  slow?")),
        ('apollo "say \\"hi\\" for \\$5 in C:\\dir"', apollo('say "hi" for $5 in C:\\dir')),
        (r"apollo \d+ \| it\'s C:\\", apollo("\\d+ | it's C:\\")),
        ("apollo '\\n'", apollo("\\n")),
        ("apollo 'a > b'", apollo("a > b")),
        ("apollo {x} (y) tom & jerry", apollo("{x} (y) tom & jerry")),
        ("apollo 'a && b;' \";\" $(c; d) `e;`", apollo("a && b; ; $(c; d) `e;`")),
        ("@code-analysis look", Call(Target("code-analysis", "capability"), "look")),
        ("team:reviewers look", Call(Target("reviewers", "team"), "look")),
        ("claude-code_2.1 hi", Call(Target("claude-code_2.1"), "hi")),
    ],
)
def test_a_call_has_the_text_after_its_name(line: str, expected: Call) -> None:
    assert call(line) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("-s 'hi' there", apollo("hi there", context_window=10)),
        ("--session -- hi", apollo("hi", context_window=10)),
        ("-s review hi", apollo("hi", session_id="review")),
        ("--session=review hi", apollo("hi", session_id="review")),
        ("hi -s review", apollo("hi", session_id="review")),
        ("-s review-2.b_c hi", apollo("hi", session_id="review-2.b_c")),
        ("-s what? me", apollo("what? me", context_window=10)),
        ("-s 5 hi", apollo("hi", context_window=5)),
        ("-s=0 hi", apollo("hi", context_window=0)),
        ("hi -s 5", apollo("hi", context_window=5)),
        ("-s '5' hi", apollo("5 hi", context_window=10)),
        ("--session-id abc hi", apollo("hi", session_id="abc")),
        ("hi --session-id=abc", apollo("hi", session_id="abc")),
        ("-x 'ls -l'", apollo("ls -l", execute=True)),
        ("-x='\\r\\n' ls", apollo("ls", delimiter="\r\n")),
        ("'ls' -x '\\r'", apollo("ls", delimiter="\r")),
        ("ls -x \\r", apollo("ls", delimiter="\r")),
        ("ls -x", apollo("ls", execute=True)),
        ("ls -x -s", apollo("ls", execute=True, context_window=10)),
        ("ls -x='\\0\\t\\x1b\\q'", apollo("ls", delimiter="\0\t\x1b\\q")),
        ("-d ';' ls", apollo("ls", delimiter=";")),
        ("--timeout 2.5 hi", apollo("hi", timeout=2.5)),
        ("--json --quiet --no-stream hi", apollo("hi", json=True, quiet=True, no_stream=True)),
        ("hi --usage", apollo("hi", usage=True)),
        ("-m local/llama -S 'be brief' hi", apollo("hi", model="local/llama", system="be brief")),
        ("hi --model=x/y --system z", apollo("hi", model="x/y", system="z")),
        ("-f a.txt --file 'b c' hi -f d", apollo("hi", files=["a.txt", "b c", "d"])),
        ("-C hi", apollo("hi", continues=True)),
        ("hi --continue", apollo("hi", continues=True)),
        ("--if-idle hi", apollo("hi", if_busy="refuse")),
        ("hi --interrupt --queue", apollo("hi", if_busy="queue")),
        ("hi --interrupt", apollo("hi", if_busy="interrupt")),
        ("-- what does -x in the middle mean", apollo("what does -x in the middle mean")),
        ("'what is -foo'", apollo("what is -foo")),
        ("-- -x is an option", apollo("-x is an option")),
        ("explain -- -x", apollo("explain -x")),
        ("-s box -x -- -s", apollo("-s", session_id="box", execute=True)),
        ("'-x' hi", apollo("-x hi")),
        ("hi '-x'", apollo("hi -x")),
        ("-5 + - 3", apollo("-5 + - 3")),
    ],
)
def test_options_come_before_or_after_the_text(words: str, expected: Call) -> None:
    assert call(f"apollo {words}") == expected


def test_arguments_follow_the_same_rules_without_unquoting() -> None:
    assert parse_words(["-s", "5", 'say "a  | b" > c', "-x"]) == (
        Options(context_window=5, execute=True),
        'say "a  | b" > c',
    )
    assert parse_words(["-s", "why is it slow"]) == (Options(context_window=10), "why is it slow")
    assert parse_words(["ls", "-x", "\\r"]) == (Options(delimiter="\r"), "ls")
    assert parse_words([]) == (Options(), "")


def test_leading_options_are_counted() -> None:
    assert leading_options(["--quiet", "-s", "5", "apollo", "-x"]) == (
        Options(quiet=True, context_window=5),
        3,
    )


def test_options_laid_over_others_keep_unset_ones() -> None:
    assert Options(timeout=1.0).over(Options(timeout=2.0, quiet=True)) == Options(timeout=1.0, quiet=True)


# -- broadcasts -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "targets", "text", "options"),
    [
        ('a,b,c << "hi  all"', "a,b,c", "hi  all", Options()),
        ("a, b ,c<<hi all", "a,b,c", "hi all", Options()),
        ("@code-analysis << 'x | y'", "@code-analysis", "x | y", Options()),
        ("a,team:t -s=5 << hi --quiet", "a,team:t", "hi", Options(context_window=5, quiet=True)),
    ],
)
def test_a_broadcast_has_targets_text_and_options(
    line: str, targets: str, text: str, options: Options
) -> None:
    assert parse(line) == Broadcast(parse_targets(targets), text, options)


# -- lists ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", [("", "a")]),
        ("a; b;", [("", "a"), ("", "b")]),
        ("a && b || c", [("", "a"), ("&&", "b"), ("||", "c")]),
        ("a;b&&c", [("", "a"), ("", "b"), ("&&", "c")]),
        ("a 'x; y' \";\" \\; $(c; d) `e;`", [("", "a 'x; y' \";\" \\; $(c; d) `e;`")]),
        ("(cd x; ls) | wc; {a|b}", [("", "(cd x; ls) | wc"), ("", "{a|b}")]),
        ("for f in *; do echo $f && ls; done; x", [("", "for f in *; do echo $f && ls; done"), ("", "x")]),
        ("ls | while read f; do echo; done; x", [("", "ls | while read f; do echo; done"), ("", "x")]),
        ("while a; do { if b; then c; fi; }; done", [("", "while a; do { if b; then c; fi; }; done")]),
        ("apollo what is this for; ls", [("", "apollo what is this for"), ("", "ls")]),
        ("make 2>&1 & wait", [("", "make 2>&1 & wait")]),
    ],
)
def test_a_list_is_split_where_sh_would_split_it(text: str, expected: list[tuple[str, str]]) -> None:
    lines = split_list(text)
    assert [(line.condition, line.text.strip()) for line in lines] == expected
    assert all(text[line.start :].startswith(line.text) for line in lines)


@pytest.mark.parametrize(
    ("text", "column", "says", "unfinished"),
    [
        ("; a", 1, "before ;", False),
        ("a ;; b", 4, "before ;", False),
        ("a && || b", 6, "before ||", False),
        ("a && ", 4, "after &&", True),
        ("a ||", 4, "after ||", True),
        ("a; 'b", 4, "not closed", True),
        ("a; for x in y; do z", 4, "for is not closed by done", True),
        ("if a; then b", 1, "if is not closed by fi", True),
    ],
)
def test_an_invalid_list_raises_with_its_column(text: str, column: int, says: str, unfinished: bool) -> None:
    with pytest.raises(GrammarError) as refused:
        split_list(text)
    assert (refused.value.column, refused.value.unfinished) == (column, unfinished)
    assert says in refused.value.message


# -- variables --------------------------------------------------------------------------------------------

VALUES = {"PEER": "apollo", "TWO": "a  b", "DASH": "-x", "EMPTY": "", "1": "first", "@": "first second"}


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("$PEER hi", apollo("hi")),
        ("${PEER} is$PEER '$PEER' \\$PEER", apollo("isapollo $PEER $PEER")),
        ('apollo "$TWO ${TWO}s \\$TWO"', apollo("a  b a  bs $TWO")),
        ("apollo $DASH", apollo("-x")),
        ("apollo -x=$TWO ls", apollo("ls", delimiter="a  b")),
        ("apollo $EMPTY$1 and $@", apollo("first and first second")),
        ("apollo $ 5$ $% $(ls $PEER)", apollo("$ 5$ $% $(ls $PEER)")),
    ],
)
def test_variables_are_replaced_in_a_call_but_not_in_single_quotes(line: str, expected: Call) -> None:
    parsed = parse(line)
    assert isinstance(parsed, Pipeline) and isinstance(parsed.stages[0], Stage)
    stage = parsed.stages[0].expanded(VALUES.get)
    assert (stage.call(), stage.raw) == (expected, line)


def test_variables_are_replaced_in_broadcasts_and_file_names() -> None:
    assert parse("a,b << $PEER '$PEER'", VALUES.get) == Broadcast(parse_targets("a,b"), "apollo $PEER")
    assert parse("< $PEER x $PEER > '$1'$1", VALUES.get) == Pipeline(
        [Stage("x $PEER")], "apollo", Sink("$1first")
    )


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("  apollo hi $NONE", 13, "the variable NONE is not set"),
        ('apollo "a $2"', 11, "the variable 2 is not set"),
        ("apollo ${PEER:-x}", 8, "write a variable as $NAME or ${NAME}"),
        ("apollo ${PEER", 8, "write a variable as"),
    ],
)
def test_a_variable_that_is_not_set_raises_with_its_column(line: str, column: int, says: str) -> None:
    parsed = parse(line)
    assert isinstance(parsed, Pipeline) and isinstance(parsed.stages[0], Stage)
    with pytest.raises(GrammarError) as refused:
        parsed.stages[0].expanded(VALUES.get)
    assert (refused.value.column, says in refused.value.message) == (column, True)


# -- errors -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("", 1, "is empty"),
        ("  \t", 1, "is empty"),
        ("apollo | | athena", 10, "before |"),
        ("| apollo", 1, "before |"),
        ("apollo |", 8, "after |"),
        ('apollo "hi', 8, "not closed"),
        ("apollo it's", 10, "not closed"),
        ("apollo >", 8, "needs a file name"),
        ("< ", 1, "needs a file name"),
        ("< f > g", 1, "needs at least one stage"),
        ("apollo | > g", 8, "after |"),
        ("apollo | < f x", 10, "must begin with a name"),
        ("{apollo|} | x", 1, "{peer|peer}"),
        ("x | {apollo|athena", 5, "{peer|peer}"),
        ("{a|b} hi", 7, "a group cannot have text"),
        ("a,b <<", 5, "needs a text"),
        ("a,,b << x", 1, "missing"),
        ("a,./b << x", 1, "cannot be the name"),
        ("a,b hi << x", 5, "after <<"),
        ("a,b << x | c", 10, "line of its own"),
        ("a,b --bogus << x", 5, "unknown option"),
        ("a,b << x -foo", 10, "unknown option -foo"),
        ("a,b << x; list", 9, "an unquoted ; is not text here"),
    ],
)
def test_an_invalid_line_raises_with_its_column(line: str, column: int, says: str) -> None:
    with pytest.raises(GrammarError) as refused:
        parse(line)
    assert (refused.value.column, says in refused.value.message) == (column, True)
    assert str(refused.value) == f"{refused.value.message} (column {column})"


@pytest.mark.parametrize(
    ("line", "column", "says"),
    [
        ("  apollo -foo hi", 10, "unknown option -foo"),
        ("apollo --json=1 hi", 8, "takes no value"),
        ("apollo --timeout", 8, "needs a value"),
        ("apollo --timeout nan hi", 8, "above 0"),
        ("apollo --timeout=0 hi", 8, "above 0"),
        ("apollo -s= hi", 8, "must not be empty"),
        ("apollo -x=\\x4 hi", 8, "hexadecimal"),
        ("apollo --session-id '' hi", 8, "must not be empty"),
        ("apollo is 2>1", 11, "quote it"),
        ("apollo a || b", 10, "quote it"),
        ("apollo a > b c", 10, "quote it"),
        ("apollo a && b", 10, "an unquoted && is not text here; quote it, or write each command on its own"),
        ("  apollo a; b", 11, "an unquoted ; is not text here"),
        ("apollo 'a;'b;c", 13, "an unquoted ; is not text here"),
        ("apollo hi &", 11, "an unquoted & is not text here"),
        ("apollo < file", 8, "< FILE PEER"),
        ("apollo what is -foo", 16, "unknown option -foo"),
        ("apollo hi --tiemout 3", 11, "unknown option --tiemout; did you mean --timeout?"),
        ("apollo hi --timeout soon", 11, "above 0"),
        ("apollo does --quiet help", 21, "'help' after --quiet is not an option; write -- before text that"),
        ("apollo hi -s two?", 14, "'two?' after -s is neither its value nor text; write -s=two?"),
        ("apollo ls -x a b", 14, "write -x=a"),
        ("apollo ls -x a -s", 14, "write -x=a"),
        ("apollo ls -x \\r -- more", 11, "write the delimiter as -x=\\r"),
        ("apollo -x \\r\\n ls", 8, "write the delimiter as -x=\\r\\n"),
        ("apollo -x ';' ls", 8, "write the delimiter as -x=;"),
        ("apollo -x ls -l", 14, "unknown option -l"),
        ("apollo ls -d -- x", 11, "-d needs a value"),
        ("apollo -d -- x", 8, "-d needs a value"),
        ("apollo -d -x x", 8, "-d needs a value"),
        ("apollo -m '' hi", 8, "the value of -m must not be empty"),
        ("apollo hi -f=", 11, "the value of -f must not be empty"),
        ("apollo -S --json hi", 8, "-S needs a value"),
        ("apollo --no-log hi", 8, "everything is in the log"),
        ("./apollo hi", 1, "cannot be the name"),
        ("a,b hi", 1, "cannot be the name"),
        ("@ hi", 1, "cannot be the name"),
    ],
)
def test_a_stage_that_is_not_a_call_raises_only_when_read_as_one(line: str, column: int, says: str) -> None:
    parsed = parse(line)
    assert isinstance(parsed, Pipeline) and isinstance(parsed.stages[0], Stage)
    with pytest.raises(GrammarError) as refused:
        parsed.stages[0].call()
    assert (refused.value.column, says in refused.value.message) == (column, True)


@pytest.mark.parametrize(
    ("line", "unfinished"), [('a "b', True), ("a |", True), ("a | > f", False), ("| a", False)]
)
def test_only_a_line_that_more_text_can_complete_is_unfinished(line: str, unfinished: bool) -> None:
    with pytest.raises(GrammarError) as refused:
        parse(line)
    assert refused.value.unfinished is unfinished


def test_an_invalid_option_among_arguments_raises() -> None:
    with pytest.raises(GrammarError, match="unknown option --bogus"):
        parse_words(["--quiet", "--bogus", "hi"])
    with pytest.raises(GrammarError, match="-d needs a value"):
        leading_options(["-d", "--", "box", "ls"])


def test_parsed_values_are_frozen() -> None:
    with pytest.raises(AttributeError, match="frozen"):
        Sink("f").path = "g"


# -- properties of any text ------------------------------------------------------------------------------

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}", fullmatch=True)
targets = st.builds(Target, names, st.sampled_from(["peer", "capability", "team"]))
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20) | st.text(
    "ab |<>\"'\\$`{}()-x5,", max_size=12
)
options = st.builds(
    Options,
    context_window=st.none() | st.integers(0, 10**6),
    session_id=st.none() | texts.filter(bool),
    execute=st.booleans(),
    delimiter=st.none() | texts,
    if_busy=st.sampled_from(["queue", "refuse", "interrupt"]),
    timeout=st.none() | st.floats(0, exclude_min=True, allow_infinity=False),
    json=st.booleans(),
    no_stream=st.booleans(),
    quiet=st.booleans(),
    usage=st.booleans(),
    model=st.none() | texts.filter(bool),
    system=st.none() | texts.filter(bool),
    files=st.lists(texts.filter(bool), max_size=2),
    continues=st.booleans(),
)
calls = st.builds(Call, targets, texts, options)
call_stages = calls.map(lambda made: Stage(str(made)))
groups = st.builds(Group, st.lists(targets, min_size=1, max_size=3))
sinks = st.builds(Sink, texts, st.booleans())
pipelines = st.builds(
    Pipeline, st.lists(call_stages | groups, min_size=1, max_size=4), st.none() | texts, st.none() | sinks
)
broadcasts = st.builds(Broadcast, st.lists(targets, min_size=1, max_size=3), texts.filter(bool), options)
_chars = " \t|<>\"'\\`$(){},=-;&#2"
_parts = ["<<", ">>", "||", "a", "b|c", "$(", "@cap", "team:t", "-x", "-s", "5", "--", "--timeout", "{a|b}"]
_joints = [" | ", " > f", "<< hi", "\n"]
raw_lines = st.lists(st.sampled_from([*_chars, *_parts, *_joints]), max_size=14).map("".join)


@given(calls)
def test_a_printed_call_parses_to_itself(made: Call) -> None:
    assert call(str(made)) == made


@given(pipelines | broadcasts)
def test_a_printed_line_parses_to_itself(made: Pipeline | Broadcast) -> None:
    assert parse(str(made)) == made


@given(raw_lines | st.text(max_size=30))
@example("< $(x apollo $(a | b)")
@example("a \\")
def test_any_text_is_a_line_that_round_trips_or_an_error_with_its_column(line: str) -> None:
    try:
        parsed = parse(line)
    except GrammarError as error:
        assert 1 <= error.column <= max(len(line), 1)
        return
    assert parse(str(parsed)) == parsed
    assert str(parse(str(parsed))) == str(parsed)
    for stage in parsed.stages if isinstance(parsed, Pipeline) else ():
        if isinstance(stage, Stage):
            assert stage.raw in line
            assert_is_a_call_or_raises_with_its_column(stage, line)


def assert_is_a_call_or_raises_with_its_column(stage: Stage, line: str) -> None:
    try:
        made = stage.call()
    except GrammarError as error:
        assert 1 <= error.column <= len(line)
    else:
        assert call(str(made)) == made


@given(st.lists(raw_lines | st.text(max_size=8), max_size=6))
def test_any_arguments_are_options_and_text_or_an_error(words: list[str]) -> None:
    try:
        parse_words(words)
    except GrammarError as error:
        assert 1 <= error.column <= len(" ".join(words))


@given(st.text(max_size=12))
def test_any_text_is_targets_or_an_error_with_its_column(text: str) -> None:
    try:
        parsed = parse_targets(text)
    except GrammarError as error:
        assert 1 <= error.column <= max(len(text), 1)
        return
    assert parse_targets(",".join(map(str, parsed))) == parsed


@pytest.mark.parametrize(
    "line", ["a $(" * 20_000, "a" + " -x -s" * 20_000, "a " + "`" * 20_001, "{(" * 20_000]
)
def test_a_long_line_is_parsed_in_linear_time(line: str) -> None:
    try:
        parsed = parse(line)
    except GrammarError:
        return
    assert isinstance(parsed, Pipeline) and isinstance(parsed.stages[0], Stage)
    parsed.stages[0].call()


def test_importing_the_grammar_imports_no_slow_module() -> None:
    slow = "{'re', 'typing', 'dataclasses', 'enum', 'collections', 'json'}"
    program = f"import sys, rhetor.domain.grammar; sys.exit(bool({slow} & set(sys.modules)) * 3)"
    assert (
        subprocess.run(
            [sys.executable, "-S", "-c", f"import sys; sys.path[:0] = {sys.path!r}; {program}"]
        ).returncode
        == 0
    )


@given(raw_lines | st.text(max_size=30))
@example("for a; do 'b")
def test_any_text_is_a_list_of_its_pieces_or_an_error_with_its_column(text: str) -> None:
    try:
        lines = split_list(text)
    except GrammarError as error:
        assert 1 <= error.column <= max(len(text), 1)
        return
    assert all(text[line.start :].startswith(line.text) and line.text.strip(" \t\r\n") for line in lines)
    assert sum(len(line.text) for line in lines) <= len(text)
