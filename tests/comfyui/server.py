"""A real ComfyUI for the tests: started on a folder of its own, asked over HTTP, watched over its websocket."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.error import HTTPError

import aiohttp
import numpy as np
import torch
from PIL import Image

from tests.comfyui.waiting import ANSWER_TIMEOUT, RUN_TIMEOUT

ROOT = Path(__file__).parents[2]
COMFYUI = ROOT / os.environ.get("COMFYUI", ".cache/ComfyUI")
"""The core; the Makefile has the tests of the server run with an older one too."""

PAGE = os.environ.get("COMFYUI_PAGE")
"""A folder with another page than the installed one; the Makefile has the page's tests run with a newer one too."""

UPSCALE_MODEL = ROOT / ".cache" / "DAT_light_x2.pth"
PACK = "wide-range-image-blending"

Graph = dict[str, dict[str, Any]]
"""A graph as ComfyUI's API takes it: node id to class_type and inputs."""

Event = dict[str, Any]
"""A message of ComfyUI's websocket: its type and data."""


class GraphRefusedError(Exception):
    """ComfyUI answered 400 to a graph; the argument is its answer."""


@dataclass(frozen=True)
class Run:
    """A graph that has run to its end, or to its error."""

    events: list[Event]
    """All that the websocket said meanwhile."""

    outputs: dict[str, Any]
    """By node id, what the output nodes left."""

    output_folder: Path

    def events_of(self, event_type: str) -> list[dict[str, Any]]:
        """The data of the events of one type."""
        return [event["data"] for event in self.events if event["type"] == event_type]

    @property
    def error(self) -> str | None:
        """What the user is told if a node failed."""
        errors = self.events_of("execution_error")
        return errors[0]["exception_message"] if errors else None

    def picture(self, node_id: str) -> np.ndarray:
        """The picture that a Save Image node wrote, (h w c) of bytes."""
        assert self.error is None, self.error
        saved = self.outputs[node_id]["images"][0]
        return np.asarray(Image.open(self.output_folder / saved["subfolder"] / saved["filename"]))


class ComfyServer:
    """ComfyUI with this pack in it, and nothing in its folders but what a test puts there."""

    def __init__(self, base: Path, *, custom_nodes: list[Path], extra_model_paths: Path) -> None:
        """Start it and wait until it answers.

        Args:
            base: an empty folder for its models, input and output.
            custom_nodes: more to install beside this pack.
            extra_model_paths: the user's YAML file of further model folders.
        """
        self.base = base
        self.log = base / "comfyui.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        installed = base / "custom_nodes"
        installed.mkdir()
        (installed / PACK).symlink_to(ROOT, target_is_directory=True)
        for path in custom_nodes:
            (installed / path.name).symlink_to(path)
        (base / "user").mkdir()
        command = [sys.executable, str(COMFYUI / "main.py"), "--listen", "127.0.0.1", "--port", str(port)]
        command += ["--base-directory", str(base), "--database-url", f"sqlite:///{base}/user/comfyui.db"]
        command += ["--extra-model-paths-config", str(extra_model_paths)]
        command += ["--disable-auto-launch", "--disable-api-nodes"]
        if not torch.accelerator.is_available():
            command.append("--cpu")
        # On a busy machine, threads that wait for each other make the tiny network a hundred times slower.
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
        if PAGE:
            environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / PAGE), os.environ.get("PYTHONPATH", "")])
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + RUN_TIMEOUT
        while True:
            try:
                self.get("/system_stats")
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"ComfyUI did not start:\n{self.log.read_text()[-3000:]}") from error
                time.sleep(0.2)

    def __enter__(self) -> ComfyServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(ANSWER_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path: str) -> Any:
        """The JSON at a path."""
        with urllib.request.urlopen(self.url + path, timeout=ANSWER_TIMEOUT) as response:
            return json.load(response)

    def get_text(self, path: str) -> str:
        with urllib.request.urlopen(self.url + path, timeout=ANSWER_TIMEOUT) as response:
            return response.read().decode()

    def post(self, path: str, body: object) -> Any:
        """Post JSON; the answer's JSON, if it has any.

        Raises:
            GraphRefusedError: if the answer is 400.
        """
        request = urllib.request.Request(self.url + path, json.dumps(body).encode())
        request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT) as response:
                return json.loads(response.read() or b"null")
        except HTTPError as error:
            if error.code != 400:
                raise
            raise GraphRefusedError(json.load(error)) from error

    def run(self, graph: Graph, on_event: Callable[[Event], None] = lambda event: None) -> Run:
        """Queue a graph and wait until it has ended.

        Args:
            graph: to run.
            on_event: called with each message of the websocket as it comes.

        Raises:
            GraphRefusedError: if ComfyUI does not take the graph.
        """
        return asyncio.run(asyncio.wait_for(self._run(graph, on_event), RUN_TIMEOUT))

    async def _run(self, graph: Graph, on_event: Callable[[Event], None]) -> Run:
        client = uuid.uuid4().hex
        events: list[Event] = []
        async with aiohttp.ClientSession(self.url) as session, session.ws_connect(f"/ws?clientId={client}") as messages:
            prompt_id = self.post("/prompt", {"prompt": graph, "client_id": client})["prompt_id"]
            async for message in messages:
                if message.type is not aiohttp.WSMsgType.TEXT:
                    continue  # a preview picture
                event = message.json()
                events.append(event)
                on_event(event)
                # execution_success comes earlier, but then the history does not have the outputs yet
                if event["type"] == "executing" and event["data"]["node"] is None:
                    break
        history = self.get(f"/history/{prompt_id}")[prompt_id]
        return Run(events, history["outputs"], self.base / "output")

    def memory(self) -> int:
        """Bytes that the process holds now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
