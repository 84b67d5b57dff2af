"""How every program of training begins, and how it ends if it cannot do what was asked."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def program() -> Iterator[None]:
    """Log what happens, each in a line; what the user can mend ends the program with a line, without a traceback."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        yield
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")
