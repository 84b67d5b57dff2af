"""The command that makes the table of nearest photos, or converts a matrix to it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from tests.training.photo_distances import MATRIX, NAMES, matrix_of, save_photo
from training import pairs
from training.nearest_photos import nearest_in
from training.neighbour_table import photo_names, read_neighbours, write_neighbours
from training.pairs import PairsConfig, make_table
from training.perceptual import perceptual_distance

SCRIPT = Path(pairs.__file__)


def test_a_matrix_is_converted_by_a_list_of_files(tmp_path):
    write_neighbours(tmp_path / "made.json", "lpips-alex", NAMES, *nearest_in(MATRIX, 2))
    torch.save(MATRIX, tmp_path / "train_LPIPS_256x256.pt")
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join(NAMES) + "\r\n\r\n", encoding="utf-8")
    config = PairsConfig(
        out=tmp_path / "converted.json",
        matrix=tmp_path / "train_LPIPS_256x256.pt",
        file_list=tmp_path / "list.txt",
        nearest=2,
    )
    make_table(config)
    converted, made = (json.loads(path.read_bytes()) for path in (config.out, tmp_path / "made.json"))
    assert converted["neighbours"] == made["neighbours"]
    assert converted["network"] == "train_LPIPS_256x256.pt"


def test_a_list_of_another_system_names_the_photos_as_a_table_does(tmp_path):
    torch.save(MATRIX[:2, :2], tmp_path / "matrix.pt")
    (tmp_path / "list.txt").write_bytes(b'\xef\xbb\xbf"sea\\a.jpg"\r\n hill\\b.jpg \r\n')
    make_table(PairsConfig(out=tmp_path / "p.json", matrix=tmp_path / "matrix.pt", file_list=tmp_path / "list.txt"))
    assert list(json.loads((tmp_path / "p.json").read_bytes())["neighbours"]) == ["sea/a.jpg", "hill/b.jpg"]


def test_a_matrix_is_converted_by_the_photos_found_in_sorted_order(tmp_path):
    for name in ("c.png", "a.png", "b.png"):
        save_photo(tmp_path / "photos" / name, 1, (768, 256))
    save_photo(tmp_path / "photos" / "aa too small.png", 1, (700, 256))
    torch.save(MATRIX[:3, :3], tmp_path / "matrix.pt")
    make_table(PairsConfig(photos=(tmp_path / "photos",), out=tmp_path / "p.json", matrix=tmp_path / "matrix.pt"))
    rows = json.loads((tmp_path / "p.json").read_bytes())["neighbours"]
    assert {name: list(row) for name, row in rows.items()} == {
        "a.png": ["c.png", "b.png"],
        "b.png": ["a.png", "c.png"],
        "c.png": ["a.png", "b.png"],
    }
    torch.save(MATRIX, tmp_path / "matrix.pt")
    with pytest.raises(ValueError, match=r"matrix.pt has 4 rows, but the folders 3 photos; give the list"):
        make_table(PairsConfig(photos=(tmp_path / "photos",), out=tmp_path / "p.json", matrix=tmp_path / "matrix.pt"))


@pytest.mark.parametrize(
    ("content", "message"),
    [("a.jpg\nb.jpg\n", r"has 4 rows, but .*list.txt 2 photos"), ("a\nb\na\nc\n", r"list.txt names a twice")],
)
def test_a_list_that_does_not_fit_the_matrix_is_refused(content, message, tmp_path):
    torch.save(MATRIX, tmp_path / "matrix.pt")
    (tmp_path / "list.txt").write_text(content)
    files = {"matrix": tmp_path / "matrix.pt", "file_list": tmp_path / "list.txt"}
    with pytest.raises(ValueError, match=message):
        make_table(PairsConfig(out=tmp_path / "p.json", **files))
    assert not (tmp_path / "p.json").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({}, "give folders of photos, or a matrix with a file_list"),
        ({"matrix": Path("m.pt")}, "give folders of photos, or a matrix with a file_list"),
        ({"photos": (Path("p"),), "matrix": Path("m.pt"), "file_list": Path("l.txt")}, "and not both"),
        ({"photos": (Path("p"),), "file_list": Path("l.txt")}, "file_list names the rows of a matrix"),
        ({"photos": (Path("p"),), "nearest": 0}, "nearest is 0; it must be at least 1"),
        ({"photos": (Path("p"),), "memory": 0.0}, "memory is 0.0; it must be above 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        PairsConfig(out=Path("pairs.json"), **settings)


def test_photos_of_two_folders_are_compared_by_a_local_network(tmp_path, alexnet):
    folders = (tmp_path / "x", tmp_path / "y")
    photos = [save_photo(folder / f"{n}.png", seed=n, size=(768, 256)) for folder in folders for n in range(2)]
    photos.append(save_photo(folders[1] / "2.png", 2, (768, 256)))
    make_table(PairsConfig(photos=folders, out=tmp_path / "p.json", weights=alexnet, nearest=3, device="cpu"))
    table = json.loads((tmp_path / "p.json").read_bytes())
    assert table["network"] == "lpips-alex"
    matrix = matrix_of(perceptual_distance("lpips-alex", alexnet), photos)
    names = photo_names(photos, folders)
    assert list(names.values()) == ["x/0.png", "x/1.png", "y/0.png", "y/1.png", "y/2.png"]
    numbers = {name: number for number, name in enumerate(names.values())}
    assert table["neighbours"].keys() == numbers.keys()
    for name, row in table["neighbours"].items():
        assert len(row) == 3 and name not in row and list(row.values()) == sorted(row.values())
        for other, value in row.items():
            assert value == pytest.approx(matrix[numbers[name], numbers[other]].item(), rel=1e-3, abs=1e-6)
    nearest = read_neighbours(tmp_path / "p.json", names, 1)
    assert nearest[photos[0]] == [photos[2]] and nearest[photos[3]] == [photos[1]]  # the same photo, twice


@pytest.mark.slow
def test_the_plain_script_runs_from_any_folder(tmp_path):
    for name in ("a.png", "b.png", "sub/c.png"):
        save_photo(tmp_path / "photos" / name, 1, (768, 256))
    arguments = ["--photos", "photos", "--out", "p.json", "--network", "efficientnet-lite0", "--nearest", "1"]
    subprocess.run([sys.executable, SCRIPT, *arguments], cwd=tmp_path, check=True)
    rows = json.loads((tmp_path / "p.json").read_bytes())["neighbours"]
    assert {name: len(row) for name, row in rows.items()} == dict.fromkeys(["a.png", "b.png", "sub/c.png"], 1)
