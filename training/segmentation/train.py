"""Make the weights of the network that tells sky, land and water.

    python -m training.segmentation --photos PHOTOS --marks training/segmentation/marks.jsonl \
        --out segmentation.safetensors

A teacher on VGG16's features learns from the marked photos. It then says of all photos how likely each class is where,
and the small network of the blend learns from that. Where there are marks they count for 0.85.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
import tyro
from PIL import Image
from torch import Tensor
from torchvision.transforms.functional import to_tensor

from wrb.detail.segmentation import CLASSES, Segmenter
from wrb.devices import usable_device
from wrb.files import write_tensors
from wrb.network.config import IMAGE_SIZE

from ..photos import find_photos, read_photo
from ..program import program
from .marks import UNKNOWN, Marks, mask, read_marks
from .scores import intersection_over_union
from .student import PHOTO_HEIGHT, Lesson, StudentSettings, learn_student
from .teacher import Example, Teacher, TeacherSettings, learn_teacher
from .vgg import STRIDE, VGG16Features

FEATURE_PHOTO_HEIGHT = 192
"""Of a photo as VGG16 sees it, in px."""

NARROWEST, WIDEST, WIDTH_STEP = 32, 512, 32
"""Its width, in px: it is a multiple of the last, and wider photos are squeezed."""

MARKS_WEIGHT = 0.85
"""What marks count for in a lesson; the rest is the teacher's."""

MARKS = Path(__file__).with_name("marks.jsonl")
"""The project's own."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig(TeacherSettings, StudentSettings):
    """From which photos and marks to learn, and how."""

    photos: tuple[Path, ...]
    """Folders of photos, searched with their subfolders. Those without marks are learnt from too."""

    marks: Path = MARKS
    """What was marked on photos, by the names of their files; marks of photos that are not there are passed over."""

    out: Path
    """The weights to write, safetensors."""

    features: Path | None = None
    """A local file of VGG16's weights, safetensors in Caffe's layout, instead of torchvision's download."""

    held_back_share: float = 0.0
    """Share of the marked photos that neither network learns from, to measure them by."""

    seed: int = 0
    """Of all chance."""

    device: str | None = None
    """Where to compute, such as cpu, cuda or mps; without, the GPU if there is one."""

    def __post_init__(self) -> None:
        if not 0 <= self.held_back_share < 1:
            raise ValueError(f"held_back_share is {self.held_back_share}; it must be at least 0 and below 1")
        super().__post_init__()


def make_weights(config: SegmentationConfig) -> None:
    """Teach the teacher, have it teach the student, and write the student's weights.

    Raises:
        ValueError: if the marks are wrong, or none is of a photo that can be used, a file of weights does not
            fit, or there is no folder to write to.
    """
    if not config.out.parent.is_dir():
        raise ValueError(f"{config.out.parent} is not a folder; make it, or give another place to write to")
    marks = {name: of_photo for name, of_photo in read_marks(config.marks).items() if of_photo.usable}
    device = usable_device(config.device)
    photos = find_photos(config.photos, IMAGE_SIZE)
    marked = [path for path in photos if path.name in marks]
    if not marked:
        raise ValueError(f"{config.marks} marks none of the {len(photos)} photos; give the photos that it names")
    held_back = set(random.Random(config.seed).sample(marked, int(config.held_back_share * len(marked))))
    learnt = [path for path in marked if path not in held_back]
    logger.info("%d photos, %d of them marked, %d held back", len(photos), len(marked), len(held_back))

    network = VGG16Features(config.features).to(device)
    examples = [_example(network, path, marks[path.name]) for path in learnt]
    teacher = learn_teacher(examples, config, config.seed, device)
    del examples  # gigabytes
    known = {path: marks[path.name] for path in learnt}
    lessons = [_lesson(network, teacher, path, known.get(path)) for path in photos if path not in held_back]
    student = learn_student(lessons, config, config.seed, device)

    _save(student, config.out)
    if held_back:
        _measure(network, teacher, student, {path: marks[path.name] for path in sorted(held_back)})


def _save(student: Segmenter, path: Path) -> None:
    """Half precision, as the blend reads it."""
    state = {name: value.half() if value.is_floating_point() else value for name, value in student.state_dict().items()}
    write_tensors(path, state)
    logger.info("%s: written", path)


def _read(path: Path) -> tuple[Tensor, Tensor]:
    """A photo as VGG16 sees it, (1 3 192 w), and as the student does, (3 128 2w/3) for an even number; RGB in 0..1."""
    image = read_photo(path)
    width = round(image.width * FEATURE_PHOTO_HEIGHT / image.height / WIDTH_STEP) * WIDTH_STEP
    width = min(WIDEST, max(NARROWEST, width))
    narrower = width * PHOTO_HEIGHT // FEATURE_PHOTO_HEIGHT // 2 * 2
    return _scaled(image, width, FEATURE_PHOTO_HEIGHT)[None], _scaled(image, narrower, PHOTO_HEIGHT)


def _scaled(image: Image.Image, width: int, height: int) -> Tensor:
    scaled: Tensor = to_tensor(image.resize((width, height), Image.Resampling.LANCZOS))
    return scaled


@torch.no_grad()
def _features(network: VGG16Features, seen: Tensor) -> Tensor:
    """On the CPU and in half precision, as they are large."""
    features: Tensor = network(seen.to(next(network.parameters()).device)).half().cpu()
    return features


def _example(network: VGG16Features, path: Path, marks: Marks) -> Example:
    seen, photo = _read(path)
    features = _features(network, seen)[0]
    h, w = features.shape[-2:]
    classes = mask(photo, marks)[None, None].float()
    return Example(
        photo=F.interpolate(photo[None], (4 * h, 4 * w), mode="bilinear", antialias=True)[0],
        features=features,
        classes=F.interpolate(classes, (2 * h, 2 * w), mode="nearest")[0, 0].long(),
    )


@torch.no_grad()
def _told(network: VGG16Features, teacher: Teacher, seen: Tensor, photo: Tensor) -> Tensor:
    """How likely each class is by the teacher, (3 64 w/2) for a photo (3 128 w)."""
    features = _features(network, seen).float()
    h, w = (STRIDE // 2 * side for side in features.shape[-2:])
    small = F.interpolate(photo[None], (h, w), mode="bilinear", antialias=True)
    device = next(teacher.parameters()).device
    classes = teacher(features.to(device), small.to(device)).softmax(1).cpu()
    return F.interpolate(classes, (photo.shape[-2] // 2, photo.shape[-1] // 2), mode="bilinear")[0]


def _lesson(network: VGG16Features, teacher: Teacher, path: Path, marks: Marks | None) -> Lesson:
    seen, photo = _read(path)
    classes = _told(network, teacher, seen, photo)
    if marks:
        marked = mask(photo, marks)[::2, ::2]
        certain = F.one_hot(marked.clamp(max=len(CLASSES) - 1), len(CLASSES)).permute(2, 0, 1).float()
        classes = torch.where(marked != UNKNOWN, MARKS_WEIGHT * certain + (1 - MARKS_WEIGHT) * classes, classes)
    return Lesson(photo=(photo * 255).byte(), classes=classes.half())


@torch.no_grad()
def _measure(network: VGG16Features, teacher: Teacher, student: Segmenter, marks: Mapping[Path, Marks]) -> None:
    """Log how well both networks tell the marked photos."""
    by_teacher: list[tuple[Tensor, Tensor]] = []
    by_student: list[tuple[Tensor, Tensor]] = []
    device = next(student.parameters()).device
    for path, of_photo in marks.items():
        seen, photo = _read(path)
        right = mask(photo, of_photo)[::2, ::2]
        by_teacher.append((right, _told(network, teacher, seen, photo).argmax(0)))
        width = max(32, round(photo.shape[-1] / 32) * 32)
        logits = student(F.interpolate(photo[None], (PHOTO_HEIGHT, width), mode="bilinear", antialias=True).to(device))
        told = F.interpolate(logits.softmax(1), right.shape, mode="bilinear")[0].argmax(0).cpu()
        by_student.append((right, told))
    for name, pairs in (("teacher", by_teacher), ("student", by_student)):
        logger.info("%s on the photos held back: IoU %s", name, _line(intersection_over_union(pairs).tolist()))


def _line(scores: Sequence[float]) -> str:
    return ", ".join(f"{name} {score:.2f}" for name, score in zip(CLASSES, scores, strict=True))


def main() -> None:
    """Read the settings from the command line and make the weights."""
    with program():
        make_weights(tyro.cli(SegmentationConfig, description=__doc__))
