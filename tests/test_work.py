"""How much is computed, counted and not timed: what nobody sees is not made, and nothing is made twice."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from wrb.network.generator import Encoding, Generator

GIGA = 1e9


def count_flops(function: Callable[[], object]) -> float:
    """Thousand millions of them; a multiplication and its addition are two."""
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        function()
    return counter.get_total_flops() / GIGA


class TestAForwardPass:
    """Of the authors' size, without numbers: none that is counted depends on them."""

    @pytest.fixture(scope="class")
    def generator(self) -> Generator:
        with torch.device("meta"):
            return Generator().eval()

    @pytest.fixture(scope="class")
    def photos(self) -> Tensor:
        return torch.rand(2, 1, 3, 256, 256, device="meta")

    @pytest.fixture(scope="class")
    def encodings(self, generator: Generator, photos: Tensor) -> tuple[Encoding, Encoding]:
        with torch.inference_mode():
            return generator.encode_pair(*photos)

    def test_encoding(self, generator: Generator, photos: Tensor) -> None:
        assert count_flops(lambda: generator.encode_pair(*photos)) == pytest.approx(7.38, abs=0.01)

    @pytest.mark.parametrize(
        ("columns", "redrawn", "kept"), [(1, 43.89, 39.69), (4, 63.42, 59.22), (16, 141.53, 137.33)]
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
