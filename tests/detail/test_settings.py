import dataclasses
import re
from pathlib import Path

import pytest

from wrb.detail import DetailSettings, PyramidLevel, settings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pyramid": ()}, r"pyramid has heights \[\]"),
        ({"pyramid": (PyramidLevel(32, 1), PyramidLevel(48, 1))}, r"pyramid has heights \[32, 48\]; each must be"),
        ({"num_cell_rows": 24}, r"each must be a multiple .* num_cell_rows \(24\)"),
        ({"min_photo_cells": 4}, "min_photo_cells is 4; it must be at least 5"),
        ({"num_candidates": 0}, "num_candidates is 0; it must be at least 1"),
        ({"reuse_penalty": -0.5}, "reuse_penalty is -0.5; it cannot be negative"),
        ({"max_slope": float("inf")}, "max_slope is inf; it cannot be negative or infinite"),
        ({"misfit_weight": float("nan")}, "misfit_weight is nan; it cannot be negative or infinite"),
        ({"mirror_reach": 0}, "mirror_reach is 0; it must be more"),
    ],
)
def test_values_out_of_range_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        DetailSettings(**options)


def test_every_setting_is_documented():
    source = Path(settings.__file__).read_text(encoding="utf-8")
    for field in dataclasses.fields(DetailSettings):
        assert re.search(rf'\n    {field.name}: .*\n    """[A-Z]', source), field.name


def test_settings_do_not_change():
    with pytest.raises(dataclasses.FrozenInstanceError):
        DetailSettings().cut_penalty = 3
