"""The plain versions, which clever code is timed against, compute what it does."""

from __future__ import annotations

import pytest
import torch

from benchmarks import shortcuts


@pytest.mark.parametrize("make", [lambda: shortcuts.transfer(2, 3), lambda: shortcuts.transfer(4, 1)])
def test_a_plain_transfer_has_the_gradients_of_ours(make, monkeypatch):
    networks = []
    transfer = shortcuts.BidirectionalContentTransfer
    monkeypatch.setattr(
        shortcuts, "BidirectionalContentTransfer", lambda config: networks.append(transfer(config)) or networks[0]
    )
    gradients = []
    for prepare in make():
        prepare()()
        gradients.append({name: weight.grad for name, weight in networks[0].named_parameters()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, gradient in gradients[0].items():
        torch.testing.assert_close(gradient, gradients[1][name], rtol=1e-4, atol=1e-9)


def test_plain_sums_of_neighbours_are_ours():
    assert_same(shortcuts.plain_neighbour_sum, shortcuts.attention._sum_neighbours, torch.randn(2, 4, 5, 6, 7), 1, 3)


def test_plain_best_matches_are_ours():
    generated, truth = (torch.nn.functional.normalize(torch.randn(2, 300, 16), dim=2) for _ in range(2))
    assert_same(shortcuts.plain_best_matches, shortcuts.losses._BestMatches.apply, generated, truth)


def assert_same(plain, clever, inputs, *further):
    """The same outputs and gradients."""
    found = []
    for function in (plain, clever):
        own = inputs.clone().requires_grad_()
        output = function(own, *further)
        (output * torch.linspace(0, 1, output.numel()).view_as(output)).sum().backward()
        found.append((output.detach(), own.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
