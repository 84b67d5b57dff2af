import torch

from wrb.resampling import fade


def test_fading_goes_from_all_to_nothing_and_both_ways_make_one():
    progress = torch.linspace(-0.5, 1.5, 21)
    faded = fade(progress)
    assert faded[0] == faded[5] == 1 and faded[-1] == faded[15] == 0
    assert (faded.diff() <= 0).all()
    torch.testing.assert_close(faded + fade(1 - progress), torch.ones(21))
