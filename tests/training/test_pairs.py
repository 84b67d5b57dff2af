"""The table of each photo's nearest ones: made, converted, written and read again."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn

from tests.golden.seeded import seeded_image
from training import pairs
from training.pairs import (
    PairsConfig,
    make_table,
    nearest_in,
    nearest_photos,
    photo_names,
    read_matrix,
    read_neighbours,
    squared_distances,
    write_neighbours,
)
from training.perceptual import PerceptualDistance, perceptual_distance

SCRIPT = Path(pairs.__file__)


class Colours(nn.Module):
    """A network fast enough for many photos."""

    def forward(self, images):
        return [nn.functional.avg_pool2d(images, 64) - 0.5, nn.functional.avg_pool2d(images, 128) - 0.4]


@pytest.fixture
def colours():
    return PerceptualDistance(Colours(), [torch.tensor([0.5, 1.0, 2.0]), torch.ones(1)])


def save_photo(path, seed, size=(48, 32)):
    path.parent.mkdir(parents=True, exist_ok=True)
    coarse = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    return [save_photo(tmp_path / "photos" / f"{number:02}.png", number) for number in range(23)]


def squares(photos):
    """The whole photos at 256×256, read the plain way."""
    images = [Image.open(photo).resize((256, 256), Image.Resampling.LANCZOS) for photo in photos]
    return torch.stack([torch.from_numpy(np.array(image)) for image in images]).permute(0, 3, 1, 2) / 255


@torch.inference_mode()
def matrix_of(distance, photos):
    """All distances, each computed on its own."""
    images = squares(photos)
    rows = [distance(image.expand_as(images), images) for image in images]
    return torch.stack(rows)


def test_the_nearest_are_those_of_all_distances_computed_one_by_one(photos, colours):
    matrix = matrix_of(colours, photos)
    distances, numbers = nearest_photos(colours, photos, 5)
    expected, expected_numbers = nearest_in(matrix, 5)
    torch.testing.assert_close(distances, expected, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(numbers, expected_numbers)
    assert (numbers != torch.arange(23)[:, None]).all()
    assert (distances.diff(dim=1) >= 0).all() and (distances > 0).all()


@pytest.mark.parametrize("tile", [1, 4, 23])
def test_with_room_for_a_few_embeddings_the_nearest_are_the_same(photos, colours, tile, monkeypatch):
    expected, expected_numbers = nearest_photos(colours, photos, 22)
    monkeypatch.setattr(pairs, "TILE", tile)
    monkeypatch.setattr(pairs, "EMBEDDED_NUMBERS", 3 * 60)
    for memory in (1e-9, 8 * 2 * 60 / 1e9):  # a tile; 8 photos of 60 numbers
        distances, numbers = nearest_photos(colours, photos, 22, memory=memory)
        torch.testing.assert_close(distances, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(numbers, expected_numbers)


def test_a_photo_is_embedded_once_if_all_fit(photos, colours, monkeypatch):
    monkeypatch.setattr(pairs, "TILE", 4)
    seen = []
    embed = colours.embed
    colours.embed = lambda images: seen.append(len(images)) or embed(images)
    nearest_photos(colours, photos, 5)
    assert sum(seen) == len(photos) + 1  # one to learn the length


def test_photos_are_taken_upright(tmp_path, colours):
    upright = save_photo(tmp_path / "upright.png", 1)
    turned = tmp_path / "turned.png"
    exif = Image.Exif()
    exif[0x0112] = 6
    with Image.open(upright) as image:
        image.transpose(Image.Transpose.ROTATE_90).save(turned, exif=exif)
    distances, _ = nearest_photos(colours, [upright, turned], 5)
    assert distances.shape == (2, 1) and distances.max() < 1e-6


def test_one_photo_has_no_pair(photos, colours):
    with pytest.raises(ValueError, match="found 1 photo; a pair takes two"):
        nearest_photos(colours, photos[:1], 3)


@pytest.fixture(scope="module")
def alexnet(tmp_path_factory):
    """A file of random weights."""
    torch.manual_seed(0)
    state = torchvision.models.alexnet(weights=None).features.state_dict()
    path = tmp_path_factory.mktemp("alexnet") / "alexnet.pth"
    torch.save({f"features.{key}": value for key, value in state.items()}, path)
    return path


@torch.inference_mode()
def test_the_products_of_long_half_precision_embeddings_lose_nothing_visible(alexnet):
    """Not between different images, nor between one and its copy with a little noise."""
    distance = perceptual_distance("lpips-alex", alexnet)
    images = torch.cat([seeded_image(seed) for seed in (1, 2, 3)])
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
    images = torch.cat([images, (images + 0.01 * noise).clamp(0, 1)])
    embeddings = distance.embed(images)
    assert embeddings.shape == (6, 640128)
    direct = torch.stack([(row - embeddings).double().square().sum(dim=1) for row in embeddings]).float()
    found = squared_distances(embeddings.half(), embeddings.half())
    assert (direct < 0.05 * direct.max()).sum() > 6  # the noisy copies are near
    torch.testing.assert_close(found, direct, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(found, found.T, rtol=1e-4, atol=1e-6)


def test_distances_of_long_vectors_are_as_exact_as_their_lengths_allow():
    generator = torch.Generator().manual_seed(0)
    rows, others = (torch.randn(count, 50_000, generator=generator) for count in (5, 7))
    direct = (rows[:, None].double() - others.double()).square().sum(dim=-1).float()
    torch.testing.assert_close(squared_distances(rows, others), direct, rtol=1e-6, atol=0)
    near = rows + 1e-3 * torch.randn(rows.shape, generator=generator)
    found = squared_distances(rows, near).diagonal()
    torch.testing.assert_close(found, (rows - near).square().sum(dim=1), rtol=0, atol=1e-6 * 50_000)
    assert (squared_distances(rows, rows) >= 0).all()


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


NAMES = ("a.jpg", "b.jpg", "sub/c.jpg", "ü.jpg")

MATRIX = torch.tensor([[0, 3, 1, 2], [3, 0, 5, 4], [1, 5, 0, 6], [2, 4, 6, 0.0]]) / 10


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


def numpy_1(path):
    """The file as NumPy 1 would have written it: a module of it has been renamed since."""
    with zipfile.ZipFile(path) as file:
        contents = {entry: file.read(entry) for entry in file.infolist()}
    with zipfile.ZipFile(path, "w") as file:
        for entry, content in contents.items():
            file.writestr(entry, content.replace(b"numpy._core.", b"numpy.core."))


@pytest.mark.parametrize(
    "saved",
    [MATRIX, MATRIX.double(), MATRIX[..., None, None], MATRIX.numpy(), MATRIX.double().numpy(), MATRIX.tolist()],
    ids=["single", "double", "4-d", "numpy", "numpy double", "list"],
)
def test_a_matrix_is_read_from_a_tensor_or_an_array(saved, tmp_path):
    torch.save(saved, tmp_path / "matrix.pt")
    torch.testing.assert_close(read_matrix(tmp_path / "matrix.pt"), MATRIX)
    numpy_1(tmp_path / "matrix.pt")
    torch.testing.assert_close(read_matrix(tmp_path / "matrix.pt"), MATRIX)


def test_whatever_is_on_the_diagonal_a_photo_is_no_neighbour_of_itself(tmp_path):
    for value in (torch.inf, torch.nan, -1.0, 99.0):
        torch.save(MATRIX.clone().fill_diagonal_(value), tmp_path / "matrix.pt")
        distances, numbers = nearest_in(read_matrix(tmp_path / "matrix.pt"), 9)
        assert numbers.tolist() == [[2, 3, 1], [0, 3, 2], [0, 1, 3], [0, 1, 2]]
        assert distances[0].tolist() == pytest.approx([0.1, 0.2, 0.3])


@pytest.mark.parametrize(
    ("saved", "message"),
    [
        (torch.zeros(3, 4), r"matrix.pt holds an array of shape \(3, 4\); a matrix of distances must be square"),
        (torch.zeros(4), r"shape \(4,\)"),
        (torch.full((3, 3), torch.nan), "holds distances that are not finite"),
        ({"matrix": torch.zeros(3, 3)}, "is no torch file of a matrix"),
        (io.StringIO, "is no torch file of a matrix"),
    ],
    ids=["oblong", "vector", "nan", "dict", "code"],
)
def test_another_content_than_a_matrix_is_refused(saved, message, tmp_path):
    torch.save(saved, tmp_path / "matrix.pt")
    with pytest.raises(ValueError, match=message):
        read_matrix(tmp_path / "matrix.pt")


def test_another_file_than_torchs_is_refused(tmp_path):
    (tmp_path / "matrix.pt").write_text("0 1\n1 0\n")
    with pytest.raises(ValueError, match=r"matrix.pt is no torch file of a matrix"):
        read_matrix(tmp_path / "matrix.pt")
    with pytest.raises(ValueError, match=r"none.pt cannot be read: No such file"):
        read_matrix(tmp_path / "none.pt")


def test_half_a_matrix_is_remarked_on(tmp_path, caplog):
    torch.save(MATRIX, tmp_path / "matrix.pt")
    read_matrix(tmp_path / "matrix.pt")
    assert not caplog.text
    torch.save(MATRIX.triu(), tmp_path / "matrix.pt")
    read_matrix(tmp_path / "matrix.pt")
    assert "matrix.pt is not symmetric" in caplog.text


def test_a_matrix_is_converted_by_a_list_of_files(tmp_path, table):
    torch.save(MATRIX, tmp_path / "train_LPIPS_256x256.pt")
    (tmp_path / "list.txt").write_text("\ufeff" + "\r\n".join(NAMES) + "\r\n\r\n", encoding="utf-8")
    config = PairsConfig(
        out=tmp_path / "converted.json",
        matrix=tmp_path / "train_LPIPS_256x256.pt",
        file_list=tmp_path / "list.txt",
        nearest=2,
    )
    make_table(config)
    converted, made = (json.loads(path.read_bytes()) for path in (config.out, table))
    assert converted["neighbours"] == made["neighbours"]
    assert converted["network"] == "train_LPIPS_256x256.pt"


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
