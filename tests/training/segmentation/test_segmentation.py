"""From marks on photos to the network that tells sky, land and water. The photos are made, and VGG16 is random."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from training.segmentation.edges import lead_line
from training.segmentation.marks import NUM_COLUMNS, UNKNOWN, Marks, mask, read_marks
from training.segmentation.scores import intersection_over_union
from training.segmentation.student import Lesson, StudentSettings, learn_student
from training.segmentation.teacher import Example, TeacherSettings, learn_teacher
from training.segmentation.train import MARKS, SegmentationConfig, make_weights
from training.segmentation.vgg import BLOCKS, NUM_FEATURES, VGG16Features
from wrb.detail.segmentation import LAND, SKY, WATER, Segmenter

CPU = torch.device("cpu")
NO_WATER = (None,) * NUM_COLUMNS
LINE = {"photo": "a.png", "sky": [50] * NUM_COLUMNS, "water": list(NO_WATER), "things": [], "sure": 3}


def scene(height: int, width: int, skyline: int) -> torch.Tensor:
    """Blue above, green below."""
    photo = torch.empty(3, height, width)
    photo[:, :skyline] = torch.tensor([0.5, 0.7, 1.0])[:, None, None]
    photo[:, skyline:] = torch.tensor([0.1, 0.4, 0.1])[:, None, None]
    return photo


@pytest.fixture(scope="module")
def vgg16(tmp_path_factory):
    """A file of VGG16's weights in Caffe's layout, at random."""
    torch.manual_seed(0)
    state, above = {}, 3
    for block, (count, channels) in enumerate(zip(BLOCKS, (64, 128, 256, 512, 512), strict=True), start=1):
        for number in range(1, count + 1):
            weight = torch.randn(channels, above, 3, 3) * (2 / (9 * above)) ** 0.5
            state[f"conv{block}_{number}.weight"], above = weight.half(), channels
            state[f"conv{block}_{number}.bias"] = torch.zeros(channels).half()
    path = tmp_path_factory.mktemp("vgg16") / "vgg16.safetensors"
    save_file(state, path)
    return path


def test_a_level_sky() -> None:
    classes = mask(scene(64, 96, 24), Marks(sky=(37.5,) * NUM_COLUMNS, water=NO_WATER))
    assert (classes[:24] == SKY).all() and (classes[24:] == LAND).all()


@pytest.mark.parametrize(("ends", "expected"), [(0, LAND), (100, SKY)])
def test_no_sky_and_sky_alone(ends: int, expected: int) -> None:
    assert (mask(scene(64, 96, 24), Marks(sky=(ends,) * NUM_COLUMNS, water=NO_WATER)) == expected).all()


def test_water_with_an_unknown_shore_and_end() -> None:
    water = ((75.0, 100.0),) * 7 + (None,) * 6
    classes = mask(scene(128, 97, 48), Marks(sky=(37.5,) * NUM_COLUMNS, water=water))
    assert (classes[100:, :48] == WATER).all()
    assert (classes[48:93] == LAND).all()
    assert (classes[95:97, :48] == UNKNOWN).all(), "the shore is marked to about 1 %"
    assert (classes[100:, 49:56] == UNKNOWN).all(), "it ends somewhere between two columns"
    assert (classes[:, 57:] != WATER).all() and (classes[:, 57:] != UNKNOWN).all()


def test_water_up_to_the_horizon_begins_at_the_skyline() -> None:
    classes = mask(scene(128, 96, 48), Marks(sky=(37.5,) * NUM_COLUMNS, water=((38.0, 100.0),) * NUM_COLUMNS))
    assert (classes[:48] == SKY).all() and (classes[48:] == WATER).all()


def test_nothing_is_known_of_a_photo_that_one_could_not_tell() -> None:
    marks = Marks(sky=(50.0,) * NUM_COLUMNS, water=NO_WATER, sure=1)
    assert (mask(scene(64, 96, 24), marks) == UNKNOWN).all()


def test_a_line_is_led_along_an_edge() -> None:
    x, y = np.arange(120), np.arange(100)[:, None]
    hills = np.round(50 + 4 * np.sin(x / 6)).astype(int)
    photo = torch.from_numpy(np.where(y < hills, 0.9, 0.2)).float().expand(3, -1, -1)
    marked = hills[np.linspace(0, 119, NUM_COLUMNS).round().astype(int)] / 100 + 0.01
    line = lead_line(photo, marked)
    straight = np.interp(x, np.linspace(0, 119, NUM_COLUMNS), marked * 100)
    assert np.abs(line - hills).mean() < 0.5 < np.abs(straight - hills).mean()


def test_a_line_stays_near_its_marks_where_the_only_edge_is_far() -> None:
    line = lead_line(scene(100, 120, 20), np.full(NUM_COLUMNS, 0.6))
    assert np.abs(line - 60).max() <= 9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sky": [50] * 12}, "sky"),
        ({"sky": [50] * 12 + [101]}, "sky: 101"),
        ({"sky": [50] * 12 + [True]}, "sky: True"),
        ({"water": [[60, 50], *NO_WATER[1:]]}, r"water: \[60, 50\]"),
        ({"things": [["boat", 1, 2, 3]]}, "things"),
        ({"sure": 4}, "sure: 4"),
        ({"photo": "folder/a.png"}, "photo"),
        ({}, "photo: a.png is marked twice"),
    ],
)
def test_wrong_marks_are_refused_by_line_and_field(tmp_path, change, message) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(f"{json.dumps(LINE)}\n\n{json.dumps({**LINE, **change})}\n")
    with pytest.raises(ValueError, match=rf"line 3: {message}"):
        read_marks(path)


@pytest.mark.parametrize(
    ("line", "message"), [("{", "not JSON"), ("[]", "no JSON object"), ("{}", "photo: is missing")]
)
def test_lines_that_are_no_marks_are_refused(tmp_path, line, message) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(line)
    with pytest.raises(ValueError, match=rf"line 1: .*{message}"):
        read_marks(path)


def test_the_marks_of_the_project_can_be_read() -> None:
    marks = read_marks(MARKS)
    assert len(marks) == 264
    assert sum(of_photo.usable for of_photo in marks.values()) == 256


def test_intersection_over_union_leaves_out_what_is_unknown() -> None:
    right, told = torch.tensor([SKY, SKY, LAND, WATER, UNKNOWN]), torch.tensor([SKY, LAND, LAND, WATER, SKY])
    torch.testing.assert_close(intersection_over_union([(right, told)]), torch.tensor([0.5, 0.5, 1.0]))


def test_vgg16_takes_caffes_order_of_colours(vgg16) -> None:
    photo = torch.rand(1, 3, 32, 48)
    network = VGG16Features(vgg16)
    assert network(photo).shape == (1, NUM_FEATURES, 4, 6)
    state = load_file(vgg16)
    mean = torch.tensor([103.939, 116.779, 123.68])[:, None, None]
    bgr = photo.flip(1) * 255 - mean
    first = torch.conv2d(bgr, state["conv1_1.weight"].float(), state["conv1_1.bias"].float(), padding=1)
    rgb_mean = mean.flip(0)
    torch.testing.assert_close(network.features[0](photo * 255 - rgb_mean), first, rtol=1e-4, atol=1e-2)


def test_a_file_of_another_network_is_refused(tmp_path) -> None:
    save_file({"conv1_1.weight": torch.zeros(64, 3, 3, 3)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match=r"no conv1_1\.bias of shape \(64,\)"):
        VGG16Features(tmp_path / "other.safetensors")


def test_the_teacher_learns_sky_and_land() -> None:
    examples = []
    for horizon in (4, 8):
        features = torch.zeros(NUM_FEATURES, 12, 20)
        features[:20, :horizon], features[20:40, horizon:] = 400, 400
        classes = torch.full((24, 40), LAND)
        classes[: 2 * horizon] = SKY
        examples.append(Example(photo=scene(48, 80, 4 * horizon), features=features.half(), classes=classes))
    settings = TeacherSettings(teacher_steps=40, teacher_batch_size=4)
    teacher = learn_teacher(examples, settings, 0, CPU)
    for example in examples:
        told = teacher(example.features.float()[None], example.photo[None])[0].argmax(0)
        assert (told == example.classes).float().mean() > 0.95


def test_the_student_learns_sky_and_land_and_the_same_from_the_same_seed() -> None:
    lessons = []
    for horizon in (40, 88):
        classes = torch.zeros(3, 64, 96)
        classes[SKY, : horizon // 2], classes[LAND, horizon // 2 :] = 1, 1
        lessons.append(Lesson(photo=(scene(128, 192, horizon) * 255).byte(), classes=classes.half()))
    settings = StudentSettings(student_steps=45, student_batch_size=4)
    student = learn_student(lessons, settings, 0, CPU)
    for lesson in lessons:
        told = student(lesson.photo[None].float() / 255)[0].argmax(0)
        assert (told == lesson.classes.argmax(0)).float().mean() > 0.9
    short = StudentSettings(student_steps=2, student_batch_size=1)
    first, second = (learn_student(lessons, short, 3, CPU).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_command_writes_weights_that_the_blend_loads(tmp_path, vgg16, caplog) -> None:
    caplog.set_level("INFO")
    (tmp_path / "photos").mkdir()
    lines = []
    for number, skyline in enumerate((96, 160, 128)):
        pixels = (scene(256, 256, skyline) * 255).byte().permute(1, 2, 0).numpy()
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.png")
        lines.append(json.dumps({**LINE, "photo": f"{number}.png", "sky": [100 * skyline / 256] * NUM_COLUMNS}))
    (tmp_path / "marks.jsonl").write_text("\n".join(lines))
    make_weights(
        SegmentationConfig(
            photos=(tmp_path / "photos",),
            marks=tmp_path / "marks.jsonl",
            features=vgg16,
            out=tmp_path / "out.safetensors",
            teacher_steps=2,
            teacher_batch_size=1,
            student_steps=2,
            student_batch_size=1,
            held_back_share=0.4,
            device="cpu",
        )
    )
    state = load_file(tmp_path / "out.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    Segmenter().load_state_dict(state)
    assert "3 photos, 3 of them marked, 1 held back" in caplog.text
    assert "student on the photos held back: IoU sky" in caplog.text


def test_marks_of_other_photos_are_refused(tmp_path, layered_photos) -> None:
    (tmp_path / "marks.jsonl").write_text(json.dumps(LINE))
    config = SegmentationConfig(
        photos=(layered_photos,), marks=tmp_path / "marks.jsonl", out=tmp_path / "out.safetensors"
    )
    with pytest.raises(ValueError, match="marks none of the 4 photos"):
        make_weights(config)
    assert not config.out.exists()
