"""Which settings the tests protect: each is doubled and halved in a copy of the tree, and the tests are run there.

    python -m scripts.mutate_settings --out docs/mutations.md

For every change the table says how far it changes the sample photos' gaps, whether the pinned picture notices, and
which other test does first. Exits with 1 if a change of the picture goes unnoticed. Takes some 20 minutes on two cores.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm import tqdm

from scripts.pin_gaps import ROOT, are_pinned, gaps_of, make_panoramas
from wrb.detail import DetailSettings
from wrb.files import accept_any_text, read_text, write_text

SETTINGS = "wrb/detail/settings.py"

CONSTANTS = {
    "wrb/poisson.py": ("ANISOTROPY", "NEGLIGIBLE_EXPONENT", "CHUNK_COLUMNS", "MOST_MATRIX_FREQUENCIES"),
    "wrb/painter.py": ("FRINGE", "REDRAW_MARGIN"),
    "wrb/detail/cross_dissolve.py": ("NEGLIGIBLE_WEIGHT",),
    "wrb/detail/low_frequencies.py": ("NUM_OCTAVES",),
    "wrb/detail/high_frequencies.py": ("BAND_PIXELS",),
    "wrb/detail/sharpening.py": (
        *("TEXTURE_WEIGHT", "TEXTURE_WINDOW", "MOST_GAIN", "SOFTNESS"),
        *("COARSEST_DETAIL", "RESOLUTION_STEP"),
    ),
    "wrb/crop.py": ("OVERLAP",),
    "wrb/geometry.py": ("NARROWEST_GAP", "WIDEST_GAP"),
    "wrb/restore.py": ("DISTORTION",),
}
"""Numbers that are no settings of the detail, beside their users."""

TESTS = (
    "tests/detail",
    *(f"tests/test_{name}.py" for name in ("painter", "poisson", "geometry", "blend", "restore", "crop")),
)

PINS = ("-k", "not pin")
"""Leaves out the tests that compare with the pinned picture."""

ROUNDING = 0.04
"""Mean change of the gaps in levels of 8 bits that noise in the last digits can make: less is no change."""

COPIED = ("wrb", "tests", "scripts", "samples", "benchmarks", "training", "pyproject.toml")

WORKERS = 2


@dataclass(frozen=True)
class Mutation:
    """One number of the source, changed."""

    file: str
    name: str
    before: str
    after: str

    written: str
    """What then stands in the source."""

    def apply(self, tree: Path) -> None:
        """Change it in a copy of the tree.

        Raises:
            ValueError: if it does not stand there once.
        """
        path = tree / self.file
        text, count = re.subn(_pattern(self.name), lambda found: found[1] + self.written, read_text(path))
        if count != 1:
            raise ValueError(f"{self.file} has {count} lines that set {self.name}; expected is one")
        write_text(path, text)


@dataclass(frozen=True)
class Outcome:
    """What a mutation changes, and who notices."""

    mutation: Mutation
    difference: float | None
    """Mean of the gaps, in levels of 8 bits; None if there is no picture, as the value is refused."""
    share: float
    """Of the gaps' pixels, those that change by more than 16 levels."""
    pinned: bool
    """Whether the pinned picture notices."""
    test: str | None
    """Which other test notices first."""

    @property
    def survives(self) -> bool:
        """Whether it changes the picture, and no test notices."""
        return not self.pinned and self.test is None and (self.difference is None or self.difference > ROUNDING)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="of settings and constants (default: all)")
    parser.add_argument("--out", type=Path, help="a Markdown file for the table (default: it is printed)")
    parser.add_argument("--picture", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.picture:  # in a mutated tree
        save_file({"gaps": gaps_of(make_panoramas())}, options.picture)
        return 0
    mutations = [mutation for mutation in find_mutations() if not options.names or mutation.name in options.names]
    truth = gaps_of(make_panoramas())
    outcomes = list(run(mutations, truth))
    table = to_markdown(outcomes)
    if options.out:
        write_text(options.out, table)
    else:
        accept_any_text(sys.stdout)
        sys.stdout.write(table)
    return int(any(outcome.survives for outcome in outcomes))


def find_mutations() -> Iterator[Mutation]:
    """Half and twice of every number; of the pyramid, each level left out."""
    settings = DetailSettings()
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        before = _read(SETTINGS, field.name)
        if isinstance(value, tuple):
            levels = re.findall(r"PyramidLevel\([^)]*\)", before)
            for level in levels:
                rest = ", ".join(other for other in levels if other != level)
                yield Mutation(SETTINGS, field.name, level, "left out", f"({rest},)")
        else:
            yield from _half_and_twice(SETTINGS, field.name, before, value)
    for file, names in CONSTANTS.items():
        for name in names:
            before = _read(file, name)
            yield from _half_and_twice(file, name, before, eval(before, {}))


def _half_and_twice(file: str, name: str, before: str, value: float) -> Iterator[Mutation]:
    for changed in (value / 2, value * 2):
        written = repr(int(changed) if isinstance(value, int) else changed)
        yield Mutation(file, name, before, written, written)


def _pattern(name: str) -> str:
    return rf"(?m)^((?:    )?{name}(?:: [^=]+)? = )(\S.*)$"


def _read(file: str, name: str) -> str:
    found = re.search(_pattern(name), read_text(ROOT / file))
    if not found:
        raise ValueError(f"{file} does not set {name}")
    return found[2]


def run(mutations: list[Mutation], truth: Tensor) -> Iterator[Outcome]:
    """Try each, several at a time, in copies of the tree."""
    with tempfile.TemporaryDirectory() as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        for number in range(WORKERS):
            tree = Path(folder) / str(number)
            tree.mkdir()
            for name in COPIED:
                copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy
                copy(ROOT / name, tree / name)
            trees.put(tree)

        def attempt(mutation: Mutation) -> Outcome:
            tree = trees.get()
            unchanged = (tree / mutation.file).read_bytes()
            try:
                return try_mutation(mutation, tree, truth)
            finally:
                (tree / mutation.file).write_bytes(unchanged)
                trees.put(tree)

        with ThreadPoolExecutor(WORKERS) as pool_of_workers:
            yield from tqdm(pool_of_workers.map(attempt, mutations), total=len(mutations), unit="mutation")


def try_mutation(mutation: Mutation, tree: Path, truth: Tensor) -> Outcome:
    """Draw the gaps and run the tests in a copy of the tree, with one number changed."""
    mutation.apply(tree)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1"}

    def python(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tree, env=environment, capture_output=True, encoding="utf-8")

    picture = tree / "gaps.safetensors"
    difference, share, noticed = None, 1.0, True
    if python("-m", "scripts.mutate_settings", "--picture", str(picture)).returncode == 0:
        gaps = load_file(picture)["gaps"]
        change = (gaps - truth).abs() * 255
        difference, share = change.mean().item(), (change.amax(1) > 16).float().mean().item()
        noticed = not are_pinned(gaps)
    outcome = python(*("-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not slow", *PINS, *TESTS))
    tested = outcome.stdout + outcome.stderr
    # a number that is refused wherever the package is imported stops before any test
    failing = r"^(?:FAILED |ERROR |ImportError while loading conftest '.*(?=tests/))([^\s']+)"
    failed = re.search(failing, tested, re.MULTILINE)
    if failed is None and not re.search(r"^\d+ passed", tested, re.MULTILINE):
        raise RuntimeError(f"the tests did not run with {mutation.name} = {mutation.after}:\n{tested[-2000:]}")
    return Outcome(mutation, difference, share, noticed, failed[1] if failed else None)


HEADER = """\
# Which numbers the tests protect

Made by `python -m scripts.mutate_settings --out docs/mutations.md`: every number that the picture could depend on is
halved and doubled in a copy of the tree. *Gaps change by* is the mean over the gaps of three pairs of sample photos at
256 px, in levels of 8 bits; *another test* is the first one that notices beside those that compare with the pinned
picture. Where neither notices, the picture must not change: that holds for sizes of chunks and thresholds of rounding.
`max_guidance_cutoff` and `min_photo_cells` do not bind on these photos, on none of them rows move, and no gap of theirs
runs down.
"""


def to_markdown(outcomes: list[Outcome]) -> str:
    """The table, in the order of the source."""
    rows = [
        HEADER,
        "| file | number | change | gaps change by (levels) | of it more than 16 | pinned picture | another test |",
        "|:--|:--|:--|--:|--:|:--|:--|",
    ]
    for outcome in outcomes:
        mutation = outcome.mutation
        refused = outcome.difference is None
        picture = "refused" if refused else f"{outcome.difference:.2f}"
        share = "–" if refused else f"{100 * outcome.share:.1f} %"
        pinned = "–" if refused else "notices" if outcome.pinned else "does not"
        test = outcome.test.split("::")[-1] if outcome.test else ("**none**" if outcome.survives else "none")
        change = f"{mutation.before} → {mutation.after}"
        rows.append(f"| {mutation.file} | `{mutation.name}` | {change} | {picture} | {share} | {pinned} | {test} |")
    return "\n".join(rows) + "\n"


if __name__ == "__main__":
    sys.exit(main())
