"""The first stage from end to end, on a handful of made-up photos and the narrowest networks there are."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from training.config import SelfReconstructionConfig
from training.run import CHECKPOINT, TrainingState
from training.self_reconstruction import discriminator_losses, generator_losses, train
from training.validation import cross_fade, psnr
from wrb import load_generator
from wrb.weights import read_weights


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    y, x = np.mgrid[0:280, 0:800] / 280
    for number in range(4):
        channels = [np.sin((number + 1) * x + channel) + np.cos(3 * y + number) for channel in range(3)]
        pixels = (np.stack(channels, axis=-1) + 2) * 63
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def config(photos, tmp_path):
    return SelfReconstructionConfig(
        photos=(photos,),
        out=tmp_path / "run",
        width=4,
        attention_levels=(2, 3),
        discriminator_width=2,
        batch_size=2,
        epochs=4,
        texture_weight=0.0,
        validate_every=3,
        save_every=2,
        workers=0,
        validation_share=0.25,
    )


def checkpoint_of(config):
    return torch.load(config.out / CHECKPOINT, weights_only=True)


def assert_same(first, second):
    if isinstance(first, torch.Tensor):
        assert torch.equal(first, second)
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            assert_same(first[key], second[key])
    elif isinstance(first, (list, tuple)):
        for one, other in zip(first, second, strict=True):
            assert_same(one, other)
    else:
        assert first == second


def test_a_run_leaves_weights_curves_samples_and_settings(config):
    config = dataclasses.replace(config, texture_weight=0.01, texture_network="efficientnet-lite0")
    train(config)
    assert checkpoint_of(config)["step"] == 6
    generator = load_generator(config.out / "best.safetensors")
    assert generator.config == config.generator
    facts = read_weights(config.out / "best.safetensors").metadata["training"]
    assert json.loads(facts)["settings"]["width"] == 4
    assert str(config.out) not in facts and str(config.photos[0]) not in facts
    settings = json.loads((config.out / "config.json").read_text())
    assert settings["width"] == 4 and settings["texture_network"] == "efficientnet-lite0"
    assert len((config.out / "validation_photos.txt").read_text().splitlines()) == 1

    curves = EventAccumulator(str(config.out))
    curves.Reload()
    losses = {"pixel", "feature", "consistency", "texture", "adversarial", "discriminator"}
    assert {f"loss/{name}" for name in losses} <= set(curves.Tags()["scalars"])
    assert {event.step for event in curves.Scalars("validation/psnr")} == {3, 6}
    assert set(curves.Tags()["images"]) == {"self-reconstruction", "different photos"}


def test_a_resumed_run_ends_like_an_uninterrupted_one(config, tmp_path, monkeypatch):
    train(config)
    interrupted = dataclasses.replace(config, out=tmp_path / "interrupted")
    update = TrainingState.update_generator

    def stop_at_step_5(state, losses):
        if state.step == 5:
            raise KeyboardInterrupt
        update(state, losses)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TrainingState, "update_generator", stop_at_step_5)
        train(interrupted)
    assert checkpoint_of(interrupted)["step"] == 4
    train(interrupted)
    assert_same(checkpoint_of(interrupted), checkpoint_of(config))


def test_the_discriminator_learns_every_third_step_and_alone(config):
    states = []
    for epochs in (1, 2):
        run = dataclasses.replace(config, epochs=epochs, out=config.out / str(epochs), save_every=1)
        train(run)
        states.append(checkpoint_of(run))
    # 3 photos in batches of 2: one step an epoch, of which step 0 is the discriminator's
    start = TrainingState(config).state_dict()
    assert_same(states[0]["generator"], start["generator"])
    assert not torch.equal(states[0]["discriminator"]["output.0.bias"], start["discriminator"]["output.0.bias"])
    assert_same(states[1]["discriminator"], states[0]["discriminator"])
    assert not torch.equal(states[1]["generator"]["feature_in.0.bias"], start["generator"]["feature_in.0.bias"])


def test_no_graph_of_the_generator_on_discriminator_steps(config):
    state = TrainingState(config)
    discriminator_losses(state, torch.rand(2, 3, 256, 768))["discriminator"].backward()
    assert all(parameter.grad is None for parameter in state.generator.parameters())
    assert all(parameter.grad is not None for parameter in state.discriminator.parameters())


def test_learning_lowers_the_losses_on_one_batch(config):
    state = TrainingState(dataclasses.replace(config, adversarial_weight=0.0))
    torch.manual_seed(0)
    panoramas = torch.rand(2, 3, 1, 768).expand(-1, -1, 256, -1) * 0.2 + 0.4
    totals = []
    for _ in range(12):
        losses = generator_losses(state, None, panoramas)
        totals.append(sum(value.item() for value in losses.values()))
        state.schedule(12)
        state.update_generator(losses)
    assert totals[-1] < 0.7 * totals[0]


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(config):
    state = TrainingState(config)
    with pytest.raises(FloatingPointError, match="pixel 0.5, texture nan"):
        state.update_generator({"pixel": torch.tensor(0.5), "texture": torch.tensor(float("nan"))})


def test_a_gap_judged_as_a_blend_shows_it_need_not_know_the_brightness(config):
    """A flat gap of any grey meets the edges of flat photos without a difference."""
    panoramas = torch.full((2, 3, 256, 768), 0.8)
    losses = {}
    for meet_edges in (False, True):
        state = TrainingState(dataclasses.replace(config, adversarial_weight=0.0, meet_edges=meet_edges))
        state.generator.decoder_stage0[0].weight.data.zero_()  # draws 0.5 everywhere
        losses[meet_edges] = generator_losses(state, None, panoramas)["pixel"].item()
    sides = 2 * 2 * 0.3**2
    assert losses[True] == pytest.approx(sides, rel=1e-3)
    assert losses[False] > 1.1 * sides


def test_learning_rates_stay_then_fall_to_zero(config):
    state = TrainingState(dataclasses.replace(config, learning_rate=1.0, learning_rate_decay=0.5))
    rates = []
    for state.step in range(8):
        state.schedule(8)
        rates.append(state.generator_optimiser.param_groups[0]["lr"])
        assert state.discriminator_optimiser.param_groups[0]["lr"] == pytest.approx(rates[-1] / 10)
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_the_average_follows_the_weights_without_the_random_start(config):
    state = TrainingState(config)
    with torch.no_grad():
        for parameter in state.generator.parameters():
            parameter.fill_(1.0)
    for _ in range(60):
        state.average.update_parameters(state.generator)
    for parameter in state.average.module.parameters():
        torch.testing.assert_close(parameter, torch.ones_like(parameter), atol=1e-3, rtol=0)


@pytest.mark.parametrize("setting", [{"batch_size": 0}, {"validation_share": 1.0}, {"learning_rate_decay": 2.0}])
def test_impossible_settings_are_refused_by_name(config, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        dataclasses.replace(config, **setting)


def test_the_baseline_fades_between_the_edges():
    left, right = torch.zeros(1, 3, 2, 5), torch.ones(1, 3, 2, 5)
    faded = cross_fade(left, right, 4)
    torch.testing.assert_close(faded[0, 0, 0], torch.tensor([0.125, 0.375, 0.625, 0.875]))


def test_psnr_of_a_known_error():
    truth = torch.zeros(2, 3, 4, 4)
    torch.testing.assert_close(psnr(truth + 0.1, truth), torch.tensor([20.0, 20.0]))
