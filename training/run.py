"""A training run from its settings to its weights, through any number of stops: what both stages share."""

from __future__ import annotations

import json
import logging
import math
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.optimizer import AcceleratedOptimizer
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, broadcast_object_list
from torch import Tensor
from torch.utils.data import DataLoader
from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from wrb import load_generator, save_generator
from wrb.files import remove_partial_files, replacing, text_of, write_text

from .checkpoints import load_checkpoint, require_space, save_checkpoint
from .config import TrainingConfig
from .data import CentralCrops, Positions, RandomCrops, Sample
from .evaluation.sheets import results_sheet
from .evaluation.validation import sample_panoramas, validate
from .networks import BEST_DISCRIMINATOR, BEST_GENERATOR
from .perceptual import texture_network
from .photo_lists import read_list
from .photos import find_photos, split
from .state import TrainingState
from .steps import discriminator_losses, generator_losses

CONFIG = "config.json"
HELD_BACK = "validation_photos.txt"
LAST_GENERATOR = "last.safetensors"
RESULTS = "results.png"

NUM_SAMPLES = 8
"""Photos shown at each validation and at the end."""

FEW = 30
"""Photos to train on, below which a run warns."""

SHARED_MEMORY = Path("/dev/shm")
"""Through which workers hand over their batches, on Linux."""

PREFETCHED = 2
"""Batches that each worker has ready."""

SPEED_INTERVAL = 20
"""Steps over which speed is measured."""

PRIVATE = (
    *("photos", "out", "start_from", "start_discriminator"),
    *("texture_weights", "validation_photos", "cache", "pairs"),
)
"""Settings that name files and folders of this machine: weights are passed on and do not carry them."""

logger = logging.getLogger(__name__)


class Run:
    """A run, ready to go on from wherever its folder stands.

    Started by `accelerate launch` on several processes, each of them makes one; they share out every batch.

    Args:
        config: of the run.
        make_crops: given the photos to train on, the samples of the stage.

    Raises:
        ValueError: if there are no usable photos, or a setting does not fit the run in the folder.
        OSError: if the folder cannot be written or has too little room.
    """

    def __init__(self, config: TrainingConfig, make_crops: Callable[[list[Path]], RandomCrops]) -> None:
        self.config = config
        self.accelerator = accelerator = Accelerator(
            cpu=config.cpu,
            mixed_precision=config.mixed_precision,
            dataloader_config=DataLoaderConfiguration(split_batches=True),
            # layers of levels without attention or skips learn nothing
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
        )
        self.is_main = accelerator.is_main_process
        if not self.is_main:
            logging.getLogger(__package__).setLevel(logging.ERROR)
        if config.samples_per_batch % (config.parts * accelerator.num_processes):
            raise ValueError(
                f"a batch of {config.batch_size} cannot be shared out among {accelerator.num_processes} processes and "
                f"{config.parts} parts; change batch_size or parts"
            )
        if self.is_main:  # it alone writes; two at once would delete each other's test file
            _require_writable(config.out)
        training_photos, held_back = _photos(config)
        if config.keep_by == "kid" and len(held_back) < 2:
            raise ValueError(
                f"{held_back[0]} is the only photo held back, and keep_by kid joins different ones; take --keep-by "
                "loss, or name more photos to hold back by --validation-photos"
            )
        self.num_steps = config.epochs * len(training_photos) // config.samples_per_batch
        if self.num_steps == 0:
            raise ValueError(
                f"{config.epochs} epochs of {len(training_photos)} photos to train on are not enough for one step of "
                f"{config.samples_per_batch}; lower --batch-size or raise --epochs"
            )
        self.crops = make_crops(training_photos)
        checkpoint = broadcast_object_list([load_checkpoint(config.out) if self.is_main else None])[0]
        self.state = TrainingState(config, accelerator, checkpoint)
        self.texture = None
        if config.texture_weight or config.keep_by == "kid":
            self.texture = texture_network(config.texture_network, config.texture_weights).to(accelerator.device)
        self.validation = DataLoader(CentralCrops(held_back), max(1, config.batch_size // 2))
        logger.info("%d photos to train on, %d held back", len(training_photos), len(held_back))
        if len(training_photos) < FEW:
            logger.warning(
                "These are few: the network will learn them by heart. A few hundred are a beginning; "
                "--mirror, --zoom-out and --colour 0.2 make more of them"
            )
        self.workers = self._workers_that_fit()
        if self.is_main:
            remove_partial_files(config.out)
            require_space(config.out, self.state.checkpoint_bytes)
            write_text(config.out / CONFIG, config.to_json())
            write_text(config.out / HELD_BACK, "".join(f"{text_of(photo)}\n" for photo in held_back))

    def train(self) -> None:
        """Learn until the last epoch, and draw a sheet of results.

        Raises:
            FloatingPointError: if a loss or gradient becomes infinite or not a number; the last checkpoint is kept.
        """
        config, state = self.config, self.state
        self.writer = SummaryWriter(config.out, purge_step=state.step) if self.is_main else None
        if state.step == 0:
            if config.start_from is not None:
                self._validate()
            self._save()  # a disk that cannot be written is better found out now than in an hour
        waited, started = 0.0, time.perf_counter()
        for parts, seconds in self._batches():
            self._learn(parts)
            state.step += 1
            waited += seconds
            if state.step % SPEED_INTERVAL == 0:
                elapsed = time.perf_counter() - started
                self._write("speed/samples a second", SPEED_INTERVAL * config.batch_size / elapsed)
                self._write("speed/share of time waiting for photos", waited / elapsed)
                waited, started = 0.0, time.perf_counter()
            last = state.step == self.num_steps
            if last or state.step % config.validate_every == 0:
                self._validate()
            if last or state.step % config.save_every == 0:
                self._save()
        self._finish()

    def _workers_that_fit(self) -> int:
        """None if their batches do not fit into the shared memory, of which Docker gives 64 MB."""
        config = self.config
        if config.workers == 0 or not SHARED_MEMORY.is_dir():
            return config.workers
        sample = sum(tensor.nbytes for tensor in self.crops[0].values())
        needed = config.workers * PREFETCHED * sample * config.samples_per_batch // config.parts
        free = shutil.disk_usage(SHARED_MEMORY).free
        if free >= needed:
            return config.workers
        logger.warning(
            "%s has %.0f MB free and %d workers need %.0f, so photos are read without any (--workers 0); give more "
            "shared memory (docker run --shm-size 2g) if TensorBoard shows much waiting",
            *(SHARED_MEMORY, free / 1e6, config.workers, needed / 1e6),
        )
        return 0

    def _batches(self) -> Iterator[tuple[list[Sample], float]]:
        """The parts of each step's batch still to come, and how many seconds they were waited for."""
        config, state = self.config, self.state
        size = config.samples_per_batch
        loader = self.accelerator.prepare(
            DataLoader(
                self.crops,
                size // config.parts,
                sampler=Positions(state.step * size, self.num_steps * size),
                num_workers=self.workers,
                prefetch_factor=PREFETCHED if self.workers else None,
                generator=torch.Generator(),  # its own, as it draws a number whenever a run goes on
            )
        )
        samples = iter(loader)
        progress = tqdm(
            range(state.step, self.num_steps),
            initial=state.step,
            total=self.num_steps,
            unit="step",
            smoothing=0.02,
            disable=not self.is_main,
        )
        for _ in progress:
            started = time.perf_counter()
            try:
                parts = [next(samples) for _ in range(config.parts)]
            except RuntimeError as error:
                if self.workers and re.search("shared memory|shm|/torch_|exited unexpectedly", str(error)):
                    raise OSError(
                        f"a process that reads photos failed ({error}); start again with --workers 0"
                    ) from error
                raise
            yield parts, time.perf_counter() - started

    def _learn(self, parts: list[Sample]) -> None:
        """One step of the discriminator or of the generator."""
        config, state = self.config, self.state
        state.schedule(self.num_steps, len(self.crops.photos) / config.samples_per_batch)
        discriminator_turn = config.adversarial_weight > 0 and state.step % config.discriminator_interval == 0
        network = state.prepared_discriminator if discriminator_turn else state.prepared_generator
        optimiser = state.discriminator_optimiser if discriminator_turn else state.generator_optimiser
        widths = np.random.default_rng((config.seed, state.step))
        gap_columns = int(widths.integers(*config.gap_columns, endpoint=True))
        optimiser.zero_grad(set_to_none=True)
        sums: dict[str, float] = {}
        for number, part in enumerate(parts, start=1):
            # gradients are averaged over the processes once, with the last part
            with self.accelerator.no_sync(network) if number < len(parts) else nullcontext():
                if discriminator_turn:
                    losses = discriminator_losses(state, part, gap_columns)
                else:
                    losses = generator_losses(state, self.texture, part, gap_columns)
                for name, value in self._finite(losses).items():
                    sums[name] = sums.get(name, 0.0) + value
                self.accelerator.backward(torch.stack(list(losses.values())).sum())
        norm = self._gradient_norm(network.parameters(), optimiser)
        optimiser.step()
        if not discriminator_turn:
            state.average.update_parameters(state.generator)
        turn = "discriminator" if discriminator_turn else "generator"
        for name, value in sums.items():
            self._write(f"loss/{name}", value / config.batch_size)
        self._write(f"gradient norm/{turn}", norm)
        self._write(f"learning rate/{turn}", optimiser.param_groups[0]["lr"])

    def _finite(self, losses: dict[str, Tensor]) -> dict[str, float]:
        """The losses as numbers, of all processes together."""
        stacked = torch.stack([value.detach() for value in losses.values()])
        values = dict(zip(losses, self.accelerator.reduce(stacked, "mean").tolist(), strict=True))
        if not all(map(math.isfinite, values.values())):
            raise self._not_finite(", ".join(f"{name} {value:.4g}" for name, value in values.items()))
        return values

    def _gradient_norm(self, weights: Iterable[Tensor], optimiser: AcceleratedOptimizer) -> float:
        """Norm of the gradients, which are clipped if the configuration says so."""
        if self.config.clip_gradient:
            norm = self.accelerator.clip_grad_norm_(weights, self.config.clip_gradient)
        else:
            self.accelerator.unscale_gradients(optimiser)
            norm = torch.nn.utils.get_total_norm([weight.grad for weight in weights if weight.grad is not None])
        # in float16 an overflow is no fault: the scaler leaves the step out and scales less
        if self.accelerator.scaler is None and not norm.isfinite():
            raise self._not_finite(f"gradient norm {norm.item():.4g}")
        return norm.item()

    def _not_finite(self, figures: str) -> FloatingPointError:
        first = self.state.step * self.config.samples_per_batch
        paths = {
            str(path)
            for position in range(first, first + self.config.samples_per_batch)
            for path in self.crops.photos_at(position).values()
        }
        return FloatingPointError(
            f"step {self.state.step + 1} is not finite ({figures}); the last checkpoint is kept: start again with a "
            f"lower learning_rate or with clip_gradient. The batch was cropped from {', '.join(sorted(paths))}"
        )

    def _write(self, name: str, value: float) -> None:
        if self.writer is not None:
            self.writer.add_scalar(name, value, self.state.step + 1)

    @torch.inference_mode()
    def _validate(self) -> None:
        """Write figures and sample panoramas of the averaged weights; keep the weights if they are the best so far."""
        if self.writer is None:
            return
        config, state = self.config, self.state
        generator = state.averaged_generator.eval()
        batches = [batch.to(self.accelerator.device) for batch in self.validation]
        with self.accelerator.autocast():
            figures = validate(generator, self.texture, batches, config, with_kid=config.keep_by == "kid")
            samples = sample_panoramas(generator, torch.cat(batches)[:NUM_SAMPLES])
        for name, images in samples.items():
            self.writer.add_images(name, images, state.step)
        for name, value in figures.items():
            self.writer.add_scalar(f"validation/{name}", value, state.step)
        logger.info("step %d: %s", state.step, ", ".join(f"{name} {value:.4f}" for name, value in figures.items()))
        if figures[config.keep_by] < state.best_validation:
            state.best_validation = figures[config.keep_by]
            self._export(BEST_GENERATOR, figures)
            state.save_discriminator(config.out / BEST_DISCRIMINATOR)

    def _export(self, name: str, figures: dict[str, float]) -> None:
        """Write the averaged weights as a file for `models/wrb`."""
        settings = {key: value for key, value in json.loads(self.config.to_json()).items() if key not in PRIVATE}
        facts = {"step": self.state.step, "samples": self.state.step * self.config.batch_size, "validation": figures}
        metadata = {"training": json.dumps({**facts, "settings": settings})}
        save_generator(self.state.averaged_generator, self.config.out / name, dtype=torch.float16, metadata=metadata)

    def _save(self) -> None:
        if self.is_main:
            save_checkpoint(self.config.out, self.state.step, self.state.state_dict())

    def _finish(self) -> None:
        """Leave the last weights too, and a sheet of what the best ones make of held-back photos."""
        if self.writer is None:
            return
        self.writer.close()
        self._export(LAST_GENERATOR, {})
        panoramas = torch.cat(list(self.validation))[:NUM_SAMPLES]
        sheet = results_sheet(load_generator(self.config.out / BEST_GENERATOR), panoramas)
        with replacing(self.config.out / RESULTS) as partial:
            sheet.save(partial)
        logger.info("finished: %s, %s, %s in %s", BEST_GENERATOR, LAST_GENERATOR, RESULTS, self.config.out)


def _require_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        test = folder / CONFIG.replace(".", "_test.")
        write_text(test, "")
        test.unlink()
    except OSError as error:
        raise OSError(f"{folder} cannot be written ({error.strerror}); give another --out") from error


def _photos(config: TrainingConfig) -> tuple[list[Path], list[Path]]:
    """Photos to train on and photos held back.

    These are the ones that the run has held back so far; else those that the settings name, or those of the run whose
    weights it begins with; else a random share. Of a run's own list, photos may have been deleted since.

    Raises:
        ValueError: if there are no usable photos, or a list does not fit them.
    """
    photos = find_photos(config.photos, config.crop_width)
    own = config.out / HELD_BACK
    inherited = config.start_from / HELD_BACK if config.start_from is not None else own
    if own.exists():
        path = own
    elif config.validation_photos is not None:
        path = config.validation_photos
    elif inherited.exists():
        path = inherited
    else:
        return split(photos, config.validation_share, config.seed)
    held_back = read_list(path, photos, config.photos, may_be_deleted=path != config.validation_photos)
    training = [photo for photo in photos if photo not in set(held_back)]
    if not training:
        raise ValueError(f"{path} names every photo; none is left to train on")
    return training, held_back
