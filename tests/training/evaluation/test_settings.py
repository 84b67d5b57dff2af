from __future__ import annotations

import dataclasses

import pytest


@pytest.mark.parametrize(
    "setting",
    [
        *({"gap_columns": columns} for columns in ((), (0,), (33,), (4, 4))),
        *({name: 0} for name in ("num_pairs", "num_real", "batch_size")),
    ],
)
def test_impossible_settings_are_refused_by_name(evaluate_config, setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        dataclasses.replace(evaluate_config, **setting)
