"""Writing a file so that a reader sees all of it or none; text in UTF-8, whatever the system's own encoding is."""

from __future__ import annotations

import codecs
import ctypes
import hashlib
import io
import mmap
import os
import platform
import re
import shutil
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path, PurePath
from typing import TextIO

import torch
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

ANY_BYTES = "surrogateescape"
"""How bytes that are no UTF-8, which a file's name may hold, come through reading and writing as they are."""

NAME_BYTES = 255
"""What a file's name may take on usual file systems: three bytes for each Japanese letter."""

MAY_WAIT_FOR, NO_SUCH_PROCESS, HAS_ENDED = 0x100000, 87, 0
"""Windows' SYNCHRONIZE, ERROR_INVALID_PARAMETER and WAIT_OBJECT_0."""


def file_name(stem: str, ending: str) -> str:
    """The name of a file; of one too long for file systems, a part of the stem and a hash of the whole."""
    encoded, room = stem.encode("utf-8", ANY_BYTES), NAME_BYTES - len(ending.encode("utf-8", ANY_BYTES))
    if len(encoded) <= room:
        return stem + ending
    mark = f"~{hashlib.sha256(encoded).hexdigest()[:10]}"
    return encoded[: room - len(mark)].decode("utf-8", "ignore") + mark + ending


def require_writable(path: Path) -> None:
    """Make the folder that a file is to be in, and check that the file can be written there.

    What killed processes have left half written in that folder is removed.

    Raises:
        OSError: if not: among others if it is a folder, or its name is too long.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partial_files(path.parent, shared=True)
    with suppress(FileNotFoundError):
        path.lstat()
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file")
    partial = _partial(path)
    partial.touch()
    partial.unlink()


def _partial(path: Path) -> Path:
    return path.with_name(file_name(f".{path.stem}", f".{_machine()}-{os.getpid()}.partial{path.suffix}"))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Gives a path beside `path`, of the same extension, to write to; it becomes `path` once the block has succeeded.

    Raises:
        OSError: if no file can be made there.
    """
    partial = _partial(path)
    partial.touch()
    usual_mode = partial.stat().st_mode  # safetensors writes files that nobody but the owner can read
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())  # else a power cut could leave the name without the contents
        partial.chmod(usual_mode)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def mapped_numbers(count: int, folder: Path) -> Iterator[tuple[Tensor, Callable[[], None]]]:
    """Gives that many numbers of float32, (count), that lie in a nameless file in `folder` rather than in memory.

    Beside them it gives a function to call now and then: it hands the memory back that they take meanwhile, where the
    system can do so.

    Raises:
        OSError: if the file cannot be made, or the disk has too little room.
    """
    size = count * torch.float32.itemsize
    if (free := shutil.disk_usage(folder).free) < size:
        raise OSError(f"{folder} has {free / 1e9:.1f} GB left; {size / 1e9:.1f} GB are needed there meanwhile")
    with tempfile.TemporaryFile(dir=folder) as file:
        file.truncate(size)
        mapping = mmap.mmap(file.fileno(), size)

        def hand_back() -> None:
            if hasattr(mapping, "madvise"):  # not on Windows
                mapping.madvise(mmap.MADV_DONTNEED)

        yield torch.frombuffer(mapping, dtype=torch.float32), hand_back


def remove_partial_files(folder: Path, *, shared: bool = False) -> None:
    """Remove what killed processes had half written.

    Args:
        folder: to look in, not in those below.
        shared: whether other processes may write there: then what they write is left, as is all from other machines.
    """
    mine = re.compile(rf"\..*\.{_machine()}-(\d{{1,9}})\.partial\.[^.]+", re.DOTALL)
    for path in folder.glob(".*.partial.*"):
        name = mine.fullmatch(path.name)
        if not shared or (name and not _is_running(int(name[1]))):
            path.unlink(missing_ok=True)


@cache
def _machine() -> str:
    """Tells apart what may share a folder and numbers its processes for itself: machines, and containers on one."""
    numbering = ""
    with suppress(OSError):  # there is none but on Linux
        numbering = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{platform.node()} {numbering}".encode("utf-8", ANY_BYTES)).hexdigest()[:8]


def _is_running(process: int) -> bool:
    """Whether there is a process of that number on this machine; True where that cannot be told."""
    if sys.platform == "win32":  # where os.kill(process, 0) would end it
        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        if not (handle := kernel.OpenProcess(MAY_WAIT_FOR, False, process)):
            return ctypes.get_last_error() != NO_SUCH_PROCESS
        try:
            return kernel.WaitForSingleObject(handle, 0) != HAS_ENDED
        finally:
            kernel.CloseHandle(handle)
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def files_below(folders: Iterable[Path]) -> list[Path]:
    """The files in folders and all folders in them, also linked ones; hidden files and folders are left out.

    Each folder is searched once, however many links lead to it, if possible by its own name.
    """
    found: list[Path] = []
    seen: set[str] = set()
    remaining, linked = deque(folders), deque[Path]()
    while remaining or linked:
        folder = remaining.popleft() if remaining else linked.popleft()
        if (identity := os.path.realpath(folder)) in seen:
            continue
        seen.add(identity)
        with suppress(PermissionError):
            for path in sorted(folder.iterdir()):
                if path.name.startswith("."):
                    continue
                if os.path.isdir(path):  # False, not an error, for a link that leads to itself
                    (linked if path.is_symlink() else remaining).append(path)
                elif os.path.isfile(path):
                    found.append(path)
    return found


def write_text(path: Path, text: str) -> None:
    """Write a text file in UTF-8, with the same bytes on every system; an existing file is replaced at once.

    Raises:
        OSError: if it cannot be written.
    """
    with replacing(path) as partial:
        partial.write_bytes(text.encode("utf-8", ANY_BYTES))


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write tensors as safetensors; an existing file is replaced at once.

    Raises:
        OSError: if it cannot be written.
    """
    contiguous = {name: tensor.to("cpu").contiguous() for name, tensor in tensors.items()}
    with replacing(path) as partial:
        try:
            save_file(contiguous, partial, None if metadata is None else dict(metadata))
        except SafetensorError as error:  # so it reports a full disk
            raise OSError(f"{path} cannot be written ({error}); make room, or name another place") from error


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a byte order mark, or in UTF-16 with one, as some editors save it.

    Bytes that are neither come through as lone surrogates, as in the names of files (`text_of`).

    Raises:
        OSError: if it cannot be read.
        ValueError: if it has the mark of UTF-16 and is damaged.
    """
    content = path.read_bytes()
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return content.decode("utf-16")
    return content.decode("utf-8-sig", ANY_BYTES)


def text_of(path: PurePath) -> str:
    """A path as text that `write_text` and `read_text` keep.

    Not so `str(path)`: Python reads names in the system's encoding, so they come out otherwise where that is not UTF-8.
    """
    return os.fsencode(path).decode("utf-8", ANY_BYTES)


def accept_any_text(stream: TextIO) -> None:
    """Have a stream write in another way, rather than fail, what its encoding lacks, as a Windows code page may."""
    if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
        stream.reconfigure(errors="backslashreplace")
