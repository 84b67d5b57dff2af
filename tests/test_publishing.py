"""What is published: ComfyUI's own program takes this folder, and packs what users need and nothing else."""

from __future__ import annotations

import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
COMFY = ROOT / ".cache" / "comfy-cli" / "bin" / "comfy"

UNPUBLISHED = {"tests", "benchmarks", "scripts", "Makefile", "constraints.txt", ".github", ".ci"}


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository of this folder's tracked files as they are now: the program packs what git knows."""
    if not COMFY.exists():
        pytest.skip("no comfy-cli: `make test` installs it")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git repository")
    folder = tmp_path_factory.mktemp("checkout")
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).exists():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    for command in (["init", "--quiet"], ["add", "--all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def run(checkout: Path, *arguments: str) -> str:
    """What `comfy node` says; it must not fail."""
    environment = os.environ | {"DO_NOT_TRACK": "1", "HOME": str(checkout.parent)}
    command = [COMFY, "--skip-prompt", "node", *arguments]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_it_is_valid(checkout: Path) -> None:
    assert "error:" not in run(checkout, "validate").lower()


def test_users_get_what_they_need_and_no_more(checkout: Path) -> None:
    run(checkout, "pack")
    with zipfile.ZipFile(checkout / "node.zip") as packed:
        names = {name for name in packed.namelist() if not name.endswith("/")}
    assert not {name.split("/")[0] for name in names} & UNPUBLISHED
    for folder in ("web", "locales", "workflows", "subgraphs", "samples", "wrb"):
        tracked = {str(path.relative_to(checkout)) for path in (checkout / folder).rglob("*") if path.is_file()}
        assert tracked <= names
    assert {"__init__.py", "nodes.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE"} <= names
