"""How much is computed, counted and not timed: what nobody sees is not made, and nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from scripts.compare_pictures import scaled
from wrb import blend, load_generator
from wrb.detail import add_detail
from wrb.images import read_image
from wrb.network.generator import Encoding, Generator

GIGA = 1e9

SAMPLES = Path(__file__).parents[1] / "samples"


def count_flops(function: Callable[[], object]) -> float:
    """Thousand millions of them; a multiplication and its addition are two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        function()
    return counter.get_total_flops() / GIGA


class TestAForwardPass:
    """Of the authors' size, without numbers: none that is counted depends on them."""

    @pytest.fixture
    def generator(self) -> Generator:
        with torch.device("meta"):
            return Generator().eval()

    @pytest.fixture
    def photos(self) -> Tensor:
        return torch.rand(2, 1, 3, 256, 256, device="meta")

    @pytest.fixture
    def encodings(self, generator: Generator, photos: Tensor) -> tuple[Encoding, Encoding]:
        with torch.inference_mode():
            return generator.encode_pair(*photos)

    def test_encoding(self, generator: Generator, photos: Tensor) -> None:
        assert count_flops(lambda: generator.encode_pair(*photos)) == pytest.approx(7.38, abs=0.01)

    @pytest.mark.parametrize(
        ("columns", "redrawn", "kept"), [(1, 42.82, 38.62), (4, 59.12, 54.93), (16, 124.35, 120.15)]
    )
    def test_of_kept_photos_no_more_is_decoded_than_reaches_the_gap(
        self, columns: int, redrawn: float, kept: float, generator: Generator, encodings: tuple[Encoding, Encoding]
    ) -> None:
        assert count_flops(lambda: generator.generate(*encodings, columns)) == pytest.approx(redrawn, abs=0.01)
        alone = count_flops(lambda: generator.generate(*encodings, columns, gap_alone=True))
        assert alone == pytest.approx(kept, abs=0.01)

    @pytest.mark.parametrize(("columns", "saved"), [(1, 2.01), (3, 2.55), (4, 2.82), (5, 2.82)])
    def test_nothing_is_written_again_for_another_gap(
        self, columns: int, saved: float, generator: Generator, encodings: tuple[Encoding, Encoding]
    ) -> None:
        with torch.inference_mode():
            written = generator.generate(*encodings, 4).transfer
        fresh, again = (
            count_flops(lambda past=past: generator.generate(*encodings, columns, written=past))
            for past in (None, written)
        )
        assert fresh - again == pytest.approx(saved, abs=0.01)


class Operations(TorchDispatchMode):
    """Counts what torch is told to do, and the bytes of all tensors that this makes anew."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.num_bytes = 0

    def __torch_dispatch__(self, function: Any, types: Any, arguments: Any = (), keywords: Any = None) -> Any:
        result = function(*arguments, **(keywords or {}))
        self.count += 1
        given = {tensor.untyped_storage().data_ptr() for tensor in tree_leaves(arguments) if isinstance(tensor, Tensor)}
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor) and tensor.untyped_storage().data_ptr() not in given:
                self.num_bytes += tensor.nbytes
        return result


class TestTheDetail:
    """What arranges the pieces costs the same at any height; only what copies them grows with the pixels."""

    @staticmethod
    def operations(height: int) -> Operations:
        left, right = (
            scaled(read_image(SAMPLES / f"wrb_sample_{name}.jpg"), height, height) for name in ("desert", "lake")
        )
        squares = scaled(left, 256, 256), scaled(right, 256, 256)
        gap = squares[0].lerp(squares[1], 0.5)
        # once before, as some things are loaded then
        add_detail(gap, left, right, height, squares=squares)
        with torch.inference_mode(), Operations() as counted:
            add_detail(gap, left, right, height, squares=squares)
        return counted

    def test_its_operations_are_as_many_at_four_times_the_height_and_its_bytes_grow_with_the_pixels(self) -> None:
        low, high = self.operations(256), self.operations(1024)
        assert high.count == low.count < 8600
        bytes_per_pixel = (high.num_bytes - low.num_bytes) / (1024**2 - 256**2)
        assert bytes_per_pixel < 200


def test_a_blend_makes_80_megabytes_of_tensors_for_a_megapixel() -> None:
    """Of its panorama, which itself has 12; they are not there at once."""
    generator = load_generator()
    num_bytes = []
    for height in (512, 1024):
        left, right = torch.rand(2, 1, 3, height, height)
        with Operations() as counted:
            blend(generator, left, right)
        num_bytes.append(counted.num_bytes)
    assert (num_bytes[1] - num_bytes[0]) / (3 * (1024**2 - 512**2)) < 80
