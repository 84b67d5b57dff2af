"""The command line: `python -m wrb --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, get_args

import torch
from tqdm import tqdm

from .blend import blend
from .devices import is_out_of_memory, usable_device
from .files import accept_any_text
from .geometry import Direction
from .images import list_images, read_image, require_writable, write_image
from .jobs import Job, have_same_names, name_panoramas, pair_by_order, pair_randomly
from .network.generator import Generator
from .network.weights import load_generator, read_weights, save_generator
from .painter import PhotoMode

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

DEFAULT_FEATHER = 64

NUM_SHOWN = 3
"""Pairs that a message gives as examples."""

SOME_FAILED = 1
USER_MISTAKE = 2
INTERRUPTED = 130

EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)
"""What a bad file or option raises, as opposed to a bad program; for too little memory see `is_out_of_memory`."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_MISTAKE, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 1 if some pairs of two folders failed, or 2 for a mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    accept_any_text(sys.stdout)
    commands = {"info": run_info, "convert": run_convert}
    try:
        if arguments and arguments[0] in commands:
            return commands[arguments[0]](arguments[1:])
        return run_blend(arguments)
    except Exception as error:
        if not _is_expected(error):
            raise
        print(f"python -m wrb: {_one_line(error)}", file=sys.stderr)
        return USER_MISTAKE
    except KeyboardInterrupt:
        return INTERRUPTED


def run_blend(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog="python -m wrb",
        description="Join two photos, or the photos of two folders, to panoramas; the gap between them is generated.",
        epilog="Also: python -m wrb info [FILE] describes a file of weights; python -m wrb convert IN OUT turns one "
        "into safetensors. Exit codes: 0 all done, 1 some pairs failed, 2 nothing done.",
    )
    parser.add_argument("left", type=Path, help="a photo, or a folder of photos")
    parser.add_argument("right", type=Path, help="a photo, or a folder of photos")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the panorama, or the folder for panoramas")
    parser.add_argument("--gap", type=_pixels, metavar="PX", help="width of the gap (default: the panorama's height)")
    parser.add_argument("--photos", choices=get_args(PhotoMode), default="keep", help="what becomes of the photos")
    parser.add_argument(
        "--feather", type=_pixels, metavar="PX", help=f"with --photos feather: how far (default: {DEFAULT_FEATHER})"
    )
    parser.add_argument(
        "--detail", type=float, default=1, metavar="SHARE", help="of the photos' detail in the gap, 0 to 1 (default: 1)"
    )
    parser.add_argument("--direction", choices=get_args(Direction), default="right", help="down: LEFT goes on top")
    parser.add_argument("--weights", type=Path, metavar="FILE", help="a file of weights (default: the built-in model)")
    parser.add_argument("--device", help="such as cpu, cuda or mps (default: the best there is)")
    parser.add_argument("--precision", choices=PRECISIONS, default="fp32", help="of the network (default: fp32)")
    folders = parser.add_argument_group(
        "two folders",
        "Pairs are made by name, or by the order of names where they differ. Existing panoramas are left.",
    )
    folders.add_argument("--random-pairs", action="store_true", help="pair each left photo with a random right one")
    folders.add_argument("--seed", type=int, help="of the random pairs (default: 0)")
    folders.add_argument("--both-orders", action="store_true", help="also make each panorama with its photos swapped")
    options = parser.parse_args(arguments)
    if not 0 <= options.detail <= 1:
        parser.error(f"--detail is {options.detail}; it goes from 0 to 1")
    if options.feather and options.photos != "feather":
        parser.error("--feather is for --photos feather")
    if options.seed is not None and not options.random_pairs:
        parser.error("--seed is for --random-pairs")

    for path in (options.left, options.right):
        if not path.exists():
            parser.error(f"there is no file or folder {path}")
    if options.left.is_dir() != options.right.is_dir():
        parser.error("one of LEFT and RIGHT is a folder; both or neither must be")
    if options.left.is_dir():
        return _blend_folders(options)
    if options.random_pairs or options.both_orders:
        parser.error("--random-pairs and --both-orders are for two folders")
    return _blend_photos(options)


def run_info(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m wrb info", description="Describe a file of weights.")
    parser.add_argument("file", type=Path, nargs="?", help="default: the built-in model")
    weights = read_weights(parser.parse_args(arguments).file)
    dtype = str(weights.dtype).removeprefix("torch.")
    facts = {
        "file": weights.path,
        "format": weights.format,
        "width": weights.config.width,
        "attention levels": ", ".join(map(str, weights.config.attention_levels)) or "none",
        "parameters": f"{weights.num_parameters / 1e6:.1f} million, {dtype}",
        **weights.metadata,
    }
    for name, fact in facts.items():
        print(f"{name + ':':<18}{fact}")
    return 0


def run_convert(arguments: Sequence[str]) -> int:
    parser = Parser(prog="python -m wrb convert", description="Turn a file of weights into safetensors.")
    parser.add_argument("input", type=Path, metavar="IN", help="a file of weights in any format that is read")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write, ending in .safetensors")
    parser.add_argument("--dtype", choices=PRECISIONS, help="precision to store (default: as it is)")
    options = parser.parse_args(arguments)
    if options.output.suffix != ".safetensors":
        parser.error(f"{options.output} does not end in .safetensors")
    weights = read_weights(options.input)
    generator = weights.to_generator(dtype=None)
    save_generator(generator, options.output, dtype=PRECISIONS.get(options.dtype), metadata=weights.metadata)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _blend_photos(options: argparse.Namespace) -> int:
    require_writable(options.output)
    if options.output.resolve() in (options.left.resolve(), options.right.resolve()):
        raise ValueError(f"{options.output} is one of the photos; the panorama needs a file of its own")
    _make_panorama(_load(options), Job(options.left, options.right, options.output), options)
    print(options.output)
    return 0


def _blend_folders(options: argparse.Namespace) -> int:
    lefts, rights = list_images(options.left), list_images(options.right)
    pairs = pair_randomly(lefts, rights, options.seed or 0) if options.random_pairs else pair_by_order(lefts, rights)
    if not options.random_pairs and not have_same_names(pairs):
        examples = ", ".join(f"{left.name} and {right.name}" for left, right in pairs[:NUM_SHOWN])
        more = ", …" if len(pairs) > NUM_SHOWN else ""
        print(f"the names differ, so pairs are made by their order: {examples}{more}", file=sys.stderr)
    jobs = name_panoramas(pairs, options.output, both_orders=options.both_orders)
    remaining = [job for job in jobs if not job.output.exists()]
    num_failed = 0
    if remaining:
        options.output.mkdir(parents=True, exist_ok=True)
        generator = _load(options)
        for job in tqdm(remaining, unit="panorama", initial=len(jobs) - len(remaining), total=len(jobs)):
            try:
                _make_panorama(generator, job, options)
            except Exception as error:
                if not _is_expected(error):
                    raise
                num_failed += 1
                tqdm.write(f"{job.left} and {job.right} skipped: {_one_line(error)}", file=sys.stderr)
    print(f"{options.output}: {len(jobs) - num_failed} of {len(jobs)} panoramas")
    return SOME_FAILED if num_failed else 0


def _load(options: argparse.Namespace) -> Generator:
    device = usable_device(options.device)
    return load_generator(options.weights, device=device, dtype=PRECISIONS[options.precision])


def _make_panorama(generator: Generator, job: Job, options: argparse.Namespace) -> None:
    feather = (options.feather or DEFAULT_FEATHER) if options.photos == "feather" else 0
    made = blend(
        generator,
        read_image(job.left),
        read_image(job.right),
        options.gap,
        photo_mode=options.photos,
        feather=feather,
        detail=options.detail,
        direction=options.direction,
    )
    write_image(made.panorama, job.output)


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of pixels above 0")
    return int(text)


def _is_expected(error: Exception) -> bool:
    return isinstance(error, EXPECTED_ERRORS) or is_out_of_memory(error)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    if is_out_of_memory(error):
        return f"out of memory; choose a narrower gap or smaller photos, or close other programs ({text})"
    return text


if __name__ == "__main__":
    sys.exit(main())
