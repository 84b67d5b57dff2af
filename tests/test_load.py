"""What `scripts.load` would find, without a ComfyUI: another picture, and memory that grows."""

from __future__ import annotations

from random import Random

import numpy as np

from scripts.load import HEIGHTS, KINDS, MODELS, differences, growth, name_graph, plan


def test_another_picture_is_found() -> None:
    expected = {"save": np.full((4, 6, 3), 100, np.uint8)}
    assert differences("graph", {"save": expected["save"].copy()}, expected) == []
    changed = expected["save"].copy()
    changed[3, 5, 2] = 97
    assert differences("graph", {"save": changed}, expected) == [
        "graph, save: up to 3 levels of 8 bits from what it is alone"
    ]
    assert len(differences("graph", {"save": changed[:3]}, expected)) == 1
    assert len(differences("graph", {}, expected)) == 1


def test_growth_is_of_the_last_fifth_over_the_second() -> None:
    assert growth([1, 1, 1, 1]) is None
    assert growth([9, 9, 1, 3, 5, 5, 5, 5, 2, 4]) == 1.5


def test_plan_depends_on_the_seed_alone_and_has_all_in_it() -> None:
    steps = plan(Random(0), 500)
    assert len(steps) == 500
    assert steps == plan(Random(0), 500)
    assert steps != plan(Random(1), 500)
    assert {step.graph for step in steps} == {
        name_graph(kind, height, model) for kind in KINDS for height in HEIGHTS for model in MODELS
    }
    assert {step.cancelled for step in steps} == {None, "while it waits", "while it computes"}
    assert 0.06 < sum(step.cancelled is not None for step in steps) / len(steps) < 0.14
    assert any(step.free for step in steps)
