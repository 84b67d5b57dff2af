"""Who meets whom, and that no two panoramas share a name."""

from __future__ import annotations

from pathlib import Path

import pytest

from wrb.jobs import Job, name_panoramas, pair_by_order, pair_randomly

LEFTS = [Path("left") / f"{number}.jpg" for number in range(7)]
RIGHTS = [Path("right") / f"{number}.jpg" for number in range(5)]


def test_by_order() -> None:
    assert pair_by_order(LEFTS[:5], RIGHTS) == list(zip(LEFTS, RIGHTS, strict=False))
    with pytest.raises(ValueError, match="7 left and 5 right"):
        pair_by_order(LEFTS, RIGHTS)


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
