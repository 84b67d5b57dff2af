"""Who meets whom, and that no two panoramas share a name."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from wrb.jobs import Job, have_same_names, name_panoramas, pair_by_order, pair_randomly

LEFTS = [Path("left") / f"{number}.jpg" for number in range(7)]
RIGHTS = [Path("right") / f"{number}.jpg" for number in range(5)]


def test_by_order() -> None:
    assert pair_by_order(LEFTS[:5], RIGHTS) == list(zip(LEFTS, RIGHTS, strict=False))
    with pytest.raises(ValueError, match="7 left and 5 right"):
        pair_by_order(LEFTS, RIGHTS)


@pytest.mark.parametrize(
    ("lefts", "rights"),
    [
        ("Alps beach Coast", "alps Beach coast"),
        ("photo1 photo2 photo10", "photo01 photo002 photo10"),
        ("a2 a10 A11", "b1 b3 b20"),
        ("IMG_9 img_10", "img_9 IMG_10"),
        ("9 10 hill", "9 10 hill"),
        ("a a1 a-1", "a a1 A-1"),
        ("1² 2", "1² 2"),
    ],
)
def test_names_are_ordered_as_people_do(lefts: str, rights: str) -> None:
    pairs = [
        (Path(f"{left}.jpg"), Path(f"{right}.png")) for left, right in zip(lefts.split(), rights.split(), strict=True)
    ]
    random = Random(0)
    for _ in range(4):
        shuffled = [random.sample(side, len(pairs)) for side in zip(*pairs, strict=True)]
        assert sorted(pair_by_order(*shuffled)) == sorted(pairs)


def test_the_same_names_meet_whatever_the_extensions() -> None:
    lefts = [Path("left") / name for name in ("b.jpg", "a.png", "Z\u00fcrich.png")]
    rights = [Path("right") / name for name in ("A.tif", "B.jpg", "Zu\u0308rich.jpg")]
    pairs = pair_by_order(lefts, rights)
    assert pairs == [(lefts[1], rights[0]), (lefts[0], rights[1]), (lefts[2], rights[2])]
    assert have_same_names(pairs)
    assert not have_same_names([*pairs, (Path("c.png"), Path("d.png"))])


def test_names_that_are_not_distinct_go_by_order() -> None:
    lefts, rights = [[Path(side) / name for name in ("1.jpg", "1.png", "2.jpg")] for side in ("left", "right")]
    assert pair_by_order(lefts, rights) == list(zip(lefts, rights, strict=True))


def test_random_pairs_use_every_photo_and_depend_on_the_seed_alone() -> None:
    pairs = pair_randomly(LEFTS, RIGHTS, seed=3)
    assert [left for left, _ in pairs] == LEFTS
    assert {right for _, right in pairs[:5]} == set(RIGHTS)
    assert pair_randomly(LEFTS, RIGHTS, seed=3) == pairs
    assert any(pair_randomly(LEFTS, RIGHTS, seed=seed) != pairs for seed in range(3))


@pytest.mark.parametrize("seed", range(20))
def test_within_one_folder_no_photo_meets_itself(seed: int) -> None:
    pairs = pair_randomly(LEFTS, LEFTS, seed)
    assert sorted(left for left, _ in pairs) == sorted(right for _, right in pairs) == LEFTS
    assert all(left != right for left, right in pairs)


def test_panoramas_are_named_after_both_photos() -> None:
    pairs = [(Path("here/lake.jpg"), Path("there/hill.png"))]
    assert name_panoramas(pairs, Path("out"), both_orders=True) == [
        Job(Path("here/lake.jpg"), Path("there/hill.png"), Path("out/lake__hill.png")),
        Job(Path("there/hill.png"), Path("here/lake.jpg"), Path("out/hill__lake_swapped.png")),
    ]


def test_names_are_distinct_where_the_photos_names_are_not() -> None:
    pairs = [
        (Path("left/1.jpg"), Path("right/1.jpg")),
        (Path("left/1.png"), Path("right/2.jpg")),
        (Path("left/2.jpg"), Path("right/1.png")),
    ]
    outputs = [job.output for job in name_panoramas(pairs, Path("out"), both_orders=True)]
    assert len(set(outputs)) == 6


def test_long_names_are_shortened_and_stay_distinct() -> None:
    lefts = [Path(80 * "山" + f"{number}.jpg") for number in range(3)]
    rights = [Path(80 * "湖" + f"{number}.jpg") for number in range(3)]
    outputs = [job.output for job in name_panoramas(list(zip(lefts, rights, strict=True)), Path(), both_orders=True)]
    assert len(set(outputs)) == 6
    for output in outputs:
        assert 250 <= len(output.name.encode()) <= 255
        assert output.suffix == ".png"
    assert outputs == [
        job.output for job in name_panoramas(list(zip(lefts, rights, strict=True)), Path(), both_orders=True)
    ]
