from pathlib import Path

import pytest

from scripts.guide_trials import TRIALS, trial_config
from training.config import differences


@pytest.mark.parametrize("trial", TRIALS)
def test_a_trial_differs_in_what_it_says_and_its_folder_alone(trial):
    plain, other = (trial_config(name, [Path("photos")], Path("held"), Path("out"), 3) for name in ("plain", trial))
    differing = set(differences(plain, other))
    assert differing == ({"out", *TRIALS[trial]} if trial != "plain" else set())
