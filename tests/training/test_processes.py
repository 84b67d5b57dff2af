"""Runs as processes: killed at any step, on two at once, as plain scripts from elsewhere."""

from __future__ import annotations

import dataclasses
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.checkpoints import load_checkpoint
from training.config import SelfReconstructionConfig

pytestmark = pytest.mark.slow

TRAINING = Path(__file__).parents[2] / "training"

RUN_TIMEOUT = 600
"""Seconds, far longer than any run here takes: on a busy machine none may fail for that."""


def start(config, tmp_path, launcher=(sys.executable,)):
    """Start the stage of that configuration as a plain script, in a folder that is not the project's."""
    name = "self_reconstruction" if isinstance(config, SelfReconstructionConfig) else "fine_tuning"
    settings = tmp_path / f"{config.out.name}.json"
    settings.write_text(config.to_json())
    command = [*launcher, str(TRAINING / f"{name}.py"), "--config", str(settings)]
    log = (tmp_path / f"{config.out.name}.log").open("a")
    return subprocess.Popen(
        command,
        cwd=tmp_path,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def assert_succeeded(process, tmp_path, config):
    assert process.wait(RUN_TIMEOUT) == 0, (tmp_path / f"{config.out.name}.log").read_text()[-3000:]


def kill_at(step, process, folder, *, half_written):
    """Kill it and its workers once it writes the checkpoint of a step, or once it has written it."""
    names = r"\.?checkpoint-(\d{8})\b.*" if half_written else r"checkpoint-(\d{8})\.pt"
    while process.poll() is None:
        found = [re.fullmatch(names, path.name) for path in folder.glob("*checkpoint-*")]
        if any(match and int(match[1]) >= step for match in found):
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return
        time.sleep(0.001)


@pytest.mark.parametrize("stage", ["config", "fine_tuning_config"])
def test_a_run_killed_at_random_steps_ends_in_the_same_weights(stage, request, tmp_path, assert_same):
    config = dataclasses.replace(
        request.getfixturevalue(stage), epochs=8, save_every=1, workers=1, out=tmp_path / "whole", gap_columns=(3, 5)
    )
    assert_succeeded(start(config, tmp_path), tmp_path, config)
    first = load_checkpoint(config.out)

    killed = dataclasses.replace(config, out=tmp_path / "killed")
    steps = sorted(random.Random(stage).sample(range(first["step"]), 4))
    for number, step in enumerate(steps):
        kill_at(step, start(killed, tmp_path), killed.out, half_written=number % 2 == 0)
    assert_succeeded(start(killed, tmp_path), tmp_path, killed)
    assert not list(killed.out.glob(".*")), "what a killed run had half written is still there"

    second = load_checkpoint(killed.out)
    first.pop("config"), second.pop("config")  # they name the folders
    assert_same(second, first)
    weights = [load_file(run.out / "last.safetensors") for run in (config, killed)]
    assert all(torch.equal(weights[1][name], tensor) for name, tensor in weights[0].items()), steps


def test_two_processes_have_the_losses_of_one(fine_tuning_config, tmp_path):
    """Both halves of the batch, its means, and what is compared across it, come together."""
    config = dataclasses.replace(
        fine_tuning_config,
        batch_size=4,
        epochs=6,
        normalised_features=True,
        # as Adam's first steps go by the signs of gradients, rounding would grow with the usual rate
        learning_rate=1e-6,
        discriminator_learning_rate=1e-7,
    )
    curves = []
    for launcher in ([sys.executable], [sys.executable, "-m", "accelerate.commands.launch", *two_processes()]):
        run = dataclasses.replace(config, out=tmp_path / str(len(curves)))
        assert_succeeded(start(run, tmp_path, launcher), tmp_path, run)
        events = EventAccumulator(str(run.out))
        events.Reload()
        names = [name for name in events.Tags()["scalars"] if name.startswith(("loss/", "gradient norm/"))]
        curves.append({name: {event.step: event.value for event in events.Scalars(name)} for name in names})
    assert "rank1" in (tmp_path / "1.log").read_text()
    assert {"loss/pixel", "loss/discriminator", "loss/adversarial", "gradient norm/generator"} <= curves[0].keys()
    assert curves[0].keys() == curves[1].keys()
    for name, values in curves[0].items():
        # a norm is mostly of the steepest few weights, where rounding shows first
        tolerance = 1e-2 if name.startswith("gradient norm/") else 1e-3
        # and the adversarial loss falls to 3e-5, where rounding of the logits shows
        assert curves[1][name] == pytest.approx(values, rel=tolerance, abs=1e-7), name


def two_processes():
    # which processes there are is the launcher's to say; that they are on the CPU is the configuration's
    return "--multi_gpu --num_processes 2 --num_machines 1 --mixed_precision no --dynamo_backend no".split()
