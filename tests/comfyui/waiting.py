"""What the tests wait for: something that can be seen, never for time to pass.

On a busy machine everything takes longer, and no test may fail for that. So the time after which one gives up is far
longer than anything takes, and it is the same for all of a kind.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

ANSWER_TIMEOUT = 120
"""Seconds for an answer of the server, and for whatever the page does at once: a click, a dialog, a drawing."""

RUN_TIMEOUT = 600
"""Seconds for what computes: a start of ComfyUI, a graph, a program of training."""

MILLISECONDS = 1000
"""In a second: Playwright counts in them."""

Seen = TypeVar("Seen")


def eventually(look: Callable[[], Seen]) -> Seen:
    """What `look` returns as soon as it raises no AssertionError.

    Raises:
        AssertionError: the one it still raises after `ANSWER_TIMEOUT`.
    """
    deadline = time.monotonic() + ANSWER_TIMEOUT
    while True:
        try:
            return look()
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def expect_soon(look: Callable[[], object], expected: object) -> None:
    """Assert that `look` returns what is expected, now or as soon as all is done that was begun."""

    def compare() -> None:
        seen = look()
        assert seen == expected, f"{seen} is not {expected}"

    eventually(compare)
