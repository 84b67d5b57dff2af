from __future__ import annotations

import torch

from training.evaluation.seam_visibility import seam_visibility


def test_the_visibility_of_known_seams():
    ramp = torch.arange(32.0).expand(1, 3, 4, 32) / 100
    stepped = torch.cat([ramp[..., :8], ramp[..., 8:] + 0.03], dim=-1)
    ends_flat = torch.cat([ramp[..., :8], ramp[..., 7:8].expand(-1, -1, -1, 16), ramp[..., 8:16]], dim=-1)
    one_channel = torch.cat([ramp[..., :8], ramp[..., 8:] + torch.tensor([0.03, 0, 0])[:, None, None]], dim=-1)
    visible = seam_visibility(torch.cat([ramp, stepped, ends_flat, one_channel]), 8, 16)
    # one of the two edges: a step of 4 beside the usual 1; none beside 1; and one channel of three
    torch.testing.assert_close(visible, torch.tensor([1, (4 + 1) / 2, (0 + 1) / 2, (2 + 1) / 2]))


def test_between_photos_without_detail_it_is_finite():
    panoramas = torch.zeros(1, 3, 4, 32)
    assert seam_visibility(panoramas, 8, 16) == 0
    panoramas[..., 8:24] = 1 / 255
    torch.testing.assert_close(seam_visibility(panoramas, 8, 16), torch.tensor([2.0]))
