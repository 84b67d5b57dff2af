"""Kill the command line at random moments, and see whether a half file ever has a final name.

    python -m scripts.kill --times 100
    python -m scripts.kill --training --times 20

`convert`, a panorama of three photos and a run on two folders are each started and killed (signal 9) that many times.
After each kill every file under its final name must be whole. In the end an undisturbed run goes on from there, and all
files must be there, and no hidden one that a killed process left half written.

With `--training`, a first stage on made photos is killed that many times instead, half of them while it writes a
checkpoint, and each time goes on from what is there; a few starts more find the disk full at a random moment. What it
has learnt in the end must be, to the bit, what a run learns that was never stopped.

Exits with 1 if anything is found. For Linux and macOS.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import torch
from PIL import Image
from safetensors.torch import load_file

from training import self_reconstruction
from training.checkpoints import load_checkpoint
from training.config import SelfReconstructionConfig, read_config
from training.networks import BEST_DISCRIMINATOR, BEST_GENERATOR
from training.photo_lists import read_list
from training.photos import find_photos
from training.run import CONFIG, HELD_BACK, LAST_GENERATOR, RESULTS
from wrb import Generator, GeneratorConfig, save_generator
from wrb.__main__ import main as run_command
from wrb.files import accept_any_text
from wrb.network.weights import read_weights

REFUSED = 3
"""Status of a process that ended with the error that a disk which cannot be written is to give."""

KILLS_PER_FULL_DISK = 5
"""Among how many kills of a training run there is one start that finds the disk full."""


@dataclass(frozen=True)
class Work:
    """A command, and the files that it leaves."""

    arguments: list[str]
    outputs: list[Path]

    def start(self) -> int:
        """Run it in a process of its own; returns the process's number."""
        return in_process(lambda: run_command(self.arguments))

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

    def leftovers(self) -> set[Path]:
        """Hidden files, half written, in the folders of its files."""
        return {path for output in self.outputs for path in output.parent.glob(".*.partial.*")}


@dataclass(frozen=True)
class Training:
    """A run of the first stage, and the files in its folder."""

    config: SelfReconstructionConfig

    def start(self, full_after: float = 0.0, room: int = 0) -> int:
        """Begin it, or go on with it, in a process of its own; returns the process's number.

        Args:
            full_after: seconds after which no file can grow beyond `room`, as on a full disk; 0 is never.
            room: in bytes.
        """

        def fill_disk(*_: object) -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))

        def train() -> int:
            signal.signal(signal.SIGALRM, fill_disk)
            signal.setitimer(signal.ITIMER_REAL, full_after)
            self_reconstruction.prepare(self.config).train()
            return 0

        return in_process(train)

    @property
    def is_writing_checkpoint(self) -> bool:
        return any(self.config.out.glob(".checkpoint-*.partial.pt"))

    @property
    def checkpoint_bytes(self) -> int:
        return max(path.stat().st_size for path in self.config.out.glob("checkpoint-*.pt"))

    def require_whole(self) -> int:
        """Read all of its files that are there; returns the newest checkpoint's step. Raises if one is not whole."""
        out, step = self.config.out, -1
        photos = find_photos(self.config.photos, self.config.crop_width)
        for path in sorted(out.glob("[!.]*")):
            if path.suffix == ".pt":
                step = max(step, torch.load(path, weights_only=True)["step"])
            elif path.name in (BEST_GENERATOR, LAST_GENERATOR):
                read_weights(path).to_generator()
            elif path.name == BEST_DISCRIMINATOR:
                load_file(path)
            elif path.name == CONFIG:
                read_config(SelfReconstructionConfig, path)
            elif path.name == HELD_BACK:
                read_list(path, photos, self.config.photos)
            elif path.name == RESULTS:
                with Image.open(path) as image:
                    image.load()
        return step

    def learnt(self) -> dict[str, Any]:
        """All that the newest checkpoint holds but the name of the folder, and the weights that it exported."""
        checkpoint = load_checkpoint(self.config.out)
        assert checkpoint is not None
        del checkpoint["config"]
        names = (BEST_GENERATOR, LAST_GENERATOR, BEST_DISCRIMINATOR)
        return {**checkpoint, **{name: load_file(self.config.out / name) for name in names}}


def in_process(work: Callable[[], int]) -> int:
    """Do it in a process of its own, without a word; returns the process's number.

    Its status is what `work` returns, REFUSED after an OSError, 1 after an error that should not be.
    """
    if process := os.fork():
        return process
    status, errors = 1, os.dup(2)
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 1)
            os.dup2(nowhere.fileno(), 2)
        status = work()
    except OSError:
        status = REFUSED
    except Exception:
        os.write(errors, traceback.format_exc().encode())
    finally:
        os._exit(status)


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
    parser.add_argument("--training", action="store_true", help="kill a training run instead of the commands")
    parser.add_argument("--epochs", type=int, default=22, help="of that run, 9 steps each (default: 22)")
    options = parser.parse_args()
    accept_any_text(sys.stdout)
    torch.set_num_threads(1)  # the threads of OpenMP do not survive a fork
    random = Random(options.seed)
    found = 0
    with tempfile.TemporaryDirectory() as folder:
        if options.training:
            return 1 if disturb_training(Path(folder), options.epochs, options.times, random) else 0
        for name, work in works(Path(folder)).items():
            duration = timed(work)
            unfinished, faults = 0, 0
            leftovers: set[Path] = set()
            for _ in range(options.times):
                for path in work.outputs if random.random() < 0.5 else ():
                    path.unlink(missing_ok=True)
                unfinished += kill(work, random.uniform(0, 1.1 * duration))
                faults += not passes(work.require_whole)
                leftovers |= work.leftovers()
            for path in work.outputs[::2]:
                path.unlink(missing_ok=True)
            timed(work)
            complete = work.require_whole() == len(work.outputs) and not work.leftovers()
            found += faults + (not complete)
            sys.stdout.write(
                f"{name}: killed {unfinished} of {options.times} times before its end, {faults} half files, "
                f"{'complete' if complete else 'not complete'} and rid of {len(leftovers)} leftovers in the end\n"
            )
    return 1 if found else 0


def training_runs(folder: Path, epochs: int) -> list[Training]:
    """Two runs alike, of the narrowest networks on a dozen made photos in that folder."""
    photos = folder / "photos"
    photos.mkdir()
    for number in range(12):
        Image.effect_noise((780, 260), 20 + 5 * number).convert("RGB").save(photos / f"{number}.png")
    return [
        Training(
            SelfReconstructionConfig(
                photos=(photos,),
                out=folder / name,
                width=2,
                attention_levels=(3,),
                discriminator_width=1,
                batch_size=1,
                epochs=epochs,
                texture_weight=0.0,
                validate_every=20,
                save_every=2,
                workers=0,
                validation_share=0.25,
                cpu=True,
            )
        )
        for name in ("undisturbed", "disturbed")
    ]


def disturb_training(folder: Path, epochs: int, times: int, random: Random) -> int:
    """Kill a run, and fill its disk, so many times; returns how many faults were found."""
    logging.getLogger("training").setLevel(logging.ERROR)
    undisturbed, disturbed = training_runs(folder, epochs)
    duration = timed(undisturbed)
    steps = undisturbed.require_whole()
    room = undisturbed.checkpoint_bytes
    full_disks = -(-times // KILLS_PER_FULL_DISK)
    kills = ["at any moment"] * (times - times // 2) + ["while it writes"] * (times // 2)
    disturbances = kills + ["full disk"] * full_disks
    random.shuffle(disturbances)
    longest = 1.6 * duration / len(disturbances)  # so that they spread over the whole run
    unfinished = torn = refused = faults = 0
    before = -1
    for disturbance in disturbances:
        seconds = random.uniform(0, longest)
        if disturbance == "full disk":
            _, status = os.waitpid(disturbed.start(max(seconds, 0.01), random.randrange(room)), 0)
            refused += os.waitstatus_to_exitcode(status) == REFUSED
            faults += os.waitstatus_to_exitcode(status) not in (0, REFUSED)
        else:
            until = (lambda: disturbed.is_writing_checkpoint) if disturbance == "while it writes" else (lambda: True)
            unfinished += kill(disturbed, seconds, until)
            torn += disturbed.is_writing_checkpoint
        whole = passes(disturbed.require_whole)
        faults += not whole
        if whole:
            after = disturbed.require_whole()
            faults += after < before
            before = after
    timed(disturbed)
    faults += any(disturbed.config.out.glob(".*"))
    same = equal(undisturbed.learnt(), disturbed.learnt())
    sys.stdout.write(
        f"training: {steps} steps, killed {unfinished} of {times} times before its end, {torn} of them while a "
        f"checkpoint was written, {refused} of {full_disks} times ended by a full disk, {faults} faults, "
        f"{'the same' if same else 'not the same'} in the end\n"
    )
    return faults + (not same)


def equal(first: Any, second: Any) -> bool:
    """Whether two nested structures hold the same numbers, to the bit."""
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[key], second[key]) for key in first)
    if isinstance(first, (list, tuple)):
        return len(first) == len(second) and all(map(equal, first, second))
    return bool(first == second)


def timed(work: Work | Training) -> float:
    """Run it to its end; returns how many seconds it took."""
    started = time.perf_counter()
    _, status = os.waitpid(work.start(), 0)
    if status:
        raise RuntimeError(f"{work} ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started


def kill(work: Work | Training, seconds: float, until: Callable[[], bool] = lambda: True) -> bool:
    """Start it and kill it so many seconds later, as soon as `until` holds; returns whether it was still running."""
    process = work.start()
    time.sleep(seconds)
    while not until():
        if os.waitpid(process, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
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
