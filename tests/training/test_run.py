"""Both stages from end to end, on a handful of made-up photos and the narrowest networks there are."""

from __future__ import annotations

import dataclasses
import json
import logging
import shutil
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from tests.test_files import in_ascii
from training import fine_tuning, self_reconstruction
from training.checkpoints import load_checkpoint
from training.config import SelfReconstructionConfig, read_config
from training.run import Run
from training.state import TrainingState
from wrb import load_generator
from wrb.files import write_text
from wrb.network.weights import read_weights


def train(config):
    stage = self_reconstruction if isinstance(config, SelfReconstructionConfig) else fine_tuning
    stage.prepare(config).train()


def curves_of(config):
    curves = EventAccumulator(str(config.out))
    curves.Reload()
    return curves


def steps_of(curves, name):
    return [event.step for event in curves.Scalars(name)]


@pytest.mark.slow
def test_a_run_leaves_weights_curves_samples_settings_and_a_sheet(config):
    config = dataclasses.replace(config, texture_weight=0.01, texture_network="efficientnet-lite0", keep_by="kid")
    config = dataclasses.replace(config, validation_share=0.5, epochs=22, validate_every=11)
    train(config)
    assert load_checkpoint(config.out)["step"] == 22
    for name in ("best.safetensors", "last.safetensors"):
        generator = load_generator(config.out / name)
        assert (generator.config.width, generator.config.attention_levels) == (4, (2, 3))
    facts = read_weights(config.out / "best.safetensors").metadata["training"]
    assert json.loads(facts)["settings"]["width"] == 4
    assert str(config.out) not in facts and str(config.photos[0]) not in facts
    assert read_config(SelfReconstructionConfig, config.out / "config.json") == config
    assert len((config.out / "validation_photos.txt").read_text().splitlines()) == 2
    with Image.open(config.out / "results.png") as sheet:
        assert sheet.width > 4 * 768 and sheet.height > 2 * 256

    curves = curves_of(config)
    assert steps_of(curves, "loss/discriminator") == list(range(1, 23, 3))
    generator_steps = [step for step in range(1, 23) if step % 3 != 1]
    for name in ("pixel", "feature", "consistency", "texture", "adversarial"):
        assert steps_of(curves, f"loss/{name}") == generator_steps
    assert steps_of(curves, "learning rate/generator") == steps_of(curves, "gradient norm/generator") == generator_steps
    assert steps_of(curves, "speed/samples a second") == steps_of(curves, "speed/share of time waiting for photos")
    assert 0 <= curves.Scalars("speed/share of time waiting for photos")[0].value <= 1
    for name in ("psnr", "cross_fade_psnr", "pixel", "pyramid", "texture", "loss", "kid"):
        assert steps_of(curves, f"validation/{name}") == [11, 22]
    assert set(curves.Tags()["images"]) == {"self-reconstruction", "different photos"}


@pytest.mark.slow
def test_fine_tuning_goes_on_from_the_first_stage_and_keeps_the_better_weights(config, fine_tuning_config, tmp_path):
    first = dataclasses.replace(config, out=tmp_path / "first", seed=1)
    train(first)
    second = dataclasses.replace(
        fine_tuning_config, start_from=first.out, keep_by="loss", learning_rate=0.3, width=None, attention_levels=None
    )
    train(second)  # at a rate that spoils the weights
    held_back = [(run.out / "validation_photos.txt").read_text() for run in (first, second)]
    assert held_back[0] == held_back[1]
    assert load_checkpoint(second.out)["step"] == 12
    begun, kept, last = (
        load_file(path)
        for path in (
            first.out / "best.safetensors",
            second.out / "best.safetensors",
            second.out / "last.safetensors",
        )
    )
    assert all(torch.equal(kept[name], tensor) for name, tensor in begun.items())
    assert not torch.equal(last["feature_in.0.bias"], begun["feature_in.0.bias"])
    discriminators = [load_file(run.out / "best_discriminator.safetensors") for run in (first, second)]
    assert all(torch.equal(discriminators[1][name], tensor) for name, tensor in discriminators[0].items())


@pytest.mark.slow
def test_fine_tuning_joins_the_neighbours_of_a_table(fine_tuning_config, tmp_path):
    names = [f"{number}.png" for number in range(4)]
    table = {name: {other: 1.0 for other in names if other != name} for name in names}
    (tmp_path / "pairs.json").write_text(json.dumps({"network": "by hand", "neighbours": table}))
    config = dataclasses.replace(fine_tuning_config, pairs=tmp_path / "pairs.json", nearest=1)
    run = fine_tuning.prepare(config)
    assert all(len(others) == 1 for others in run.crops.neighbours.values())
    run.train()
    assert load_checkpoint(config.out)["step"] == 12


@pytest.mark.slow
def test_a_resumed_run_ends_like_an_uninterrupted_one(config, tmp_path, monkeypatch, assert_same):
    train(config)
    interrupted = dataclasses.replace(config, out=tmp_path / "interrupted")
    learn = Run._learn

    def stop_at_step_5(run, parts):
        if run.state.step == 5:
            raise KeyboardInterrupt
        learn(run, parts)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Run, "_learn", stop_at_step_5)
        train(interrupted)
    assert load_checkpoint(interrupted.out)["step"] == 4
    train(interrupted)
    first, second = load_checkpoint(config.out), load_checkpoint(interrupted.out)
    assert first.pop("config") != second.pop("config")  # the folder
    assert_same(second, first)
    assert sorted(set(steps_of(curves_of(interrupted), "loss/pixel"))) == [2, 3, 5, 6]


@pytest.mark.slow
def test_a_run_goes_on_with_other_settings_but_not_as_another_run(config, caplog, tmp_path):
    train(config)
    with caplog.at_level(logging.WARNING):
        train(dataclasses.replace(config, epochs=6, learning_rate=5e-4))
    assert "learning_rate (0.001 before, now 0.0005)" in caplog.text
    assert load_checkpoint(config.out)["step"] == 9
    with pytest.raises(ValueError, match=r"cannot go on with another batch_size \(2 before, now 4\)"):
        train(dataclasses.replace(config, batch_size=4))


@pytest.mark.slow
def test_new_photos_are_trained_on_and_those_held_back_stay_so(config, photos, tmp_path):
    folder = shutil.copytree(photos, tmp_path / "photos")
    config = dataclasses.replace(config, photos=(folder,))
    train(config)
    held_back = (config.out / "validation_photos.txt").read_text()
    for number in range(4):
        shutil.copy(folder / f"{number}.png", folder / f"another {number}.png")
    run = self_reconstruction.prepare(config)
    assert len(run.crops.photos) == 7
    assert (config.out / "validation_photos.txt").read_text() == held_back


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names are in UTF-8 always")
def test_a_run_starts_and_goes_on_with_names_that_the_systems_encoding_lacks(config, photos, tmp_path):
    folder = tmp_path / "Zürich"
    folder.mkdir()
    for number, name in enumerate(("ü.png", "山の湖.png", "Ł.png", "é.png")):
        shutil.copy(photos / f"{number}.png", folder / name)
    config = dataclasses.replace(config, photos=(folder,), validation_share=0.5)
    write_text(tmp_path / "settings.json", config.to_json())
    program = """
import sys
from pathlib import Path
from training import self_reconstruction
from training.config import SelfReconstructionConfig, parse_config
arguments = ["--config", sys.argv[1], "--photos", sys.argv[2]]
self_reconstruction.prepare(parse_config(SelfReconstructionConfig, "", arguments))
"""
    in_ascii(program, tmp_path / "settings.json", folder)
    held_back = (config.out / "validation_photos.txt").read_text(encoding="utf-8").splitlines()
    assert len(held_back) == 2 and set(map(Path, held_back)) < set(folder.iterdir())
    assert self_reconstruction.prepare(config).validation.dataset.photos == list(map(Path, held_back))
    in_ascii(program, tmp_path / "settings.json", folder)
    assert (config.out / "validation_photos.txt").read_text(encoding="utf-8").splitlines() == held_back
    assert read_config(SelfReconstructionConfig, config.out / "config.json") == config


def test_a_run_goes_on_without_a_held_back_photo_that_was_deleted(config, photos, tmp_path, caplog):
    folder = shutil.copytree(photos, tmp_path / "photos")
    config = dataclasses.replace(config, photos=(folder,), validation_share=0.5)
    kept, deleted = self_reconstruction.prepare(config).validation.dataset.photos
    deleted.unlink()
    assert self_reconstruction.prepare(config).validation.dataset.photos == [kept]
    assert f"not in the folders of photos: {deleted}" in caplog.text


def test_photos_to_hold_back_are_named_by_a_list_without_faults(config, tmp_path):
    path = tmp_path / "list.txt"
    config = dataclasses.replace(config, validation_photos=path)
    with pytest.raises(ValueError, match=r"list\.txt cannot be read as a list"):
        self_reconstruction.prepare(config)
    path.write_bytes(b"1.png\r\nl.png\r\n")
    with pytest.raises(ValueError, match=r"names 1 files that are not in the folders of photos: l\.png"):
        self_reconstruction.prepare(config)
    path.write_bytes(b"\xef\xbb\xbf1.png \r\n")
    held_back = self_reconstruction.prepare(config).validation.dataset.photos
    assert [photo.name for photo in held_back] == ["1.png"]


@pytest.mark.slow
def test_the_discriminator_learns_every_third_step_and_alone(config, make_state, assert_same):
    states = []
    for epochs in (1, 2):
        run = dataclasses.replace(config, epochs=epochs, out=config.out / str(epochs), save_every=1)
        train(run)
        states.append(load_checkpoint(run.out))
    # 3 photos in batches of 2: one step an epoch, of which step 0 is the discriminator's
    start = make_state(config).state_dict()
    assert_same(states[0]["generator"], dict(start["generator"]))
    assert not torch.equal(states[0]["discriminator"]["output.0.bias"], start["discriminator"]["output.0.bias"])
    assert_same(states[1]["discriminator"], states[0]["discriminator"])
    assert not torch.equal(states[1]["generator"]["feature_in.0.bias"], start["generator"]["feature_in.0.bias"])


@pytest.mark.slow
def test_a_batch_in_parts_gives_what_the_whole_batch_gives(config):
    ends = []
    for parts in (1, 2):
        run = dataclasses.replace(config, adversarial_weight=0.0, parts=parts, out=config.out / str(parts))
        train(run)
        ends.append({event.step: event.value for event in curves_of(run).Scalars("loss/pixel")})
    assert len(ends[0]) == 6 and len(set(ends[0].values())) == 6
    assert ends[1] == pytest.approx(ends[0], rel=1e-2)  # rounding grows: Adam's first steps go by signs
    assert [ends[1][step] for step in (1, 2, 3)] == pytest.approx([ends[0][step] for step in (1, 2, 3)], rel=1e-4)


@pytest.mark.slow
def test_gaps_of_many_widths_are_learnt(config, monkeypatch):
    widths = []
    forward = TrainingState.schedule

    def note(state, *arguments):
        forward(state, *arguments)
        widths.append(state.step)

    monkeypatch.setattr(TrainingState, "schedule", note)
    run = self_reconstruction.prepare(dataclasses.replace(config, gap_columns=(1, 6), epochs=8))
    seen = []
    run.state.prepared_generator.register_forward_hook(lambda *call: seen.append(call[2].panorama.shape[-1]))
    run.train()
    assert len(widths) == 12
    assert set(seen) <= {512 + 64 * columns for columns in range(1, 7)} and len(set(seen)) > 2


def test_a_loss_that_is_not_finite_stops_the_run_names_the_photos_and_keeps_the_checkpoint(config):
    config = dataclasses.replace(config, learning_rate=1e30, adversarial_weight=0.0, save_every=1)
    with pytest.raises(FloatingPointError, match=r"is not finite \((pixel|gradient).*cropped from .*\.png") as error:
        train(config)
    assert str(config.photos[0]) in str(error.value)
    checkpoint = load_checkpoint(config.out)
    assert 1 <= checkpoint["step"] < 6
    assert f"step {checkpoint['step'] + 1} " in str(error.value)


@pytest.mark.slow
def test_a_clipped_gradient_is_no_longer_than_allowed(config, monkeypatch):
    norms = []
    zero_grad = torch.optim.Adam.step

    def note(optimiser, *arguments):
        gradients = [weight.grad for group in optimiser.param_groups for weight in group["params"]]
        norms.append(torch.nn.utils.get_total_norm([gradient for gradient in gradients if gradient is not None]))
        return zero_grad(optimiser, *arguments)

    monkeypatch.setattr(torch.optim.Adam, "step", note)
    train(dataclasses.replace(config, clip_gradient=1e-3))
    assert len(norms) == 6 and max(norms) < 1.01e-3


def test_a_folder_that_cannot_be_written_is_a_clear_error_at_the_start(config, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"file/run cannot be written .*give another --out"):
        train(dataclasses.replace(config, out=tmp_path / "file" / "run"))


def test_the_kernel_distance_wants_two_photos_held_back(config):
    with pytest.raises(ValueError, match=r"\.png is the only photo held back"):
        self_reconstruction.prepare(dataclasses.replace(config, keep_by="kid"))


def test_a_batch_that_cannot_be_shared_out_is_refused(config):
    with pytest.raises(ValueError, match="a batch of 2 cannot be shared out among 1 processes and 3 parts"):
        train(dataclasses.replace(config, parts=3))


def test_no_step_to_make_is_told_before_anything_is_downloaded(config, monkeypatch):
    monkeypatch.delattr("training.run.texture_network")
    config = dataclasses.replace(config, texture_weight=0.01)
    with pytest.raises(ValueError, match="1 epochs of 3 photos to train on are not enough for one step of 20; lower"):
        self_reconstruction.prepare(dataclasses.replace(config, epochs=1, batch_size=20))


def test_few_photos_are_said_to_be_few(config, caplog):
    with caplog.at_level(logging.WARNING):
        self_reconstruction.prepare(config)
    assert "These are few" in caplog.text


class TestSharedMemory:
    def test_workers_whose_batches_do_not_fit_are_left_out(self, config, caplog, monkeypatch, tmp_path):
        monkeypatch.setattr("training.run.SHARED_MEMORY", tmp_path)
        room = {"free": 64_000_000}
        usage = shutil.disk_usage
        monkeypatch.setattr(
            "shutil.disk_usage",
            lambda path: usage(path)._replace(free=room["free"]) if path == tmp_path else usage(path),
        )
        config = dataclasses.replace(config, workers=2, batch_size=20, epochs=20)
        with caplog.at_level(logging.WARNING):
            assert self_reconstruction.prepare(config).workers == 0
        assert "64 MB free and 2 workers need 189" in caplog.text
        room["free"] = 200_000_000
        assert self_reconstruction.prepare(config).workers == 2

    @pytest.mark.parametrize(
        "message", ["DataLoader worker (pid 3) exited unexpectedly", "unable to allocate shared memory(shm)"]
    )
    def test_a_reader_that_fails_for_it_is_told_with_a_remedy(self, config, monkeypatch, message):
        run = self_reconstruction.prepare(dataclasses.replace(config, workers=0))
        run.workers = 1

        class Failing:
            def __iter__(self):
                return self

            def __next__(self):
                raise RuntimeError(message)

        monkeypatch.setattr(run.accelerator, "prepare", lambda loader: Failing())
        with pytest.raises(OSError, match="start again with --workers 0"):
            next(run._batches())
