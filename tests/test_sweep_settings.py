import pytest

from scripts.sweep_settings import combine
from wrb import DetailSettings


def test_every_combination_has_a_name_and_the_settings_it_tells():
    combined = dict(combine([("reuse_penalty", "0.5", "2"), ("num_candidates", "3")]))
    assert combined == {
        "reuse_penalty 0.5, num_candidates 3": DetailSettings(reuse_penalty=0.5, num_candidates=3),
        "reuse_penalty 2, num_candidates 3": DetailSettings(reuse_penalty=2, num_candidates=3),
    }


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        ([("reuse", "1")], "reuse is no setting that takes a number; these are: num_cell_rows, min_photo_cells"),
        ([("pyramid", "1")], "pyramid is no setting that takes a number"),
        ([("cut_penalty",)], "cut_penalty has no values"),
        ([("cut_penalty", "much")], "could not convert"),
        ([("cut_penalty", "-1")], "cut_penalty is -1.0; it cannot be negative"),
    ],
)
def test_what_is_no_setting_is_refused_by_name(sets, message):
    with pytest.raises(ValueError, match=message):
        combine(sets)
