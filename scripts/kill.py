"""Kill the command line at random moments, and see whether a half file ever has a final name.

    python -m scripts.kill --times 100

`convert`, a panorama of three photos and a run on two folders are each started and killed (signal 9) that many times.
After each kill every file under its final name must be whole. In the end an undisturbed run goes on from there, and all
files must be there. Exits with 1 if anything is found. For Linux and macOS.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

import torch
from PIL import Image

from wrb import Generator, GeneratorConfig, save_generator
from wrb.__main__ import main as run_command
from wrb.files import accept_any_text
from wrb.network.weights import read_weights


@dataclass(frozen=True)
class Work:
    """A command, and the files that it leaves."""

    arguments: list[str]
    outputs: list[Path]

    def start(self) -> int:
        """Run it in a process of its own; returns the process's number."""
        if process := os.fork():
            return process
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        os._exit(run_command(self.arguments))

    def require_whole(self) -> int:
        """Read all of its files that are there; returns how many. Raises if one is not whole."""
        present = [path for path in self.outputs if path.exists()]
        for path in present:
            if path.suffix == ".safetensors":
                read_weights(path).to_generator()
            else:
                with Image.open(path) as image:
                    image.load()
        return len(present)


def works(folder: Path) -> dict[str, Work]:
    """What is killed, with its inputs in that folder."""
    torch.manual_seed(0)
    weights = folder / "tiny.safetensors"
    save_generator(Generator(GeneratorConfig(width=2)), weights)
    sides = [folder / "left", folder / "right"]
    for side in sides:
        side.mkdir()
        for number in range(6):
            Image.effect_noise((300, 200), 60).convert("RGB").save(side / f"{number}.png")
    photos = [str(sides[0] / f"{number}.png") for number in range(3)]
    common = ["--weights", str(weights), "--device", "cpu"]
    converted, panorama, mask, out = folder / "a.safetensors", folder / "p.png", folder / "m.png", folder / "out"
    return {
        "convert": Work(["convert", str(weights), str(converted)], [converted]),
        "panorama": Work([*photos, "-o", str(panorama), "--mask", str(mask), *common], [panorama, mask]),
        "folders": Work(
            [*map(str, sides), "-o", str(out), *common], [out / f"{number}__{number}.png" for number in range(6)]
        ),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=20, help="kills of each command (default: 20)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    accept_any_text(sys.stdout)
    torch.set_num_threads(1)  # the threads of OpenMP do not survive a fork
    random = Random(options.seed)
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        for name, work in works(Path(folder)).items():
            duration = timed(work)
            unfinished, faults = 0, 0
            for _ in range(options.times):
                for path in work.outputs if random.random() < 0.5 else ():
                    path.unlink(missing_ok=True)
                unfinished += kill(work, random.uniform(0, 1.1 * duration))
                faults += not passes(work.require_whole)
            for path in work.outputs[::2]:
                path.unlink(missing_ok=True)
            timed(work)
            complete = work.require_whole() == len(work.outputs)
            found += faults + (not complete)
            sys.stdout.write(
                f"{name}: killed {unfinished} of {options.times} times before its end, {faults} half files, "
                f"{'complete' if complete else 'not complete'} in the end\n"
            )
    return 1 if found else 0


def timed(work: Work) -> float:
    """Run it to its end; returns how many seconds it took."""
    started = time.perf_counter()
    _, status = os.waitpid(work.start(), 0)
    if status:
        raise RuntimeError(f"{' '.join(work.arguments)} ended with {status}")
    return time.perf_counter() - started


def kill(work: Work, seconds: float) -> bool:
    """Start it and kill it so many seconds later; returns whether it was still running."""
    process = work.start()
    time.sleep(seconds)
    os.kill(process, signal.SIGKILL)
    _, status = os.waitpid(process, 0)
    return os.WIFSIGNALED(status)


def passes(check: Callable[[], object]) -> bool:
    try:
        check()
    except Exception as error:
        sys.stdout.write(f"{error}\n")
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
