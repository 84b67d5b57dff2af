"""The student: the `Segmenter` of the blend, which learns how likely each class is at every place of many photos."""

from __future__ import annotations

import logging
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from wrb.detail.segmentation import HEIGHT, Segmenter

from ..settings import Settings
from .teacher import set_learning_rate

PHOTO_HEIGHT = 2 * HEIGHT

CROP_WIDTH = 160
"""Of what the network sees in a step, in px at `PHOTO_HEIGHT`."""

WARM_UP = 50
"""Steps until the learning rate is reached."""

WEIGHT_DECAY = 0.01

LOG_EVERY = 250

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class StudentSettings(Settings):
    """How the student learns."""

    student_steps: int = 3500
    """Steps."""

    student_batch_size: int = 16
    """Crops a step."""

    student_learning_rate: float = 4e-3
    """At its highest; it then falls along a cosine."""

    def __post_init__(self) -> None:
        self.require_positive("student_steps", "student_batch_size")
        self.require_not_negative("student_learning_rate")
        super().__post_init__()


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """A photo and how likely each class is at each of its places."""

    photo: Tensor
    """RGB, 8 bits a channel, (3 128 w), w even."""

    classes: Tensor
    """float16, (3 64 w/2); they add up to 1."""


def learn_student(lessons: Sequence[Lesson], settings: StudentSettings, seed: int, device: torch.device) -> Segmenter:
    """A student that has learnt the lessons; the same on a CPU for the same seed."""
    torch.manual_seed(seed)
    chance = random.Random(seed)
    student = Segmenter().to(device).train()
    optimiser = torch.optim.AdamW(student.parameters(), weight_decay=WEIGHT_DECAY)
    for step in range(settings.student_steps):
        set_learning_rate(optimiser, settings.student_learning_rate, step, settings.student_steps, WARM_UP)
        batch = [_vary(chance.choice(lessons), chance) for _ in range(settings.student_batch_size)]
        photos, classes = (torch.stack(parts).to(device) for parts in zip(*batch, strict=True))
        loss = -(classes * student(photos).log_softmax(1)).sum(1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if (step + 1) % LOG_EVERY == 0:
            logger.info("student, step %d: loss %.3f", step + 1, loss)
    return student.eval().requires_grad_(False)


def _vary(lesson: Lesson, chance: random.Random) -> tuple[Tensor, Tensor]:
    """A crop of a lesson, its photo in 0..1 and in other colours."""
    height, width = lesson.photo.shape[-2:]
    crop_height, y, crop_width = height, 0, min(width, CROP_WIDTH)
    if chance.random() < 0.5:
        share = chance.uniform(0.6, 1)
        crop_height = round(height * share) // 2 * 2
        y = 2 * chance.randrange((height - crop_height) // 2 + 1)
        crop_width = min(width, round(CROP_WIDTH * share))
    crop_width = crop_width // 2 * 2  # the classes' map is half as large
    x = 2 * chance.randrange((width - crop_width) // 2 + 1)
    photo = lesson.photo[:, y : y + crop_height, x : x + crop_width].float() / 255
    classes = lesson.classes[:, y // 2 : (y + crop_height) // 2, x // 2 : (x + crop_width) // 2].float()
    photo = F.interpolate(photo[None], (height, CROP_WIDTH), mode="bilinear", antialias=True)[0]
    classes = F.interpolate(classes[None], (height // 2, CROP_WIDTH // 2), mode="bilinear")[0]
    if chance.random() < 0.5:
        photo, classes = photo.flip(-1), classes.flip(-1)
    return _vary_colours(photo, chance).clamp(0, 1), classes


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
