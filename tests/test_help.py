"""The nodes' help pages, as files: those in other languages, and their pictures."""

from __future__ import annotations

import re
from pathlib import Path

from scripts.write_help import pages

ROOT = Path(__file__).parents[1]


def test_pages_in_other_languages_say_what_the_nodes_say_there() -> None:
    """python -m scripts.write_help"""
    expected = pages()
    assert {path: path.read_text(encoding="utf-8") for path in (ROOT / "web" / "docs").glob("*/*.md")} == expected


def test_every_picture_is_there_and_used() -> None:
    folder = ROOT / "web" / "docs"
    named = {
        name for page in folder.rglob("*.md") for name in re.findall(r"!\[[^]]*\]\((\S+?)\)", page.read_text("utf-8"))
    }
    assert named == {path.name for path in folder.glob("*.jpg")}
