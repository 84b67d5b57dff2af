"""From marks on photos to the network that tells sky, land, water and things. The photos are made."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from training.perceptual import EfficientNetLiteFeatures
from training.segmentation.edges import lead_line
from training.segmentation.learning import LearningSettings, Lesson, learn, load_encoder
from training.segmentation.marks import NUM_COLUMNS, UNKNOWN, Marks, mask, read_marks, thing_mask
from training.segmentation.scores import intersection_over_union, precision_and_recall
from training.segmentation.train import MARKS, SegmentationConfig, make_weights
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
    ("line", "message"), [("{", "not JSON"), ("[]", "no JSON object"), ("{}", "photo: None is not the name")]
)
def test_lines_that_are_no_marks_are_refused(tmp_path, line, message) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(line)
    with pytest.raises(ValueError, match=rf"line 1: .*{message}"):
        read_marks(path)


def test_the_marks_of_the_project_can_be_read() -> None:
    marks = read_marks(MARKS)
    assert len(marks) == 403
    assert sum(of_photo.usable for of_photo in marks.values()) == 256
    assert sum(len(of_photo.things or ()) for of_photo in marks.values()) == 2090


def test_intersection_over_union_leaves_out_what_is_unknown() -> None:
    right, told = torch.tensor([SKY, SKY, LAND, WATER, UNKNOWN]), torch.tensor([SKY, LAND, LAND, WATER, SKY])
    torch.testing.assert_close(intersection_over_union([(right, told)]), torch.tensor([0.5, 0.5, 1.0]))


def test_precision_and_recall_leave_out_what_is_unknown() -> None:
    right, told = torch.tensor([1, 1, 0, 0, UNKNOWN]), torch.tensor([1, 0, 1, 0, 1])
    assert precision_and_recall([(right, told)]) == (0.5, 0.5)


def test_a_thing_is_its_box_with_a_line_around_it_of_which_nothing_is_known() -> None:
    marks = Marks(things=(("boat", 25, 50, 50, 75), ("buoy", 80.1, 10.1, 80.2, 10.2)))
    things = thing_mask(40, 80, marks)
    assert (things[20:30, 20:40] == 1).all()
    assert (things[19, 19:41] == UNKNOWN).all() and (things[19:31, 40] == UNKNOWN).all()
    assert things[4, 64] == 1, "the smallest thing is a pixel"
    assert (things == 1).sum() == 201


def test_things_alone_can_be_marked(tmp_path) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(json.dumps({"photo": "a.png", "things": [["boat", 1, 2, 3, 4]]}))
    marks = read_marks(path)["a.png"]
    assert marks.things == (("boat", 1, 2, 3, 4),)
    assert (mask(scene(64, 96, 24), marks) == UNKNOWN).all()


def test_layers_alone_can_be_marked(tmp_path) -> None:
    path = tmp_path / "marks.jsonl"
    path.write_text(json.dumps({name: value for name, value in LINE.items() if name != "things"}))
    assert (thing_mask(4, 8, read_marks(path)["a.png"]) == UNKNOWN).all()


def lesson(skyline: int, box: tuple[int, int]) -> Lesson:
    """A scene with a red square at that place of the maps."""
    photo = scene(128, 192, skyline)
    y, x = box
    photo[:, 2 * y : 2 * y + 24, 2 * x : 2 * x + 24] = torch.tensor([1.0, 0.0, 0.0])[:, None, None]
    classes = torch.full((64, 96), LAND)
    classes[: skyline // 2] = SKY
    things = torch.zeros(64, 96)
    things[y : y + 12, x : x + 12] = 1
    return Lesson(photo=(photo * 255).byte(), classes=classes.byte(), things=things.byte())


def test_sky_land_and_things_are_learnt_and_the_same_from_the_same_seed() -> None:
    lessons = [lesson(40, (40, 60)), lesson(88, (20, 10))]
    network = learn(lessons, LearningSettings(steps=80, batch_size=4, learning_rate=4e-3), 0, CPU)
    for one in lessons:
        told = network(one.photo[None].float() / 255)[0]
        assert (told[:-1].argmax(0) == one.classes).float().mean() > 0.9
        assert ((told[-1] > 0) == one.things).float().mean() > 0.95
        assert (told[-1] > 0)[one.things == 1].float().mean() > 0.7
    short = LearningSettings(steps=2, batch_size=1)
    first, second = (learn(lessons, short, 3, CPU).state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_the_encoder_is_efficientnet_lite0() -> None:
    """Its features are those of the package, but for rounding and for where strides begin to count."""
    network, efficient_net = Segmenter().eval(), EfficientNetLiteFeatures()
    load_encoder(network, efficient_net.network)
    photo = torch.full((1, 3, 640, 640), 0.25)  # so large that its middle sees no edge
    features = network.stem(2 * photo - 1)
    for stage in network.stages:
        features = stage(features)
    expected = efficient_net(photo)[-1]
    torch.testing.assert_close(features[..., 20, 20], expected[..., 20, 20], atol=0.2, rtol=0.05)


def test_the_weights_of_another_encoder_are_refused() -> None:
    other = EfficientNetLiteFeatures().network
    other._bn0 = torch.nn.BatchNorm2d(8)
    with pytest.raises(ValueError, match="not those of EfficientNet-Lite0"):
        load_encoder(Segmenter(), other)


def test_the_command_writes_weights_that_the_blend_loads(tmp_path, caplog) -> None:
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
            out=tmp_path / "out.safetensors",
            steps=2,
            batch_size=1,
            held_back_share=0.4,
            device="cpu",
        )
    )
    state = load_file(tmp_path / "out.safetensors")
    assert {value.dtype for value in state.values()} == {torch.float16, torch.int64}
    Segmenter().load_state_dict(state)
    assert "3 photos, 3 of them marked, 1 held back" in caplog.text
    assert "on the photos held back: IoU sky" in caplog.text


def test_marks_of_other_photos_are_refused(tmp_path, layered_photos) -> None:
    (tmp_path / "marks.jsonl").write_text(json.dumps(LINE))
    config = SegmentationConfig(
        photos=(layered_photos,), marks=tmp_path / "marks.jsonl", out=tmp_path / "out.safetensors"
    )
    with pytest.raises(ValueError, match="marks none of the 4 photos"):
        make_weights(config)
    assert not config.out.exists()
