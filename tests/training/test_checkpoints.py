from __future__ import annotations

import logging
import resource
import shutil

import pytest
import torch

from training.checkpoints import load_checkpoint, require_space, save_checkpoint


def test_the_newest_is_found_and_one_before_it_is_kept(tmp_path):
    assert load_checkpoint(tmp_path) is None
    for step in (0, 5, 10, 100):
        save_checkpoint(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint-00000010.pt", "checkpoint-00000100.pt"]
    assert load_checkpoint(tmp_path) == {"step": 100}


def test_a_damaged_one_is_passed_over_and_named(tmp_path, caplog):
    for step in (1, 2):
        save_checkpoint(tmp_path, step, {"weights": torch.rand(1000), "step": step})
    newest = tmp_path / "checkpoint-00000002.pt"
    newest.write_bytes(newest.read_bytes()[:2000])
    with caplog.at_level(logging.WARNING):
        assert load_checkpoint(tmp_path)["step"] == 1
    assert str(newest) in caplog.text
    (tmp_path / "checkpoint-00000001.pt").write_bytes(b"")
    with pytest.raises(ValueError, match="no checkpoint in .* can be read"):
        load_checkpoint(tmp_path)


def test_a_full_disk_is_an_error_that_keeps_what_was_there(tmp_path):
    save_checkpoint(tmp_path, 1, {"weights": torch.zeros(1000)})
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match=r"checkpoint-00000002.pt cannot be written .* make room"):
            save_checkpoint(tmp_path, 2, {"weights": torch.zeros(1_000_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-00000001.pt"]
    assert torch.equal(load_checkpoint(tmp_path)["weights"], torch.zeros(1000))


def test_too_little_room_is_an_error_before_the_start(tmp_path):
    free = shutil.disk_usage(tmp_path).free
    require_space(tmp_path, 1000)
    with pytest.raises(OSError, match=r"GB of room and checkpoints take up to"):
        require_space(tmp_path, free)
