"""The whole network against what the authors' code printed, and what must hold at any width, gap, batch and dtype."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks.plain_generator import PlainGenerator
from tests.conftest import MakeGenerator
from tests.golden.seeded import seeded_image
from wrb.network import attention
from wrb.network.config import GeneratorConfig
from wrb.network.content_transfer import ColumnLSTM, Transfer
from wrb.network.generator import Generator, reach


def relative_difference(found: Tensor, expected: Tensor) -> float:
    """Relative to the largest expected number."""
    assert found.shape == expected.shape
    return ((found - expected).abs().max() / expected.abs().max()).item()


@pytest.fixture
def photos() -> tuple[Tensor, Tensor]:
    return seeded_image(11, batch=2), seeded_image(12, batch=2)


def test_keys_and_shapes_are_the_published_ones() -> None:
    shapes = json.loads((Path(__file__).parents[1] / "golden" / "generator_shapes.json").read_text())
    with torch.device("meta"):
        state_dict = Generator().state_dict()
    assert len(shapes) == 400
    assert {name: list(tensor.shape) for name, tensor in state_dict.items()} == shapes


@pytest.mark.parametrize(
    ("name", "seed", "left_seeds", "right_seeds", "attention_levels"),
    [
        ("generator_w1_in11_12", 1, [11], [12], (1,)),
        ("generator_w2_batch2", 2, [21, 22], [23, 24], (1,)),
        ("generator_w3_attention123", 3, [31], [32], (1, 2, 3)),
    ],
)
def test_reproduces_the_golden_panoramas(
    name: str,
    seed: int,
    left_seeds: list[int],
    right_seeds: list[int],
    attention_levels: tuple[int, ...],
    read_golden: Callable[[str], dict[str, Tensor]],
    make_generator: MakeGenerator,
) -> None:
    golden = read_golden(name)
    generator = make_generator(seed=seed, attention_levels=attention_levels)
    left, right = (torch.cat([seeded_image(image) for image in seeds]) for seeds in (left_seeds, right_seeds))
    with_guesses = "left_to_right.left" in golden
    with torch.inference_mode():
        output = generator.generate(*generator.encode_pair(left, right), with_guesses=with_guesses)

    assert (output.panorama - golden["panorama"].float()).abs().max() <= 1e-3
    assert relative_difference(output.gap_features, golden["mid_features"]) <= 1e-4
    if with_guesses:
        for direction in ("left_to_right", "right_to_left"):
            expected = torch.cat([golden[f"{direction}.{part}"] for part in ("left", "middle", "right")], dim=-1)
            assert relative_difference(getattr(output.sequences, direction), expected) <= 1e-4


@pytest.mark.parametrize("gap_columns", [1, 3, 9])
def test_any_gap_width(gap_columns: int, tiny_generator: Generator, photos: tuple[Tensor, Tensor]) -> None:
    with torch.inference_mode():
        panorama = tiny_generator(*photos, gap_columns)
    assert panorama.shape == (2, 3, 256, 512 + 64 * gap_columns)
    assert 0 <= panorama.min() < panorama.max() <= 1


def test_a_batch_equals_its_members(tiny_generator: Generator, photos: tuple[Tensor, Tensor]) -> None:
    left, right = photos
    with torch.inference_mode():
        together = tiny_generator(left, right)
        apart = torch.cat([tiny_generator(left[[n]], right[[n]]) for n in range(2)])
    torch.testing.assert_close(together, apart, atol=1e-5, rtol=0)


def test_asking_for_the_sequences_changes_nothing_else(
    tiny_generator: Generator, photos: tuple[Tensor, Tensor]
) -> None:
    with torch.inference_mode():
        left, right = tiny_generator.encode_pair(*photos)
        plain = tiny_generator.generate(left, right, gap_columns=3)
        full = tiny_generator.generate(left, right, gap_columns=3, with_guesses=True)
    assert plain.sequences is None
    assert full.sequences is not None
    assert full.sequences.left_to_right.shape == full.sequences.right_to_left.shape == (2, 16, 4, 4 + 3 + 4)
    assert torch.equal(full.gap_features, plain.gap_features)
    assert torch.equal(full.panorama, plain.panorama)


@pytest.mark.parametrize("width", [4, 6, 16])
def test_other_widths(width: int, make_generator: MakeGenerator, photos: tuple[Tensor, Tensor]) -> None:
    with torch.inference_mode():
        panorama = make_generator(width=width)(*photos, 2)
    assert panorama.shape == (2, 3, 256, 640)
    assert panorama.isfinite().all()


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-5), (torch.float16, 4e-3), (torch.bfloat16, 8e-3)])
def test_other_dtypes(
    dtype: torch.dtype, tolerance: float, tiny_generator: Generator, photos: tuple[Tensor, Tensor]
) -> None:
    converted = copy.deepcopy(tiny_generator).to(dtype)
    with torch.inference_mode():
        panorama = converted(*(photo.to(dtype) for photo in photos))
        expected = tiny_generator(*photos)
    assert panorama.dtype == dtype
    # the mean, as untrained weights let single pixels jump at any rounding
    assert (panorama - expected).abs().mean() <= tolerance


def test_gradients_reach_the_photos_and_every_used_weight(
    make_generator: MakeGenerator, photos: tuple[Tensor, Tensor]
) -> None:
    generator = make_generator(width=2, attention_levels=(1, 3)).train()
    left, right = (photo.requires_grad_() for photo in photos)
    generator(left, right).square().sum().backward()
    for photo in (left, right):
        assert photo.grad is not None
        assert photo.grad.abs().sum() > 0
    unused = ("SHC0_mid", "SHC2_mid", "SHC4_mid")  # no attention at these levels
    for name, parameter in generator.named_parameters():
        assert (parameter.grad is None) == name.startswith(unused), name


@pytest.mark.parametrize(
    ("left", "right", "message"),
    [
        ((1, 3, 256, 256), (2, 3, 256, 256), "one shape"),
        ((1, 3, 256, 255), (1, 3, 256, 255), "255"),
        ((1, 4, 256, 256), (1, 4, 256, 256), "4, 256, 256"),
        ((3, 256, 256), (3, 256, 256), "takes"),
    ],
)
def test_refuses_photos_of_a_wrong_shape(
    left: tuple[int, ...], right: tuple[int, ...], message: str, tiny_generator: Generator
) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_generator(torch.zeros(left), torch.zeros(right))


def test_refuses_an_empty_gap(tiny_generator: Generator, photos: tuple[Tensor, Tensor]) -> None:
    with pytest.raises(ValueError, match="gap_columns is 0"):
        tiny_generator(*photos, 0)


@torch.inference_mode()
def test_sides_get_no_detail_back_at_levels_without_skips(
    make_generator: MakeGenerator, photos: tuple[Tensor, Tensor]
) -> None:
    without = make_generator(width=2, skip_levels=(1, 3))
    panorama = without(*photos)
    assert not torch.equal(panorama, make_generator(width=2)(*photos))
    for level in (0, 2, 4):
        for parameter in without.get_submodule(f"SHC{level}").parameters():
            parameter.zero_()
    assert torch.equal(without(*photos), panorama)


LEVELS = [(), (0,), (1,), (2,), (4,), (1, 3), (0, 1, 2, 3, 4)]


@pytest.mark.slow
@pytest.mark.parametrize("attention_levels", LEVELS)
@pytest.mark.parametrize("skip_levels", [(0, 1, 2, 3, 4), (1, 3)])
@torch.inference_mode()
def test_the_gap_alone_is_that_of_the_panorama(
    attention_levels: tuple[int, ...],
    skip_levels: tuple[int, ...],
    make_generator: MakeGenerator,
    photos: tuple[Tensor, Tensor],
) -> None:
    generator = make_generator(width=2, attention_levels=attention_levels, skip_levels=skip_levels).double()
    encodings = generator.encode_pair(*(photo.double() for photo in photos))
    for gap_columns in (1, 5):
        panorama = generator.generate(*encodings, gap_columns).panorama
        gap = generator.generate(*encodings, gap_columns, gap_alone=True).panorama
        torch.testing.assert_close(gap, panorama[..., 256:-256], atol=1e-6, rtol=0)


@pytest.mark.parametrize(("attention_levels", "level"), [((0, 1), 0), ((1,), 1), ((), 2)])
@torch.inference_mode()
def test_no_column_of_the_sides_is_decoded_without_need(
    attention_levels: tuple[int, ...], level: int, photos: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one column less of them at the level from which they are cropped, the gap is another."""
    enough = reach
    monkeypatch.setattr("wrb.network.generator.reach", lambda at: enough(at) - (at == level))
    generator = Generator(GeneratorConfig(width=8, attention_levels=attention_levels)).eval().double()
    for weight in generator.parameters():
        weight.mul_(1.5)  # of untrained ones, little comes through from afar
    encodings = generator.encode_pair(*(photo.double() for photo in photos))
    panorama = generator.generate(*encodings, 1).panorama
    gap = generator.generate(*encodings, 1, gap_alone=True).panorama
    assert (gap - panorama[..., 256:-256]).abs().max() > 1e-9


@torch.inference_mode()
def test_another_gap_between_the_same_photos_goes_on_from_what_is_written(
    tiny_generator: Generator, photos: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    encodings = tiny_generator.encode_pair(*photos)
    fresh = {columns: tiny_generator.generate(*encodings, columns) for columns in (2, 3, 5)}
    wider = tiny_generator.generate(*encodings, 5, written=fresh[3].transfer)
    assert torch.equal(wider.panorama, fresh[5].panorama)
    assert torch.equal(wider.transfer.columns, fresh[5].transfer.columns)
    monkeypatch.setattr(ColumnLSTM, "read", None)
    for columns in (2, 3):
        again = tiny_generator.generate(*encodings, columns, written=fresh[3].transfer)
        assert torch.equal(again.panorama, fresh[columns].panorama)
        parts = Transfer.cat([fresh[3].transfer[:1], fresh[3].transfer[1:]])
        again = tiny_generator.generate(*encodings, columns, written=parts)
        assert torch.equal(again.panorama, fresh[columns].panorama)


@torch.inference_mode()
def test_attention_that_is_next_to_nothing_is_left_out(
    make_generator: MakeGenerator, photos: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has no digit in common with the rest: the sum is the same to the bit."""
    generator = make_generator(width=8, attention_levels=(1, 2))
    panorama = generator(*photos)
    monkeypatch.setattr(attention, "NEGLIGIBLE", -1.0)
    assert torch.equal(generator(*photos), panorama)


@torch.inference_mode()
def test_what_is_to_be_seen_in_a_gap_of_any_width_is_encoded(tiny_generator: Generator) -> None:
    encoding = tiny_generator.encode(torch.rand(1, 3, 256, 7 * 64))
    assert encoding.transfer.shape == (1, 16, 4, 7)
    with pytest.raises(ValueError, match="320 px wide"):
        tiny_generator(torch.rand(1, 3, 256, 320), torch.rand(1, 3, 256, 320))


@pytest.mark.parametrize("fields", [{"width": 3}, {"width": 0}, {"attention_levels": (1, 5)}, {"skip_levels": (-1,)}])
def test_refuses_an_impossible_configuration(fields: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(fields))):
        GeneratorConfig(**fields)


def test_attention_levels_are_put_in_order() -> None:
    assert GeneratorConfig(attention_levels=(3, 1, 3)).attention_levels == (1, 3)


@pytest.mark.parametrize(("attention_levels", "gap_columns"), [((1,), 4), ((0, 1, 2, 3, 4), 2), ((), 1)])
def test_equals_the_plain_generator(
    attention_levels: tuple[int, ...], gap_columns: int, make_generator: MakeGenerator, photos: tuple[Tensor, Tensor]
) -> None:
    generator = make_generator(width=4, attention_levels=attention_levels).double()
    left, right = (photo.double() for photo in photos)
    plain = PlainGenerator(generator.state_dict(), attention_levels)
    with torch.inference_mode():
        torch.testing.assert_close(generator(left, right, gap_columns), plain(left, right, gap_columns))
