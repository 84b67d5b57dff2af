from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.training.photo_distances import MATRIX, NAMES
from training.nearest_photos import nearest_in
from training.neighbour_table import photo_names, read_neighbours, write_neighbours


def test_photos_are_named_by_their_path_in_the_folder(tmp_path):
    folders = [tmp_path / "a", tmp_path / "b"]
    photos = [folders[0] / "one.jpg", folders[0] / "sub" / "two.jpg", folders[1] / "three.jpg"]
    assert list(photo_names(photos, folders).values()) == ["a/one.jpg", "a/sub/two.jpg", "b/three.jpg"]
    assert photo_names([Path("one.jpg")], [Path()]) == {Path("one.jpg"): "one.jpg"}


def test_a_folder_within_another_names_its_own_photos(tmp_path):
    photo, folders = tmp_path / "a" / "b" / "one.jpg", [tmp_path / "a", tmp_path / "a" / "b"]
    assert photo_names([photo], folders) == photo_names([photo], folders[::-1]) == {photo: "b/one.jpg"}


@pytest.mark.parametrize(
    ("folders", "photos"),
    [
        (("x/a", "y/a"), ("x/a/one.jpg", "y/a/one.jpg")),
        (("a", "c/a"), ("a/b/one.jpg", "c/a/b/one.jpg")),
    ],
)
def test_photos_that_cannot_be_told_apart_by_name_are_refused(folders, photos, tmp_path):
    with pytest.raises(ValueError, match=r"would both be called a/.*one.jpg; rename one of their folders"):
        photo_names([tmp_path / photo for photo in photos], [tmp_path / folder for folder in folders])


def test_a_photo_from_elsewhere_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"one.jpg is in none of the folders .*photos"):
        photo_names([tmp_path / "one.jpg"], [tmp_path / "photos"])


@pytest.fixture
def table(tmp_path):
    write_neighbours(tmp_path / "pairs.json", "lpips-alex", NAMES, *nearest_in(MATRIX, 2))
    return tmp_path / "pairs.json"


def test_the_table_names_files_nearest_first(table):
    content = json.loads(table.read_bytes().decode())
    assert content["network"] == "lpips-alex"
    assert [(name, list(row.items())) for name, row in content["neighbours"].items()] == [
        ("a.jpg", [("sub/c.jpg", 0.1), ("ü.jpg", 0.2)]),
        ("b.jpg", [("a.jpg", 0.3), ("ü.jpg", 0.4)]),
        ("sub/c.jpg", [("a.jpg", 0.1), ("b.jpg", 0.5)]),
        ("ü.jpg", [("a.jpg", 0.2), ("b.jpg", 0.4)]),
    ]
    assert [path.name for path in table.parent.iterdir()] == ["pairs.json"]


def test_reading_gives_the_nearest_of_the_photos_to_pair(table):
    names = {Path("photos", name): name for name in NAMES}
    a, b, c, u = names
    assert read_neighbours(table, names, 1) == {a: [c], b: [a], c: [a], u: [a]}
    assert read_neighbours(table, names, 5) == {a: [c, u], b: [a, u], c: [a, b], u: [a, b]}
    held_back = {photo: name for photo, name in names.items() if photo != a}
    assert read_neighbours(table, held_back, 2) == {b: [u], c: [b], u: [b]}


def test_reading_sorts_and_leaves_out_the_photo_itself(tmp_path):
    path = tmp_path / "pairs.json"
    rows = {"a": {"a": 0.0, "c": 0.5, "b": 0.2}, "b": {"a": 0.2}, "c": {"a": 0.5}}
    path.write_text(json.dumps({"network": "other", "neighbours": rows}))
    a, b, c = Path("a"), Path("b"), Path("c")
    assert read_neighbours(path, {a: "a", b: "b", c: "c"}, 2) == {a: [b, c], b: [a], c: [a]}


def test_a_photo_that_the_table_does_not_know_is_refused(table):
    names = {Path(name): name for name in (*NAMES, "new.jpg", "newer.jpg")}
    with pytest.raises(ValueError, match=r"has no row for 2 of 6 photos, such as new.jpg; make the table again"):
        read_neighbours(table, names, 1)


def test_a_photo_without_any_neighbour_left_is_refused(table):
    names = {Path(name): name for name in ("b.jpg", "sub/c.jpg")}
    with pytest.raises(ValueError, match=r"none of the 2 neighbours of b.jpg .* among the 2 photos.*more --nearest"):
        read_neighbours(table, names, 1)


@pytest.mark.parametrize("content", ["", "[]", '{"neighbours": {"a": ["b"]}}', '{"network": "x"}'])
def test_a_file_that_is_no_table_is_refused(content, tmp_path):
    (tmp_path / "pairs.json").write_text(content)
    with pytest.raises(ValueError, match=r"pairs.json is no table of neighbours; make one with"):
        read_neighbours(tmp_path / "pairs.json", {}, 1)


def test_a_missing_table_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"none.json cannot be read: No such file"):
        read_neighbours(tmp_path / "none.json", {}, 1)
