"""First training stage: panoramas are cut in three and the generator learns to give the middle back.

    python -m training.self_reconstruction --photos PHOTOS --out RUN

The photos are searched with their subfolders. RUN receives the settings, a checkpoint to resume from, curves and sample
panoramas for TensorBoard, and `best.safetensors`: the weights that did best on the photos held back, ready for
`models/wrb`.
"""

from __future__ import annotations

import itertools
import json
import logging

import torch
import tyro
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from wrb import save_generator

from .config import SelfReconstructionConfig
from .data import CentralCrops, Positions, RandomCrops, cut, find_photos, meeting_edges, split
from .losses import (
    consistency_loss,
    discriminator_adversarial_loss,
    feature_loss,
    generator_adversarial_loss,
    pixel_loss,
    texture_loss,
)
from .perceptual import texture_network
from .run import TrainingState
from .validation import validate

NUM_SAMPLES = 8
"""Panoramas shown at each validation."""

PRIVATE = ("photos", "out", "texture_weights")
"""Settings that name folders of this machine: weights are passed on and do not carry them."""

logger = logging.getLogger(__name__)


def generator_losses(state: TrainingState, texture: torch.nn.Module | None, panoramas: Tensor) -> dict[str, Tensor]:
    """The generator's losses on true panoramas, (b 3 256 768), weighted as the configuration says."""
    config = state.config
    left, gap, right = cut(panoramas)
    with state.autocast():
        output = state.generator.generate(*state.generator.encode_pair(left, right), with_guesses=True)
        with torch.no_grad():
            true_features = state.generator.encode(gap).transfer
    assert output.sequences is not None
    panorama = output.panorama.float()
    if config.meet_edges:
        panorama = meeting_edges(panorama, left, right)
    normalised = config.normalised_features
    losses = {
        "pixel": pixel_loss(panorama, left, gap, right),
        "feature": config.feature_weight * feature_loss(output.gap_features, true_features, normalised=normalised),
        "consistency": config.consistency_weight * consistency_loss(output.sequences, normalised=normalised),
    }
    if texture is not None:
        with state.autocast():
            generated_maps = texture(cut(panorama)[1])
            with torch.no_grad():
                true_maps = texture(gap)
        losses["texture"] = config.texture_weight * texture_loss(generated_maps, true_maps)
    if config.adversarial_weight:
        with state.autocast():
            fake = state.discriminator(panorama).float()
            with torch.no_grad():
                real = state.discriminator(panoramas).float()
        losses["adversarial"] = config.adversarial_weight * generator_adversarial_loss(fake, real)
    return losses


def discriminator_losses(state: TrainingState, panoramas: Tensor) -> dict[str, Tensor]:
    """The discriminator's loss on true panoramas, (b 3 256 768), and on what the generator makes of their sides."""
    left, _, right = cut(panoramas)
    with state.autocast():
        with torch.no_grad():
            generated = state.generator(left, right).float()
            if state.config.meet_edges:
                generated = meeting_edges(generated, left, right)
        fake, real = state.discriminator(torch.cat([generated, panoramas])).float().chunk(2)
    return {"discriminator": discriminator_adversarial_loss(fake, real)}


def train(config: SelfReconstructionConfig) -> None:
    """Train until the last epoch, from wherever the folder `config.out` stands.

    Raises:
        ValueError: if there are no usable photos.
        FloatingPointError: if a loss becomes infinite or not a number.
    """
    training_photos, validation_photos = split(find_photos(config.photos), config.validation_share, config.seed)
    logger.info("%d photos to train on, %d held back", len(training_photos), len(validation_photos))
    config.out.mkdir(parents=True, exist_ok=True)
    (config.out / "config.json").write_text(config.to_json())
    (config.out / "validation_photos.txt").write_text("".join(f"{photo}\n" for photo in validation_photos))
    texture = None
    if config.texture_weight:
        texture = texture_network(config.texture_network, config.texture_weights).to(config.device)
    state = TrainingState(config)
    state.resume(config.out)

    crops = RandomCrops(training_photos, seed=config.seed, mirror=config.mirror, zoom_out=config.zoom_out)
    num_steps = config.epochs * len(training_photos) // config.batch_size
    positions = Positions(state.step * config.batch_size, num_steps * config.batch_size)
    loader = DataLoader(crops, config.batch_size, sampler=positions, num_workers=config.workers)
    validation = DataLoader(CentralCrops(validation_photos), config.batch_size)
    with SummaryWriter(config.out, purge_step=state.step) as writer:
        for panoramas in tqdm(loader, initial=state.step, total=num_steps, unit="step", smoothing=0.02):
            panoramas = panoramas.to(config.device)
            state.schedule(num_steps)
            if config.adversarial_weight and state.step % config.discriminator_interval == 0:
                losses = discriminator_losses(state, panoramas)
                state.update_discriminator(losses)
            else:
                losses = generator_losses(state, texture, panoramas)
                state.update_generator(losses)
            state.step += 1
            for name, value in losses.items():
                writer.add_scalar(f"loss/{name}", value.item() / len(panoramas), state.step)
            last = state.step == num_steps
            if last or state.step % config.validate_every == 0:
                _validate(state, texture, validation, writer)
            if last or state.step % config.save_every == 0:
                state.save(config.out)


def _validate(
    state: TrainingState, texture: torch.nn.Module | None, validation: DataLoader, writer: SummaryWriter
) -> None:
    """Write figures and sample panoramas of the averaged weights; keep the weights if they are the best so far."""
    config = state.config
    generator = state.averaged_generator.eval()
    batches = [batch.to(config.device) for batch in validation]
    with state.autocast():
        figures = validate(generator, texture, batches, texture_weight=config.texture_weight)
        left, _, right = cut(torch.cat(list(itertools.islice(batches, NUM_SAMPLES)))[:NUM_SAMPLES])
        with torch.inference_mode():
            writer.add_images("self-reconstruction", generator(left, right).float(), state.step)
            writer.add_images("different photos", generator(left, right.roll(1, 0)).float(), state.step)
    for name, value in figures.items():
        writer.add_scalar(f"validation/{name}", value, state.step)
    logger.info("step %d: %s", state.step, ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
    if figures["loss"] < state.best_validation:
        state.best_validation = figures["loss"]
        settings = {name: value for name, value in json.loads(config.to_json()).items() if name not in PRIVATE}
        facts = {"step": state.step, "samples": state.step * config.batch_size, "validation": figures}
        metadata = {"training": json.dumps({**facts, "settings": settings})}
        save_generator(generator, config.out / "best.safetensors", dtype=torch.float16, metadata=metadata)


def main() -> None:
    """Read the settings from the command line and train."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    train(tyro.cli(SelfReconstructionConfig, description=__doc__))


if __name__ == "__main__":
    main()
