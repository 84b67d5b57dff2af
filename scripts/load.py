"""Have one ComfyUI do hundreds of runs, some of them cancelled, and see whether any disturbs another or leaves memory.

    python -m scripts.load --runs 200 --seed 0

A real ComfyUI is started with this pack in it, on a folder of its own. First each graph is run alone, with nothing kept
from before: blends, sequences that loop, adjusted gaps and restored photos, of four sizes, with two models. Then so
many runs of these graphs are queued, a few at a time. About a tenth is cancelled at a random moment, while it waits or
while it computes; the model changes every few runs; between some ComfyUI is told to let go of models or of all results.

Every run that was not cancelled must end without an error and save what the graph saved alone, to the bit. After every
20th run what ComfyUI's process holds is printed; on average it must not be more than 5 % more in the last fifth of the
runs than in the second.

What is run depends on the seed alone, what a cancel meets also on the machine. Exits with 1 if anything is found. For
Linux.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Any
from urllib.error import HTTPError

import numpy as np
import torch
from PIL import Image

from wrb import Generator, GeneratorConfig, save_generator
from wrb.files import accept_any_text, read_text

ROOT = Path(__file__).parents[1]

PACK = "wide-range-image-blending"

MODELS = ("built-in", "tiny.safetensors")

HEIGHTS = (64, 128, 256, 512)
"""Of the photos, in px."""

HEIGHT_WEIGHTS = (4, 3, 2, 1)
"""How often each height is taken: a run of twice the height takes four times as long."""

DEPTH = 4
"""Runs that are queued at once, so that some can be cancelled while they wait."""

RUNS_PER_MODEL = (2, 6)
"""The fewest and most runs in a row with the same model."""

CANCELLED = 0.1
"""Share of the runs that are cancelled."""

FREED = 0.1
"""Share of the runs before which ComfyUI is told to let go of something."""

FREE_REQUESTS = (
    {"unload_models": True, "free_memory": False},
    {"unload_models": True, "free_memory": True},
)
"""What the page's two menu entries post: unload the models, and forget all results too."""

RUNS_PER_READING = 20
"""Runs between two readings of the memory."""

MOST_GROWTH = 1.05
"""The memory in the last fifth of the runs over that in the second, at most; in the first something is loaded once."""

TIMEOUT = 600
"""Seconds after which one gives up waiting: for ComfyUI's start, an answer, or a run."""

POLL_INTERVAL = 0.01
"""Seconds between two looks at the queue; the shortest runs take some tens of them."""

Graph = dict[str, dict[str, Any]]
"""A graph as ComfyUI's API takes it: node id to class_type and inputs."""

Pictures = dict[str, np.ndarray]
"""What a run saved: node id to (h w c) of bytes."""


class ComfyUI:
    """A ComfyUI with this pack in it, on an empty folder."""

    def __init__(self, core: Path, base: Path) -> None:
        """Start it and wait until it answers.

        Args:
            core: the folder with its main.py.
            base: a folder for its models, input and output; may have models in it.
        """
        self.output = base / "output"
        self.log = base / "comfyui.log"
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        for folder in ("custom_nodes", "user"):
            (base / folder).mkdir()
        (base / "custom_nodes" / PACK).symlink_to(ROOT, target_is_directory=True)
        command = [sys.executable, str(core / "main.py"), "--listen", "127.0.0.1", "--port", str(port)]
        command += ["--base-directory", str(base), "--database-url", f"sqlite:///{base}/user/comfyui.db"]
        command += ["--disable-auto-launch", "--disable-api-nodes"]
        if not torch.accelerator.is_available():
            command.append("--cpu")
        # On a busy machine, threads that wait for each other make the tiny network a hundred times slower.
        environment = os.environ | {"HF_HUB_OFFLINE": "1", "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1"}
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
        deadline = time.monotonic() + TIMEOUT
        while True:
            try:
                self.ask("/system_stats")
                return
            except OSError as error:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"ComfyUI did not start:\n{self.last_words}") from error
                time.sleep(0.2)

    def __enter__(self) -> ComfyUI:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    @property
    def last_words(self) -> str:
        return read_text(self.log)[-3000:]

    def ask(self, path: str, body: object = None) -> Any:
        """What it answers to a GET of a path, or to a POST if there is a body; None if it answers nothing."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
                return json.loads(response.read() or b"null")
        except HTTPError as error:
            raise RuntimeError(f"ComfyUI refused {path}: {error.read().decode()[:2000]}") from error

    def queue(self, graph: Graph) -> str:
        """Queue a run; returns its id."""
        return self.ask("/prompt", {"prompt": graph})["prompt_id"]

    def queued(self) -> tuple[set[str], set[str]]:
        """The ids of the runs that compute now, and of those that wait."""
        answer = self.ask("/queue")
        running, waiting = ({entry[1] for entry in answer[key]} for key in ("queue_running", "queue_pending"))
        return running, waiting

    def ended(self, run_id: str) -> Ended | None:
        """How a run that is not queued any more has ended; None if it never began."""
        entry = self.ask(f"/history/{run_id}").get(run_id)
        if entry is None:
            return None
        messages = dict(entry["status"]["messages"])
        error = messages.get("execution_error")
        saved = {
            node: self.output / picture["subfolder"] / picture["filename"]
            for node, output in entry["outputs"].items()
            for picture in output.get("images", ())
        }
        return Ended(
            error=error and f"{error['node_type']}: {error['exception_message']}",
            interrupted="execution_interrupted" in messages,
            kept=set(messages.get("execution_cached", {"nodes": []})["nodes"]),
            saved=saved,
        )

    def memory(self) -> int:
        """Bytes that its process holds now."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_bytes().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Ended:
    """A run that has ended."""

    error: str | None
    interrupted: bool
    kept: set[str]
    """The nodes that were not run again, since their results were still there."""

    saved: dict[str, Path]

    def take_pictures(self) -> Pictures:
        """Read what it saved, and delete the files."""
        pictures = {}
        for node, path in self.saved.items():
            with Image.open(path) as image:
                pictures[node] = np.asarray(image)
            path.unlink()
        return pictures


@dataclass(frozen=True)
class Step:
    """A run to be queued, and what is done to it."""

    graph: str
    """Its name."""

    cancelled: str | None
    """None, "while it waits" or "while it computes"."""

    moment: float
    """When it is cancelled, as a share of the time for which it is likely to wait or compute."""

    free: dict[str, bool] | None
    """What ComfyUI is told to let go of before."""


@dataclass
class Load:
    """Runs that go on in a ComfyUI, and what has come of those before."""

    comfyui: ComfyUI
    graphs: dict[str, Graph]
    expected: dict[str, Pictures] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    outcomes: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    underway: dict[str, Step] = field(default_factory=dict)
    cancel_at: dict[str, float] = field(default_factory=dict)
    was_cancelled: set[str] = field(default_factory=set)
    number: int = 0
    recomputed: int = 0
    """Runs that ended, and had at least their blend computed anew."""

    def queue(self, name: str) -> str:
        """Queue that graph, with a name of its own for what it saves: else ComfyUI would not save it again."""
        self.number += 1
        graph = {
            node: {**content, "inputs": content["inputs"] | {"filename_prefix": f"run{self.number}"}}
            if content["class_type"] == "SaveImage"
            else content
            for node, content in self.graphs[name].items()
        }
        return self.comfyui.queue(graph)

    def run_alone(self, name: str) -> Ended:
        """Run that graph while nothing else is queued. Raises if it fails."""
        run_id = self.queue(name)
        deadline = time.monotonic() + TIMEOUT
        while run_id in set.union(*self.comfyui.queued()):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} did not end in {TIMEOUT} s")
            time.sleep(POLL_INTERVAL)
        ended = self.comfyui.ended(run_id)
        if ended is None or ended.error or ended.interrupted:
            raise RuntimeError(f"{name}, alone: {ended and ended.error}")
        return ended

    def learn(self, names: Sequence[str]) -> None:
        """Run each of these graphs alone, with nothing kept from before; note what it saves and how long it takes."""
        for name in names:
            while True:
                self.comfyui.ask("/free", {"unload_models": True, "free_memory": True})
                started = time.monotonic()
                ended = self.run_alone(name)
                self.seconds[name] = time.monotonic() - started
                self.expected[name] = ended.take_pictures()
                if not ended.kept:  # else the run was begun before all was let go of
                    break

    def begin(self, step: Step) -> None:
        """Queue a run as soon as fewer than `DEPTH` are underway."""
        self.wait_until_underway(DEPTH - 1)
        if step.free:
            self.comfyui.ask("/free", step.free)
        before = sum(self.seconds[other.graph] for other in self.underway.values())
        run_id = self.queue(step.graph)
        self.underway[run_id] = step
        if step.cancelled == "while it waits":
            self.cancel_at[run_id] = time.monotonic() + step.moment * before

    def wait_until_underway(self, most: int) -> None:
        """Look after the runs until no more than that many are left."""
        deadline = time.monotonic() + TIMEOUT
        while len(self.underway) > most:
            before = len(self.underway)
            self.look()
            if len(self.underway) < before:
                deadline = time.monotonic() + TIMEOUT
            elif time.monotonic() > deadline:
                raise RuntimeError(f"no run ended in {TIMEOUT} s")
            time.sleep(POLL_INTERVAL)

    def look(self) -> None:
        """Cancel what is due, and judge what has ended."""
        running, waiting = self.comfyui.queued()
        now = time.monotonic()
        for run_id, step in list(self.underway.items()):
            if run_id not in running | waiting:
                del self.underway[run_id]
                self.judge(run_id, step)
                continue
            if step.cancelled == "while it computes" and run_id in running and run_id not in self.cancel_at:
                self.cancel_at[run_id] = now + step.moment * self.seconds[step.graph]
            if now < self.cancel_at.get(run_id, now + 1):
                continue
            if run_id in waiting:
                self.comfyui.ask("/queue", {"delete": [run_id]})
            elif run_id not in self.was_cancelled:
                self.comfyui.ask("/interrupt", {"prompt_id": run_id})
                self.was_cancelled.add(run_id)

    def judge(self, run_id: str, step: Step) -> None:
        """Count how a run has ended, and compare what it saved."""
        ended = self.comfyui.ended(run_id)
        if ended is None or ended.interrupted:
            outcome = "cancelled while it waited" if ended is None else "cancelled while it computed"
            self.outcomes[outcome] += 1
            if not step.cancelled:
                self.faults.append(f"{step.graph} was {outcome}, but nobody had cancelled it")
        elif ended.error:
            self.outcomes["failed"] += 1
            self.faults.append(f"{step.graph}: {ended.error}")
        else:
            self.outcomes["ended before its cancel" if step.cancelled else "ended"] += 1
            self.recomputed += "blend" not in ended.kept
            self.faults += differences(step.graph, ended.take_pictures(), self.expected[step.graph])


def differences(name: str, pictures: Pictures, expected: Pictures) -> list[str]:
    """In which pictures of a run there is another than in those expected."""
    if pictures.keys() != expected.keys():
        return [f"{name} saved {sorted(pictures)}, not {sorted(expected)}"]
    found = []
    for node, picture in pictures.items():
        if picture.shape != expected[node].shape:
            found.append(f"{name}, {node}: its shape is {picture.shape}, not {expected[node].shape}")
        elif not np.array_equal(picture, expected[node]):
            levels = np.abs(picture.astype(int) - expected[node]).max()
            found.append(f"{name}, {node}: up to {levels} levels of 8 bits from what it is alone")
    return found


def save(graph: Graph, name: str, image: str) -> None:
    """Save the first output of a node."""
    graph[name] = {"class_type": "SaveImage", "inputs": {"images": [image, 0], "filename_prefix": ""}}


def blend_graph(model: str, height: int) -> Graph:
    """Two sample photos of 3:2, scaled to that height, blended at node "blend", which is saved."""
    graph: Graph = {
        "model": {"class_type": "WRBLoadModel", "inputs": {"model_name": model, "precision": "fp32"}},
        "blend": {
            "class_type": "WRBBlend",
            "inputs": {"model": ["model", 0], "left": ["left", 0], "right": ["right", 0]}
            | {"gap_width": height // 2, "photos": "keep exactly", "feather": 16},
        },
    }
    for side, sample in (("left", "wrb_sample_desert.jpg"), ("right", "wrb_sample_lake.jpg")):
        graph[f"load {side}"] = {"class_type": "LoadImage", "inputs": {"image": sample}}
        graph[side] = {
            "class_type": "ImageScale",
            "inputs": {"image": [f"load {side}", 0], "upscale_method": "area", "crop": "disabled"}
            | {"width": height * 3 // 2, "height": height},
        }
    save(graph, "save", "blend")
    return graph


def sequence_graph(model: str, height: int) -> Graph:
    """The same photos in a sequence that leads back into itself, with two gaps."""
    graph = blend_graph(model, height)
    inputs = {"model": ["model", 0], "images": ["left", 0], "images_2": ["right", 0], "loop": True}
    inputs |= {"gap_width": height // 2, "gap_widths": "", "photos": "feather in", "feather": 16}
    graph["blend"] = {"class_type": "WRBBlendSequence", "inputs": inputs}
    return graph


def adjust_graph(model: str, height: int) -> Graph:
    """A blend, and the same with a wider gap."""
    graph = blend_graph(model, height)
    graph["adjust"] = {"class_type": "WRBAdjustGap", "inputs": {"blend": ["blend", 2], "gap_width": height}}
    save(graph, "save adjusted", "adjust")
    return graph


def restore_graph(model: str, height: int) -> Graph:
    """A blend that is made larger and inverted, and gets its photos back."""
    graph = blend_graph(model, height)
    graph["larger"] = {
        "class_type": "ImageScaleBy",
        "inputs": {"image": ["blend", 0], "upscale_method": "bilinear", "scale_by": 1.5},
    }
    graph["changed"] = {"class_type": "ImageInvert", "inputs": {"image": ["larger", 0]}}
    inputs = {"panorama": ["changed", 0], "blend": ["blend", 2], "feather": 8}
    graph["restore"] = {"class_type": "WRBRestorePhotos", "inputs": inputs}
    save(graph, "save restored", "restore")
    return graph


KINDS = {"blend": blend_graph, "sequence": sequence_graph, "adjust": adjust_graph, "restore": restore_graph}


def name_graph(kind: str, height: int, model: str) -> str:
    return f"{kind} of {height} px with {model}"


def plan(random: Random, runs: int) -> list[Step]:
    """So many runs, with what is done to them."""
    steps: list[Step] = []
    model = 0
    while len(steps) < runs:
        for _ in range(random.randint(*RUNS_PER_MODEL)):
            kind, [height] = random.choice(list(KINDS)), random.choices(HEIGHTS, HEIGHT_WEIGHTS)
            cancelled = random.choice(("while it waits", "while it computes")) if random.random() < CANCELLED else None
            free = random.choice(FREE_REQUESTS) if random.random() < FREED else None
            steps.append(Step(name_graph(kind, height, MODELS[model]), cancelled, random.random(), free))
        model = 1 - model
    return steps[:runs]


def growth(readings: Sequence[int]) -> float | None:
    """The mean of the last fifth of the readings over that of the second; None if there are fewer than five."""
    fifth = len(readings) // 5
    return float(np.mean(readings[-fifth:]) / np.mean(readings[fifth : 2 * fifth])) if fifth else None


def load(comfyui: ComfyUI, runs: int, random: Random) -> list[str]:
    """Do all of it; returns what was found."""
    graphs = {
        name_graph(kind, height, model): make(model, height)
        for kind, make in KINDS.items()
        for height in HEIGHTS
        for model in MODELS
    }
    going = Load(comfyui, graphs)
    alone = list(graphs)
    random.shuffle(alone)
    going.learn(alone)
    slowest = max(going.seconds, key=going.seconds.__getitem__)
    sys.stdout.write(
        f"{len(alone)} graphs alone: {sum(going.seconds.values()):.0f} s, the slowest {going.seconds[slowest]:.1f} s "
        f"({slowest}); holds {comfyui.memory() / 1e6:.0f} MB\n"
    )
    readings: list[int] = []
    started = time.monotonic()
    for number, step in enumerate(plan(random, runs), start=1):
        going.begin(step)
        if number % RUNS_PER_READING == 0:
            going.wait_until_underway(0)
            # the same last run, so that what ComfyUI keeps from it is the same at each reading
            probe = name_graph("blend", HEIGHTS[0], MODELS[0])
            going.faults += differences(probe, going.run_alone(probe).take_pictures(), going.expected[probe])
            readings.append(comfyui.memory())
            seconds = time.monotonic() - started
            sys.stdout.write(f"{number} runs, {seconds:.0f} s: holds {readings[-1] / 1e6:.0f} MB\n")
            sys.stdout.flush()
    going.wait_until_underway(0)
    sys.stdout.write(f"{', '.join(f'{count} {outcome}' for outcome, count in sorted(going.outcomes.items()))}\n")
    sys.stdout.write(f"{going.recomputed} of those that ended computed their blend anew\n")
    grown = growth(readings)
    if grown is None:
        sys.stdout.write(f"too few runs to compare the memory: that takes {5 * RUNS_PER_READING}\n")
    else:
        sys.stdout.write(f"memory in the last fifth over the second: {grown:.3f}\n")
        if grown > MOST_GROWTH:
            going.faults.append(f"memory grew to {grown:.3f} times, above {MOST_GROWTH}")
    return going.faults


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="how many (default: 200)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--comfyui",
        type=Path,
        default=ROOT / os.environ.get("COMFYUI", ".cache/ComfyUI"),
        help="the folder with ComfyUI's main.py (default: COMFYUI, else .cache/ComfyUI, where `make comfyui` puts it)",
    )
    options = parser.parse_args()
    accept_any_text(sys.stdout)
    if not (options.comfyui / "main.py").exists():
        parser.error(f"no ComfyUI in {options.comfyui}: `make comfyui` installs one")
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "models" / "wrb" / MODELS[1]
        weights.parent.mkdir(parents=True)
        torch.manual_seed(options.seed)
        save_generator(Generator(GeneratorConfig(width=2)), weights)
        with ComfyUI(options.comfyui, Path(folder)) as comfyui:
            try:
                faults = load(comfyui, options.runs, Random(options.seed))
            except (OSError, RuntimeError) as error:
                faults = [f"{error}; ComfyUI's last words:\n{comfyui.last_words}"]
    sys.stdout.writelines(f"{fault}\n" for fault in faults)
    sys.stdout.write(f"{len(faults)} faults\n")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
