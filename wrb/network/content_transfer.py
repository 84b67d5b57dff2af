"""Bidirectional content transfer: two LSTMs write the gap column by column, from both sides (paper section 3.2)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from .config import GeneratorConfig
from .layers import conv_unit, leaky_relu

FEATURE_ROWS = 4
"""Rows and columns of each photo's map, (b c 4 4)."""

NUM_LAYERS = 2


class State(NamedTuple):
    """One LSTM layer's hidden and cell state, (b n) each."""

    hidden: Tensor
    cell: Tensor


class StepwiseLinear:
    """A linear map without bias that is applied step after step.

    Its weight's gradient is one product over all steps. Autograd would form one as large as the weight at each step and
    add it to the others. By `python -m benchmarks.shortcuts --threads 1`, a backward pass of the content transfer takes
    0.5 times as long as with `F.linear` at width 16, and 0.4 to 0.6 times at width 64. That is 1 and 2 in a hundred of
    a whole generator's step on two panoramas, and less on more.
    """

    def __init__(self, weight: Tensor) -> None:
        self.notes: list[tuple[Tensor, Tensor]] = []
        self.weight = _NotedWeight.apply(weight, self.notes)

    def __call__(self, inputs: Tensor) -> Tensor:
        """(… n) to (… m)."""
        return _NotedLinear.apply(inputs, self.weight, self.notes)


class _NotedWeight(torch.autograd.Function):
    """The weight itself, whose gradient comes from what each step's backward has noted."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, notes: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.notes = notes
        ctx.set_materialize_grads(False)
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, _: None) -> tuple[Tensor | None, None]:
        if not ctx.notes:
            return None, None
        inputs, gradients = (torch.cat(parts) for parts in zip(*ctx.notes, strict=True))
        ctx.notes.clear()
        return gradients.mT @ inputs, None


class _NotedLinear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, notes: list[tuple[Tensor, Tensor]]) -> Tensor:
        ctx.save_for_backward(inputs, weight)
        ctx.notes = notes
        return F.linear(inputs, weight)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        inputs, weight = ctx.saved_tensors
        # half precision in autocast, as the product was; the sum over steps is in that of the weight
        ctx.notes.append((inputs.flatten(0, -2).to(weight.dtype), gradient.flatten(0, -2).to(weight.dtype)))
        return (gradient @ weight.to(gradient.dtype)).to(inputs.dtype), None, None


class ColumnLSTM(nn.Module):
    """A two-layer LSTM over columns of `size` numbers, with the parameter names of `nn.LSTM`.

    Unlike `nn.LSTM` it steps without re-packing its weights, and inputs that are known beforehand enter as one matrix
    product. Gate order: input, forget, cell, output.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        for layer in range(NUM_LAYERS):
            for name, shape in (("weight", (4 * size, size)), ("bias", (4 * size,))):
                for source in ("ih", "hh"):
                    parameter = nn.Parameter(torch.empty(shape))
                    nn.init.uniform_(parameter, -(size**-0.5), size**-0.5)
                    self.register_parameter(f"{name}_{source}_l{layer}", parameter)

    def products(self) -> dict[str, StepwiseLinear]:
        """The weights for several calls of `read` whose gradients belong together."""
        return {name: StepwiseLinear(weight) for name, weight in self.named_parameters() if name.startswith("weight")}

    def read(
        self, columns: Tensor, states: Sequence[State | None], products: dict[str, StepwiseLinear] | None = None
    ) -> tuple[Tensor, list[State]]:
        """Run over known columns, (t b n); returns the outputs, (t b n), and the states after the last."""
        products = products or self.products()
        last = []
        for layer in range(NUM_LAYERS):
            bias = self.get_parameter(f"bias_ih_l{layer}") + self.get_parameter(f"bias_hh_l{layer}")
            gates_of_inputs = products[f"weight_ih_l{layer}"](columns) + bias
            reached: list[State] = []
            for gates in gates_of_inputs:
                before = reached[-1] if reached else states[layer]
                reached.append(self._step(gates, before, products[f"weight_hh_l{layer}"]))
            columns = torch.stack([state.hidden for state in reached])
            last.append(reached[-1])
        return columns, last

    def _step(self, gates: Tensor, state: State | None, product: StepwiseLinear) -> State:
        if state is not None:
            gates = gates + product(state.hidden)
        input_gate, forget_gate, candidate, output_gate = gates.chunk(4, dim=-1)
        cell = input_gate.sigmoid() * candidate.tanh()
        if state is not None:
            cell = cell + forget_gate.sigmoid() * state.cell
        return State(output_gate.sigmoid() * cell.tanh(), cell)


@dataclass
class Transfer:
    """How far both directions have written, to go on from there: a gap's width changes nothing of its columns."""

    columns: Tensor
    """Each direction's from its own photo on, (w 2·b n): first the rightward of the batch, then the leftward."""

    states: list[State]
    """Of the layers after the last column, (2·b n)."""

    def to(self, device: torch.device) -> Transfer:
        """The same on another device."""
        return self._map(lambda tensor: tensor.to(device))

    def __getitem__(self, chunk: slice) -> Transfer:
        """A part of the batch."""
        return self._map(lambda tensor: tensor.unflatten(-2, (2, -1))[..., chunk, :].flatten(-3, -2))

    @classmethod
    def cat(cls, transfers: Sequence[Transfer]) -> Transfer:
        """Several batches as one; all are written equally far."""

        def joined(tensors: Iterable[Tensor]) -> Tensor:
            return torch.cat([tensor.unflatten(-2, (2, -1)) for tensor in tensors], dim=-2).flatten(-3, -2)

        layers = zip(*(transfer.states for transfer in transfers), strict=True)
        states = [State(*map(joined, zip(*layer, strict=True))) for layer in layers]
        return cls(joined(transfer.columns for transfer in transfers), states)

    def _map(self, function: Callable[[Tensor], Tensor]) -> Transfer:
        return Transfer(function(self.columns), [State(*map(function, state)) for state in self.states])


@dataclass
class Sequences:
    """Both directions' full sequences in reading order of the panorama, (b c 4 w): true side, gap, guessed side."""

    left_to_right: Tensor
    right_to_left: Tensor


class BidirectionalContentTransfer(nn.Module):
    """Generates the gap's bottleneck features from those of the two photos."""

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        channels = config.transfer_channels
        self.LSTM_encoder = ColumnLSTM(channels * FEATURE_ROWS)
        self.LSTM_decoder = ColumnLSTM(channels * FEATURE_ROWS)
        self.output = conv_unit(nn.Conv2d(2 * channels, channels, 1), activation=leaky_relu())

    def forward(
        self,
        left: Tensor,
        right: Tensor,
        gap_columns: int,
        *,
        with_guesses: bool = False,
        written: Transfer | None = None,
    ) -> tuple[Tensor, Transfer, Sequences | None]:
        """Generate the gap.

        Args:
            left: (b c 4 4), and `right` alike.
            gap_columns: columns to generate, at least 1.
            with_guesses: go on past the gap and guess the other photo too, which only the consistency loss needs.
            written: what this returned for another gap between the same photos; it is not written again.

        Returns:
            The gap's map, (b c 4 gap_columns), what was written for it, and with `with_guesses` the full sequences.
        """
        wanted = gap_columns + (FEATURE_ROWS if with_guesses else 0)
        products = self.LSTM_decoder.products()
        written = written or self._begin(left, right, products)
        columns, states = [written.columns], written.states
        for _ in range(wanted - len(written.columns)):
            output, states = self.LSTM_decoder.read(columns[-1][-1:], states, products)
            columns.append(output)
        written = Transfer(torch.cat(columns), states)
        generated = rearrange(written.columns[:wanted], "w b (c h) -> b c h w", h=FEATURE_ROWS)

        rightward, leftward = generated.split(len(left))
        gap = torch.cat([rightward[..., :gap_columns], leftward[..., :gap_columns].flip(-1)], dim=1)
        sequences = None
        if with_guesses:
            sequences = Sequences(torch.cat([left, rightward], -1), torch.cat([leftward.flip(-1), right], -1))
        return self.output(gap), written, sequences

    def _begin(self, left: Tensor, right: Tensor, products: dict[str, StepwiseLinear]) -> Transfer:
        """The first column of both directions, beside its photo."""
        # both directions share all weights, so they step as one batch: first the rightward, then the leftward
        own = torch.cat([left, right.flip(-1)])
        other = torch.cat([right, left.flip(-1)])
        known = rearrange(own, "b c h w -> w b (c h)")
        _, states = self.LSTM_encoder.read(rearrange(other, "b c h w -> w b (c h)"), [None] * NUM_LAYERS)
        outputs, states = self.LSTM_decoder.read(known, states, products)
        return Transfer(outputs[-1:], states)
