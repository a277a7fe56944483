"""The table in docs/reference/answers.md: what wrapped programs answer to messages of five kinds.

`python -m tests.answers --write` writes it; `tests/e2e/test_answers.py` compares it with the real programs.
"""
