"""The nearest photos: found by comparing them, or read from a matrix of distances."""

from __future__ import annotations

import io
import zipfile

import pytest
import torch
from PIL import Image
from torch import nn

from tests.golden.seeded import seeded_image
from tests.training.photo_distances import MATRIX, matrix_of, save_photo
from training import nearest_photos as module
from training.nearest_photos import nearest_in, nearest_photos, read_matrix, squared_distances
from training.perceptual import PerceptualDistance, perceptual_distance


class Colours(nn.Module):
    """A network fast enough for many photos."""

    def forward(self, images):
        return [nn.functional.avg_pool2d(images, 64) - 0.5, nn.functional.avg_pool2d(images, 128) - 0.4]


@pytest.fixture
def colours():
    return PerceptualDistance(Colours(), [torch.tensor([0.5, 1.0, 2.0]), torch.ones(1)])


@pytest.fixture
def photos(tmp_path):
    return [save_photo(tmp_path / "photos" / f"{number:02}.png", number) for number in range(23)]


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
    monkeypatch.setattr(module, "TILE", tile)
    monkeypatch.setattr(module, "EMBEDDED_NUMBERS", 3 * 60)
    for memory in (1e-9, 8 * 2 * 60 / 1e9):  # a tile; 8 photos of 60 numbers
        distances, numbers = nearest_photos(colours, photos, 22, memory=memory)
        torch.testing.assert_close(distances, expected, rtol=1e-6, atol=1e-7)
        torch.testing.assert_close(numbers, expected_numbers)


def test_a_photo_is_embedded_once_if_all_fit(photos, colours, monkeypatch):
    monkeypatch.setattr(module, "TILE", 4)
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
