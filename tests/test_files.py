"""Text in UTF-8 whatever the system's encoding is, and files that are there whole or not at all."""

from __future__ import annotations

import ast
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from wrb.files import (
    accept_any_text,
    read_text,
    remove_partial_files,
    replacing,
    require_writable,
    text_of,
    write_tensors,
    write_text,
)

ROOT = Path(__file__).parents[1]
NAMES = "Zürich\n山の湖\n"

ASCII_SYSTEM = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
"""Has Python read and write text and names in ASCII, which is stricter than a Windows code page."""

not_on_windows = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are in UTF-8 always")


def in_ascii(program: str, *arguments: str | Path) -> str:
    """What a Python program prints, in a process whose system's encoding is ASCII."""
    command = [sys.executable, "-c", program, *arguments]
    environment = os.environ | ASCII_SYSTEM | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, env=environment, capture_output=True, encoding="utf-8", check=False)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be"])
def test_text_is_read_with_or_without_a_mark(encoding: str, tmp_path: Path) -> None:
    mark = b"\xfe\xff" if encoding == "utf-16-be" else b""
    (tmp_path / "list.txt").write_bytes(mark + NAMES.encode(encoding))
    assert read_text(tmp_path / "list.txt") == NAMES


def test_text_is_written_in_utf_8_without_a_mark_on_every_system(tmp_path: Path) -> None:
    write_text(tmp_path / "here.txt", NAMES)
    assert (tmp_path / "here.txt").read_bytes() == NAMES.encode()
    program = "import sys; from pathlib import Path; from wrb.files import *; path = Path(sys.argv[1]);"
    in_ascii(f"{program} write_text(path, {NAMES!a}); assert read_text(path) == {NAMES!a}", tmp_path / "there.txt")
    assert (tmp_path / "there.txt").read_bytes() == NAMES.encode()


@not_on_windows
def test_names_of_files_are_the_same_text_on_every_system(tmp_path: Path) -> None:
    (tmp_path / "山の湖.png").touch()
    unreadable = os.fsdecode(b"Z\xfcrich.png")  # as another system's encoding wrote it
    (tmp_path / unreadable).touch()
    listed = "".join(f"{text_of(path)}\n" for path in sorted(tmp_path.iterdir()))
    write_text(tmp_path / "list.txt", listed)
    assert read_text(tmp_path / "list.txt") == listed
    program = "import sys; from pathlib import Path; from wrb.files import *; path = Path(sys.argv[1]);"
    program += "assert read_text(path / 'list.txt') == ''.join(f'{text_of(p)}\\n' for p in sorted(path.glob('*.png')))"
    in_ascii(program, tmp_path)


def test_a_text_that_cannot_be_written_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "list.txt"
    write_text(path, "before")

    def full_disk(*arguments: object) -> None:
        raise OSError("no space")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="no space"):
        write_text(path, "after")
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, b"before")]
    with pytest.raises(ValueError), replacing(path) as partial:
        partial.write_bytes(b"half")
        raise ValueError
    assert [(file, file.read_bytes()) for file in tmp_path.iterdir()] == [(path, b"before")]


def test_what_a_killed_process_left_is_removed_and_nothing_else(tmp_path: Path) -> None:
    program = """if True:
        import os, sys
        from pathlib import Path
        from wrb.files import replacing
        with replacing(Path(sys.argv[1])) as partial:
            print(partial.name, flush=True)
            sys.stdin.readline()
            os._exit(0)  # as if killed
    """
    command = [sys.executable, "-c", program, tmp_path / "panorama.png"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, env=environment, encoding="utf-8", **pipes) as process:
        assert process.stdin and process.stdout
        partial = tmp_path / process.stdout.readline().rstrip("\n")
        on_another_machine = partial.name.replace(partial.name.split(".")[2].split("-")[0], "0" * 8)
        others = [".mine.png", ".mine.partial.png", "photo.1.partial.png", on_another_machine]
        for name in others:
            (tmp_path / name).touch()
        require_writable(tmp_path / "next.png")
        assert {path.name for path in tmp_path.iterdir()} == {*others, partial.name}, "it is still written"
        process.communicate("\n")
    require_writable(tmp_path / "next.png")
    assert {path.name for path in tmp_path.iterdir()} == set(others)
    remove_partial_files(tmp_path)  # of a folder of its own
    assert {path.name for path in tmp_path.iterdir()} == {".mine.png", "photo.1.partial.png"}


def test_a_full_disk_leaves_the_tensors_before_and_is_an_error_of_the_system(tmp_path: Path) -> None:
    resource = pytest.importorskip("resource", reason="there are no limits there")
    path = tmp_path / "ours.safetensors"
    write_tensors(path, {"a": torch.zeros(10)})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"ours\.safetensors cannot be written .*make room"):
            write_tensors(path, {"a": torch.zeros(10_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_stream_shows_in_another_way_what_its_encoding_lacks() -> None:
    written = io.BytesIO()
    stream = io.TextIOWrapper(written, "cp1252")
    accept_any_text(stream)
    stream.write("Zürich 湖 ↓")
    stream.flush()
    assert written.getvalue() == b"Z\xfcrich \\u6e56 \\u2193"
    accept_any_text(io.StringIO())  # takes all as it is


def test_all_text_of_the_project_goes_through_an_encoding() -> None:
    """What ruff's PLW1514 looks for, which finds few of them: it does not follow a path through attributes and `/`."""
    sources = [
        ROOT / "nodes.py",
        *(path for name in ("wrb", "training", "scripts") for path in (ROOT / name).rglob("*.py")),
    ]
    faults = []
    for source in sources:
        for call in ast.walk(ast.parse(source.read_bytes())):
            if isinstance(call, ast.Call) and _depends_on_the_system(call):
                faults.append(f"{source.relative_to(ROOT)}:{call.lineno}: {ast.unparse(call)}")
    assert not faults, "take wrb.files, or name the encoding"


def _depends_on_the_system(call: ast.Call) -> bool:
    name = ast.unparse(call.func)
    keywords = {keyword.arg for keyword in call.keywords}
    if name in ("read_text", "write_text") or name.split(".")[0] in ("Image", "tarfile", "zipfile"):
        return False  # those of wrb.files, and readers of bytes
    if name.rpartition(".")[2] in ("read_text", "write_text"):
        return "encoding" not in keywords
    if name.rpartition(".")[2] == "open":
        modes = [argument.value for argument in call.args if isinstance(argument, ast.Constant)]
        return "encoding" not in keywords and not any("b" in str(mode) for mode in modes)
    return bool({"text", "universal_newlines"} & keywords) and "encoding" not in keywords
