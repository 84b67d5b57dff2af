"""The column LSTM against torch's own, and what the content transfer's sequences promise."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from wrb.network.config import GeneratorConfig
from wrb.network.content_transfer import NUM_LAYERS, BidirectionalContentTransfer, ColumnLSTM

SIZE = 24


@pytest.fixture
def columns() -> Tensor:
    torch.manual_seed(0)
    return torch.randn(5, 3, SIZE)


@pytest.fixture
def reference() -> nn.LSTM:
    torch.manual_seed(1)
    return nn.LSTM(SIZE, SIZE, num_layers=NUM_LAYERS)


@pytest.fixture
def ours(reference: nn.LSTM) -> ColumnLSTM:
    lstm = ColumnLSTM(SIZE)
    lstm.load_state_dict(reference.state_dict())
    return lstm


def test_column_lstm_equals_torchs(columns: Tensor, reference: nn.LSTM, ours: ColumnLSTM) -> None:
    expected, (hidden, cell) = reference(columns)
    found, states = ours.read(columns, [None] * NUM_LAYERS)
    torch.testing.assert_close(found, expected)
    for layer, state in enumerate(states):
        assert state is not None
        torch.testing.assert_close(state.hidden, hidden[layer])
        torch.testing.assert_close(state.cell, cell[layer])


def test_column_lstm_goes_on_from_a_state(columns: Tensor, ours: ColumnLSTM) -> None:
    whole, _ = ours.read(columns, [None] * NUM_LAYERS)
    first, states = ours.read(columns[:2], [None] * NUM_LAYERS)
    second, _ = ours.read(columns[2:], states)
    torch.testing.assert_close(torch.cat([first, second]), whole)


def test_column_lstm_has_torchs_gradients(columns: Tensor, reference: nn.LSTM, ours: ColumnLSTM) -> None:
    for lstm_output in (reference(columns)[0], ours.read(columns, [None] * NUM_LAYERS)[0]):
        lstm_output.square().sum().backward()
    for name, parameter in reference.named_parameters():
        torch.testing.assert_close(ours.get_parameter(name).grad, parameter.grad)


class TestContentTransfer:
    @pytest.fixture
    def transfer(self) -> BidirectionalContentTransfer:
        torch.manual_seed(2)
        return BidirectionalContentTransfer(GeneratorConfig(width=2))

    @pytest.fixture
    def sides(self) -> tuple[Tensor, Tensor]:
        torch.manual_seed(3)
        return torch.randn(2, 16, 4, 4), torch.randn(2, 16, 4, 4)

    def test_sequences_begin_with_the_true_side_and_go_on_the_same_at_any_length(
        self, transfer: BidirectionalContentTransfer, sides: tuple[Tensor, Tensor]
    ) -> None:
        left, right = sides
        _, _, short = transfer(left, right, 1, with_guesses=True)
        _, _, long = transfer(left, right, 6, with_guesses=True)
        assert torch.equal(long.left_to_right[..., :4], left)
        assert torch.equal(long.right_to_left[..., -4:], right)
        torch.testing.assert_close(long.left_to_right[..., : 4 + 1 + 4], short.left_to_right)
        torch.testing.assert_close(long.right_to_left[..., -(4 + 1 + 4) :], short.right_to_left)

    @pytest.mark.parametrize("gap_columns", [1, 2, 5])
    def test_guesses_do_not_change_the_gap(
        self, gap_columns: int, transfer: BidirectionalContentTransfer, sides: tuple[Tensor, Tensor]
    ) -> None:
        without, _, nothing = transfer(*sides, gap_columns)
        with_guesses, *_ = transfer(*sides, gap_columns, with_guesses=True)
        assert nothing is None
        assert without.shape == (2, 16, 4, gap_columns)
        torch.testing.assert_close(without, with_guesses)

    def test_mirrored_photos_make_mirrored_sequences(
        self, transfer: BidirectionalContentTransfer, sides: tuple[Tensor, Tensor]
    ) -> None:
        left, right = sides
        _, _, sequences = transfer(left, right, 3, with_guesses=True)
        _, _, mirrored = transfer(right.flip(-1), left.flip(-1), 3, with_guesses=True)
        torch.testing.assert_close(mirrored.left_to_right, sequences.right_to_left.flip(-1))
        torch.testing.assert_close(mirrored.right_to_left, sequences.left_to_right.flip(-1))
