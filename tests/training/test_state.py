from __future__ import annotations

import dataclasses

import pytest
import torch

from wrb import save_generator


def test_learning_rates_stay_then_fall_to_zero(config, make_state):
    settings = dataclasses.replace(config, learning_rate=1.0, discriminator_learning_rate=0.1, decay=0.5)
    state = make_state(settings)
    rates = []
    for state.step in range(8):
        state.schedule(8, 2)
        rates.append(state.generator_optimiser.param_groups[0]["lr"])
        assert state.discriminator_optimiser.param_groups[0]["lr"] == pytest.approx(rates[-1] / 10)
    assert rates == [1, 1, 1, 1, 1, 0.75, 0.5, 0.25]


def test_learning_rates_are_halved_every_so_many_epochs(config, make_state):
    state = make_state(dataclasses.replace(config, learning_rate=1.0, halve_every=2))
    rates = []
    for state.step in range(0, 14):
        state.schedule(14, 2.5)
        rates.append(state.generator_optimiser.param_groups[0]["lr"])
    assert rates == [1] * 5 + [0.5] * 5 + [0.25] * 4


def test_the_average_follows_the_weights_without_the_random_start(config, make_state):
    state = make_state(config)
    with torch.no_grad():
        for parameter in state.generator.parameters():
            parameter.fill_(1.0)
    for _ in range(60):
        state.average.update_parameters(state.generator)
    for parameter in state.averaged_generator.parameters():
        torch.testing.assert_close(parameter, torch.ones_like(parameter), atol=1e-3, rtol=0)


def test_a_run_begins_with_given_weights_and_their_configuration(config, make_state, tmp_path, make_generator):
    given = make_generator(width=2, attention_levels=(0, 4), skip_levels=(1, 2))
    save_generator(given, tmp_path / "given.safetensors")
    config = dataclasses.replace(config, start_from=tmp_path / "given.safetensors", width=None, attention_levels=None)
    state = make_state(config)
    assert state.generator.config == given.config
    for network in (state.generator, state.averaged_generator):
        assert all(torch.equal(given.state_dict()[name], tensor) for name, tensor in network.state_dict().items())
    state = make_state(dataclasses.replace(config, attention_levels=(1,)))
    assert (state.generator.config.attention_levels, state.generator.config.skip_levels) == ((1,), (1, 2))
    with pytest.raises(ValueError, match="is of width 2, and --width 8 was asked for"):
        make_state(dataclasses.replace(config, width=8))


def test_a_run_begins_with_a_given_discriminator(config, make_state, tmp_path):
    given = make_state(dataclasses.replace(config, seed=7)).discriminator.state_dict()
    torch.save(given, tmp_path / "Dis")
    state = make_state(dataclasses.replace(config, start_discriminator=tmp_path / "Dis"))
    assert all(torch.equal(given[name], tensor) for name, tensor in state.discriminator.state_dict().items())
    with pytest.raises(ValueError, match="does not hold a discriminator of width 4"):
        make_state(dataclasses.replace(config, start_discriminator=tmp_path / "Dis", discriminator_width=4))
    with pytest.raises(ValueError, match="for a height of 64 px"):
        make_state(dataclasses.replace(config, start_discriminator=tmp_path / "Dis", discriminator_height=64))


def test_a_checkpoint_grows_to_the_size_that_room_is_asked_for(config, make_state, tmp_path):
    state = make_state(config)
    for network, optimiser in (
        (state.generator, state.generator_optimiser),
        (state.discriminator, state.discriminator_optimiser),
    ):
        for parameter in network.parameters():
            parameter.grad = torch.zeros_like(parameter)
        optimiser.step()
    torch.save(state.state_dict(), tmp_path / "checkpoint.pt")
    assert (tmp_path / "checkpoint.pt").stat().st_size == pytest.approx(state.checkpoint_bytes, rel=0.2)
