"""The blend's `Segmenter` learns from marked photos; its encoder begins as EfficientNet-Lite0's."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from wrb.detail.segmentation import HEIGHT, STAGES, Segmenter

from ..perceptual import EfficientNetLiteFeatures
from ..settings import Settings
from .marks import UNKNOWN

PHOTO_HEIGHT = 2 * HEIGHT

CROP_WIDTH = 160
"""Of what the network sees in a step, in px at `PHOTO_HEIGHT`."""

NARROWEST_CROP = 0.55
"""The least share of a photo's height that a crop shows."""

AROUND_THINGS = 0.4
"""Share of the crops that are laid around a thing, where there is one: they are rare."""

NUM_FROZEN_STAGES = 2
"""The encoder's first stages stay as they are: they see edges and colours, and most of the time would go there."""

ENCODER_RATE = 0.25
"""The learning rate of the other stages, as a share of the decoder's."""

THING_WEIGHT = 1.5
"""What a place of a thing counts, compared with one of none."""

WARM_UP = 50
"""Steps until the learning rate is reached."""

WEIGHT_DECAY = 0.01

LOG_EVERY = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class LearningSettings(Settings):
    """How the network learns."""

    steps: int = 1000
    """Steps."""

    batch_size: int = 8
    """Crops a step."""

    learning_rate: float = 2e-3
    """At its highest; it then falls along a cosine."""

    def __post_init__(self) -> None:
        self.require_positive("steps", "batch_size")
        self.require_not_negative("learning_rate")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A photo and what was marked on it."""

    photo: Tensor
    """RGB, 8 bits a channel, (3 128 w), w even."""

    classes: Tensor
    """Or `UNKNOWN`, 8 bits, (64 w/2)."""

    things: Tensor
    """1 where one is, 0 where none is, or `UNKNOWN`, 8 bits, (64 w/2)."""


def learn(
    lessons: Sequence[Lesson],
    settings: LearningSettings,
    seed: int,
    device: torch.device,
    encoder_weights: Path | None = None,
) -> Segmenter:
    """A network that has learnt the lessons; the same on a CPU for the same seed.

    Args:
        lessons: at least one.
        settings: how.
        seed: of all chance.
        device: to learn on.
        encoder_weights: EfficientNet-Lite0's; None takes those of its package.
    """
    torch.manual_seed(seed)
    chance = random.Random(seed)
    network = Segmenter()
    load_encoder(network, EfficientNetLiteFeatures(encoder_weights).network)
    network.to(device).to(memory_format=torch.channels_last)  # depthwise convolutions are faster so
    network.train()
    for part in (network.stem, *network.stages[:NUM_FROZEN_STAGES]):
        part.eval().requires_grad_(False)
    encoder = [weight for stage in network.stages[NUM_FROZEN_STAGES:] for weight in stage.parameters()]
    decoder = [
        weight for part in (network.neck, network.up, network.refine, network.head) for weight in part.parameters()
    ]
    optimiser = torch.optim.AdamW([{"params": decoder}, {"params": encoder}], weight_decay=WEIGHT_DECAY)
    for step in range(settings.steps):
        rate = learning_rate(settings, step)
        for group, share in zip(optimiser.param_groups, (1, ENCODER_RATE), strict=True):
            group["lr"] = rate * share
        batch = [vary(chance.choice(lessons), chance) for _ in range(settings.batch_size)]
        photos, classes, things = (torch.stack(parts).to(device) for parts in zip(*batch, strict=True))
        loss = segmentation_loss(network(photos.contiguous(memory_format=torch.channels_last)), classes, things)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % LOG_EVERY == 0:
            logger.info("step %d: loss %.3f", step + 1, loss.detach())
    return network.eval().requires_grad_(False)


def load_encoder(network: Segmenter, efficient_net: Any) -> None:
    """Copy EfficientNet-Lite0's first blocks into the network. Both have them in the same order.

    Raises:
        ValueError: if a shape is not that of EfficientNet-Lite0.
    """
    num_blocks = sum(stage.num_blocks for stage in STAGES)
    parts = [efficient_net._conv_stem, efficient_net._bn0, *efficient_net._blocks[:num_blocks]]
    theirs = [value for part in parts for value in part.state_dict().values()]
    own = [value for part in (network.stem, network.stages) for value in part.state_dict().values()]
    if [value.shape for value in theirs] != [value.shape for value in own]:
        raise ValueError("the encoder's weights are not those of EfficientNet-Lite0; give the file of its package")
    for value, loaded in zip(own, theirs, strict=True):
        value.copy_(loaded)


def learning_rate(settings: LearningSettings, step: int) -> float:
    """A linear rise, then the fall of a cosine."""
    falling = (1 + math.cos(math.pi * step / settings.steps)) / 2
    return settings.learning_rate * min(1, (step + 1) / WARM_UP) * falling


def segmentation_loss(logits: Tensor, classes: Tensor, things: Tensor) -> Tensor:
    """Cross entropy of the classes and of things, where they are known.

    Args:
        logits: of both, (b 4 h w).
        classes: or `UNKNOWN`, int64, (b h w); `things` alike, 1, 0 or `UNKNOWN`.
        things: where one is.
    """
    of_classes, of_things = logits[:, :-1].movedim(1, -1), logits[:, -1]
    known, known_things = classes != UNKNOWN, things != UNKNOWN
    class_loss = F.cross_entropy(of_classes[known], classes[known], reduction="sum") / known.sum().clamp(min=1)
    thing_loss = F.binary_cross_entropy_with_logits(
        of_things[known_things],
        things[known_things].to(logits),
        pos_weight=logits.new_tensor(THING_WEIGHT),
        reduction="sum",
    ) / known_things.sum().clamp(min=1)
    return class_loss + thing_loss


def vary(lesson: Lesson, chance: random.Random) -> tuple[Tensor, Tensor, Tensor]:
    """A crop of a lesson: its photo in 0..1 and in other colours, (3 128 160), its classes and things, (64 80)."""
    height, width = lesson.photo.shape[-2:]
    share = chance.uniform(NARROWEST_CROP, 1) if chance.random() < 0.6 else 1
    size = round(height * share) // 2 * 2, min(width, round(CROP_WIDTH * share * chance.uniform(0.85, 1.15))) // 2 * 2
    places = (lesson.things == 1).nonzero()
    around = chance.random() < AROUND_THINGS and len(places)
    place = 2 * places[chance.randrange(len(places))] if around else None
    starts = []
    for axis, (whole, part) in enumerate(zip((height, width), size, strict=True)):
        start = chance.randrange(whole - part + 1) if place is None else int(place[axis]) - chance.randrange(part)
        starts.append(min(max(start, 0), whole - part) // 2 * 2)
    y, x = (slice(start, start + length) for start, length in zip(starts, size, strict=True))
    map_y, map_x = (slice(part.start // 2, part.stop // 2) for part in (y, x))
    photo = lesson.photo[:, y, x].float() / 255
    maps = torch.stack([lesson.classes, lesson.things])[:, map_y, map_x].float()
    photo = F.interpolate(photo[None], (PHOTO_HEIGHT, CROP_WIDTH), mode="bilinear", antialias=True)[0]
    maps = F.interpolate(maps[None], (HEIGHT, CROP_WIDTH // 2), mode="nearest")[0].long()
    if chance.random() < 0.5:
        photo, maps = photo.flip(-1), maps.flip(-1)
    return _vary_colours(photo, chance).clamp(0, 1), maps[0], maps[1]


def _vary_colours(photo: Tensor, chance: random.Random) -> Tensor:
    if chance.random() < 0.8:
        photo = photo.clamp(0, 1) ** chance.uniform(0.6, 1.6)
        mean = photo.mean((1, 2), keepdim=True)
        photo = mean + (photo - mean) * chance.uniform(0.6, 1.3)
        tint = torch.tensor([chance.uniform(0.75, 1.25) for _ in range(3)]).view(3, 1, 1)
        photo = photo * tint * chance.uniform(0.7, 1.2)
    if chance.random() < 0.15:
        photo = photo.mean(0, keepdim=True).expand(3, -1, -1)
    if chance.random() < 0.2:
        photo = (photo[torch.tensor(chance.sample(range(3), 3))] + photo) / 2
    if chance.random() < 0.2:
        photo = photo + 0.03 * torch.randn_like(photo)
    return photo
