"""What importing the package brings along."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import socket, sys

def refuse(*arguments, **options):
    raise AssertionError("the network was used")

socket.socket.connect = socket.getaddrinfo = refuse
import wrb
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


def test_importing_wrb_brings_no_comfy_no_torchvision_and_no_network() -> None:
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    modules = set(run.stdout.split())
    assert {"wrb", "torch"} <= modules
    assert not modules & {"comfy", "comfy_api", "folder_paths", "torchvision", "PIL", "tensorboard", "training"}
    assert run.stderr == ""
