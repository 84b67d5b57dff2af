"""The teacher: a head on VGG16's features, which learns sky, land and water from few marked photos."""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from wrb.detail.segmentation import CLASSES

from ..settings import Settings
from .marks import UNKNOWN
from .vgg import NUM_FEATURES

CROP = 16
"""Width of the crops, in places of the features."""

WARM_UP = 30
"""Steps until the learning rate is reached."""

WEIGHT_DECAY = 0.02

GAINS = 0.7, 1.4
"""Each channel of the features is multiplied by a number between these, as contrasts differ between photos."""

LOG_EVERY = 50

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class TeacherSettings(Settings):
    """How the teacher learns."""

    teacher_steps: int = 300
    """Steps."""

    teacher_batch_size: int = 16
    """Crops a step."""

    teacher_learning_rate: float = 2e-3
    """At its highest; it then falls along a cosine."""

    def __post_init__(self) -> None:
        self.require_positive("teacher_steps", "teacher_batch_size")
        self.require_not_negative("teacher_learning_rate")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Example:
    """A marked photo; h and w are those of its features."""

    photo: Tensor
    """RGB in 0..1, (3 4h 4w)."""

    features: Tensor
    """float16, (1280 h w)."""

    classes: Tensor
    """Or `UNKNOWN`, int64, (2h 2w)."""


class Teacher(nn.Module):
    """Classes from features of what is seen, and from the photo for where exactly it ends."""

    def __init__(self, channels: int = 64) -> None:
        super().__init__()
        self.drop = nn.Dropout2d(0.2)
        self.reduce = nn.Conv2d(NUM_FEATURES + 1, channels, 1)
        self.wide = nn.Conv2d(channels, channels, 3, padding=2, dilation=2)
        self.join = nn.Conv2d(channels + 3, channels, 3, padding=1)
        self.refine = nn.Conv2d(channels, channels, 3, padding=1)
        self.head = nn.Conv2d(channels, len(CLASSES), 1)

    def forward(self, features: Tensor, photos: Tensor) -> Tensor:
        """Logits, (b 3 2h 2w), for features (b 1280 h w) and photos of any size in 0..1."""
        b, _, h, w = features.shape
        row = torch.linspace(-1, 1, h, device=features.device).view(1, 1, -1, 1).expand(b, 1, h, w)
        damped = 0.2 * features.clamp(min=0).sqrt()  # they reach into the thousands
        maps = F.relu(self.reduce(torch.cat([self.drop(damped), row], dim=1)))
        maps = F.relu(maps + self.wide(maps))
        maps = F.interpolate(maps, scale_factor=2, mode="bilinear")
        photos = F.interpolate(photos, maps.shape[-2:], mode="bilinear", antialias=True)
        maps = F.relu(self.join(torch.cat([maps, 2 * photos - 1], dim=1)))
        logits: Tensor = self.head(maps + F.relu(self.refine(maps)))
        return logits


def learn_teacher(examples: Sequence[Example], settings: TeacherSettings, seed: int, device: torch.device) -> Teacher:
    """A teacher that has learnt from the examples; the same on a CPU for the same seed."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    teacher = Teacher().to(device).train()
    optimiser = torch.optim.AdamW(teacher.parameters(), weight_decay=WEIGHT_DECAY)
    for step in range(settings.teacher_steps):
        set_learning_rate(optimiser, settings.teacher_learning_rate, step, settings.teacher_steps, WARM_UP)
        batch = [_crop(chance.choice(examples), chance) for _ in range(settings.teacher_batch_size)]
        photos, features, classes = (torch.stack(parts).to(device) for parts in zip(*batch, strict=True))
        logits = teacher(features, photos).permute(0, 2, 3, 1)  # b h w classes
        known = classes != UNKNOWN
        loss = F.cross_entropy(logits[known], classes[known], reduction="sum") / known.sum().clamp(min=1)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % LOG_EVERY == 0:
            logger.info("teacher, step %d: loss %.3f", step + 1, loss)
    return teacher.eval().requires_grad_(False)


def set_learning_rate(optimiser: torch.optim.Optimizer, highest: float, step: int, steps: int, warm_up: int) -> None:
    """A linear rise, then the fall of a cosine, to 1e-5."""
    rate = highest * min(1, (step + 1) / warm_up) * (1 + math.cos(math.pi * step / steps)) / 2 + 1e-5
    for group in optimiser.param_groups:
        group["lr"] = rate


def _crop(example: Example, chance: random.Random) -> tuple[Tensor, Tensor, Tensor]:
    """Photo, features and classes of a part of `CROP` columns, at times mirrored; a narrower photo is filled up."""
    photo, features, classes = example.photo, example.features.float(), example.classes
    width = features.shape[-1]
    if width > CROP:
        x = chance.randrange(width - CROP + 1)
        photo, features = photo[..., 4 * x : 4 * (x + CROP)], features[..., x : x + CROP]
        classes = classes[..., 2 * x : 2 * (x + CROP)]
    elif width < CROP:
        more = CROP - width
        photo = F.pad(photo, (0, 4 * more), mode="replicate")
        features = F.pad(features, (0, more), mode="replicate")
        classes = F.pad(classes, (0, 2 * more), value=UNKNOWN)
    if chance.random() < 0.5:
        photo, features, classes = photo.flip(-1), features.flip(-1), classes.flip(-1)
    return photo, features * torch.empty(len(features), 1, 1).uniform_(*GAINS), classes
