"""The command line: `python -m wrb --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from .blend import blend
from .devices import is_out_of_memory, usable_device
from .files import accept_any_text, mapped_numbers, require_writable
from .geometry import Direction, GapWidths, Layout, transposed
from .images import (
    LARGE,
    LIMIT_VARIABLE,
    LOSSY,
    MAX_MEGAPIXELS,
    QUALITY,
    PhotoFiles,
    format_of,
    list_images,
    read_image,
    require_room,
    upright_size,
    write_image,
)
from .jobs import Job, have_same_names, name_panoramas, pair_by_order, pair_randomly
from .network.generator import Generator
from .network.weights import load_generator, read_weights, save_generator
from .painter import PhotoMode
from .restore import put_back
from .sequence import NewPanorama, blend_sequence, sequence_layout

PROGRAM = "wrb" if Path(sys.argv[0]).stem == "wrb" else "python -m wrb"
"""How it was called, for messages."""

PRECISIONS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}

DEFAULT_FEATHER = 64

NUM_SHOWN = 3
"""Pairs that a message gives as examples."""

SOME_FAILED = 1
USER_MISTAKE = 2
INTERRUPTED = 130

EXPECTED_ERRORS = (ValueError, OSError, FloatingPointError)
"""What a bad file, option or machine raises, as opposed to a bad program; and so it does if memory runs out."""

OUT_OF_MEMORY = (
    "there is not enough memory. Close other programs, take smaller photos or a narrower --gap, or on a GPU "
    "--precision fp16 or --device cpu"
)


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        self.exit(USER_MISTAKE, f"{self.prog}: {message} (see --help)\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 1 if some pairs of two folders failed, or 2 for a mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    accept_any_text(sys.stdout)
    commands = {"info": run_info, "convert": run_convert, "restore": run_restore}
    try:
        if arguments and arguments[0] in commands:
            return commands[arguments[0]](arguments[1:])
        return run_blend(arguments)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        print(f"{PROGRAM}: {_reason(error)}", file=sys.stderr)
        return USER_MISTAKE


def run_blend(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"""\
Join photos to a panorama; the gaps between them are generated.

Several photos become one panorama, in their order:
  {PROGRAM} a.jpg b.jpg -o panorama.png
  {PROGRAM} a.jpg b.jpg c.jpg d.jpg --loop -o panorama.png

Two folders become many panoramas, each of one photo of the first and one of the second:
  {PROGRAM} lefts/ rights/ -o panoramas/""",
        epilog=f"""\
Also: {PROGRAM} restore puts the photos back into a panorama that was changed, {PROGRAM} info [FILE] describes
a file of weights, and {PROGRAM} convert IN OUT turns one into safetensors.
Photos of more than {MAX_MEGAPIXELS} megapixels are refused; the environment variable {LIMIT_VARIABLE} allows more.
Exit codes: 0 all done, 1 some pairs failed, 2 nothing done.""",
    )
    parser.add_argument(
        "photos", type=Path, nargs="+", metavar="PHOTO", help="photos from left to right, or two folders of photos"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="the panorama, or the folder for panoramas")
    _add_arrangement(parser)
    parser.add_argument(
        "--photos", choices=get_args(PhotoMode), default="keep", dest="photo_mode", help="what becomes of the photos"
    )
    parser.add_argument(
        "--feather", type=_pixels, metavar="PX", help=f"with --photos feather: how far (default: {DEFAULT_FEATHER})"
    )
    parser.add_argument(
        "--detail", type=float, default=1, metavar="SHARE", help="of the photos' detail in the gap, 0 to 1 (default: 1)"
    )
    parser.add_argument(
        "--layers",
        type=float,
        default=1,
        metavar="SHARE",
        help="how far the photos' skylines are led to each other, 0 to 1 (default: 1)",
    )
    _add_output(parser)
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
    options = parser.parse_intermixed_args(arguments)
    if not 0 <= options.detail <= 1:
        parser.error(f"--detail is {options.detail}; it goes from 0 to 1")
    if not 0 <= options.layers <= 1:
        parser.error(f"--layers is {options.layers}; it goes from 0 to 1")
    if options.feather and options.photo_mode != "feather":
        parser.error("--feather is for --photos feather")
    if options.seed is not None and not options.random_pairs:
        parser.error("--seed is for --random-pairs")

    for path in options.photos:
        if not path.exists():
            parser.error(f"there is no file or folder {path}")
    if folder := next((path for path in options.photos if path.is_dir()), None):
        if len(options.photos) != 2 or not all(path.is_dir() for path in options.photos):
            parser.error(f"{folder} is a folder; give two folders, whose photos are paired, or photos alone")
        if options.loop:
            parser.error("--loop is for several photos, not for two folders")
        if options.quality is not None:
            parser.error("--quality is for several photos; those of two folders become PNG, which keeps every pixel")
        if options.mask and options.mask.resolve() == options.output.resolve():
            parser.error("--mask is the folder for panoramas; masks have the same names and need one of their own")
        _check_num_gaps(parser, options.gap, 1)
        return _blend_folders(options)
    if options.random_pairs or options.both_orders:
        parser.error("--random-pairs and --both-orders are for two folders")
    _check_panorama(parser, options)
    return _blend_photos(options)


def run_restore(arguments: Sequence[str]) -> int:
    parser = Parser(
        prog=f"{PROGRAM} restore",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"""\
Put the photos' own pixels back into a panorama that other programs have upscaled or repainted:
  {PROGRAM} restore upscaled.png a.jpg b.jpg c.jpg --gap 800 -o restored.png

Give the same photos, --gap, --loop and --direction as when it was made.""",
    )
    parser.add_argument("panorama", type=Path, help="at any size, but whole and undistorted")
    parser.add_argument("photos", type=Path, nargs="+", metavar="PHOTO", help="that it was made of, in their order")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the restored panorama")
    _add_arrangement(parser)
    parser.add_argument(
        "--feather",
        type=_pixels,
        default=0,
        metavar="PX",
        help="how far each photo passes into the changed panorama towards a gap (default: 0)",
    )
    parser.add_argument(
        "--detail",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the photos' own detail that gaps receive beyond what they have, 0 to 1 (default: 0)",
    )
    _add_output(parser)
    options = parser.parse_intermixed_args(arguments)
    for path in (options.panorama, *options.photos):
        if not path.is_file():
            parser.error(f"there is no file {path}")
    _check_panorama(parser, options)
    layout = _layout(options.photos, options)
    panorama = read_image(options.panorama)
    for path in _outputs(options):
        require_room(path, panorama.shape[-1], panorama.shape[-2])
        require_writable(path)
    restored, layout = put_back(
        panorama,
        PhotoFiles(options.photos),
        layout,
        direction=options.direction,
        feather=options.feather,
        detail=options.detail,
    )
    gap_mask = transposed(layout.gap_mask(restored), options.direction)
    _write(transposed(restored, options.direction), gap_mask, options.output, options)
    print(options.output)
    return 0


def run_info(arguments: Sequence[str]) -> int:
    parser = Parser(prog=f"{PROGRAM} info", description="Describe a file of weights.")
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
    parser = Parser(prog=f"{PROGRAM} convert", description="Turn a file of weights into safetensors.")
    parser.add_argument("input", type=Path, metavar="IN", help="a file of weights in any format that is read")
    parser.add_argument("output", type=Path, metavar="OUT", help="the file to write, ending in .safetensors")
    parser.add_argument("--dtype", choices=PRECISIONS, help="precision to store (default: as it is)")
    options = parser.parse_args(arguments)
    if options.output.suffix != ".safetensors":
        parser.error(f"{options.output} does not end in .safetensors")
    require_writable(options.output)
    weights = read_weights(options.input)
    generator = weights.to_generator(dtype=None)
    save_generator(generator, options.output, dtype=PRECISIONS.get(options.dtype), metadata=weights.metadata)
    print(f"{options.output}: {options.output.stat().st_size / 1e6:.1f} MB")
    return 0


def _add_arrangement(parser: Parser) -> None:
    """The options that say where photos and gaps lie."""
    parser.add_argument(
        "--gap",
        type=_gap_widths,
        metavar="PX[,PX…]",
        help="width of the gap, or of each: 800,600,0. 0, the default, is the panorama's height",
    )
    parser.add_argument("--loop", action="store_true", help="lead from the last photo back into the first: 360°")
    parser.add_argument("--direction", choices=get_args(Direction), default="right", help="down: the first is on top")


def _add_output(parser: Parser) -> None:
    """The options about what is written."""
    parser.add_argument(
        "--mask", type=Path, help="also write the gaps' mask there, white where generated (of two folders, a folder)"
    )
    parser.add_argument(
        "--quality", type=_quality, metavar="1-100", help=f"of JPEG, WebP and AVIF (default: {QUALITY})"
    )


def _check_panorama(parser: Parser, options: argparse.Namespace) -> None:
    """What can be wrong about one panorama of several photos, before anything is read."""
    if len(options.photos) == 1 and not options.loop:
        parser.error(f"{options.photos[0]} is a single photo; give at least two, or --loop to lead it into itself")
    _check_num_gaps(parser, options.gap, len(options.photos) - (not options.loop))
    outputs = _outputs(options)
    if options.quality is not None and all(format_of(path) not in LOSSY for path in outputs):
        parser.error(f"--quality is for JPEG, WebP and AVIF; {options.output} keeps every pixel")
    photos = [path.resolve() for path in options.photos]
    for path in outputs:
        format_of(path)
        if path.resolve() in photos:
            parser.error(f"{path} is one of the photos; the panorama needs a file of its own")
    if len({path.resolve() for path in outputs}) < len(outputs):
        parser.error(f"{options.mask} is the panorama; its mask needs a file of its own")


def _outputs(options: argparse.Namespace) -> list[Path]:
    """The panorama and, where one is wanted, its mask; or the folders for them."""
    return [path for path in (options.output, options.mask) if path]


def _check_num_gaps(parser: Parser, widths: list[int | None] | None, num_gaps: int) -> None:
    if widths is not None and len(widths) not in (1, num_gaps):
        parser.error(f"--gap has {len(widths)} widths for {num_gaps} gaps; give one for all, or one for each")


def _layout(photos: Sequence[Path], options: argparse.Namespace) -> Layout:
    """Where photos and gaps will lie; every photo is read once for it."""
    sizes = map(upright_size, photos)
    outlines = [torch.empty(1, 3, height, width, device="meta") for width, height in sizes]
    return sequence_layout(outlines, _one_or_each(options.gap), loop=options.loop, direction=options.direction)


def _one_or_each(widths: list[int | None] | None) -> GapWidths:
    return widths[0] if widths is not None and len(widths) == 1 else widths


def _blend_photos(options: argparse.Namespace) -> int:
    layout = _layout(options.photos, options)
    width, height = (layout.width, layout.height)[:: 1 if options.direction == "right" else -1]
    for path in _outputs(options):
        require_room(path, width, height)
    generator = _load(options)
    for path in _outputs(options):
        require_writable(path)
    if len(options.photos) == 2 and not options.loop:
        left, right = options.photos
        _make_panorama(generator, Job(left, right, options.output), options)
    else:
        _make_sequence(generator, layout, options)
    print(options.output)
    return 0


def _make_sequence(generator: Generator, layout: Layout, options: argparse.Namespace) -> None:
    num_passes = len(layout.photo_widths) + len(layout.gap_widths)
    with _room_for(layout, options.output.parent) as (new_panorama, hand_back):
        with tqdm(total=num_passes, unit="photos and gaps", leave=False) as bar:

            def on_progress(done: int, total: int) -> None:
                bar.update()
                hand_back()

            made = blend_sequence(
                generator,
                PhotoFiles(options.photos),
                _one_or_each(options.gap),
                loop=options.loop,
                on_progress=on_progress,
                new_panorama=new_panorama,
                **_picture(options),
            )
        _write(made.panorama, made.gap_mask, options.output, options, hand_back)


@contextmanager
def _room_for(layout: Layout, folder: Path) -> Iterator[tuple[NewPanorama, Callable[[], None]]]:
    """What makes the panorama's tensor, in memory or, if it is large, in a file; and what hands back its memory."""
    if layout.height * layout.width <= LARGE:
        yield lambda *shape: torch.empty(shape), lambda: None
    else:
        with mapped_numbers(3 * layout.height * layout.width, folder) as (numbers, hand_back):
            yield lambda *shape: numbers.view(shape), hand_back


def _blend_folders(options: argparse.Namespace) -> int:
    lefts, rights = map(list_images, options.photos)
    pairs = pair_randomly(lefts, rights, options.seed or 0) if options.random_pairs else pair_by_order(lefts, rights)
    if not options.random_pairs and not have_same_names(pairs):
        examples = ", ".join(f"{left.name} and {right.name}" for left, right in pairs[:NUM_SHOWN])
        more = ", …" if len(pairs) > NUM_SHOWN else ""
        print(f"the names differ, so pairs are made by their order: {examples}{more}", file=sys.stderr)
    jobs = name_panoramas(pairs, options.output, both_orders=options.both_orders)
    remaining = [job for job in jobs if not job.output.exists()]
    num_failed = 0
    if remaining:
        generator = _load(options)
        for folder in _outputs(options):
            require_writable(folder / remaining[0].output.name)
        for job in tqdm(remaining, unit="panorama", initial=len(jobs) - len(remaining), total=len(jobs)):
            try:
                _make_panorama(generator, job, options)
            except Exception as error:
                tqdm.write(f"{job.left} and {job.right} skipped: {_reason(error)}", file=sys.stderr)
                num_failed += 1
    print(f"{options.output}: {len(jobs) - num_failed} of {len(jobs)} panoramas")
    return SOME_FAILED if num_failed else 0


def _load(options: argparse.Namespace) -> Generator:
    device = usable_device(options.device)
    return load_generator(options.weights, device=device, dtype=PRECISIONS[options.precision])


def _make_panorama(generator: Generator, job: Job, options: argparse.Namespace) -> None:
    left, right = read_image(job.left), read_image(job.right)
    made = blend(generator, left, right, options.gap[0] if options.gap else None, **_picture(options))
    _write(made.panorama, made.gap_mask, job.output, options)


def _picture(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments that `blend` and `blend_sequence` have in common."""
    return {
        "photo_mode": options.photo_mode,
        "feather": (options.feather or DEFAULT_FEATHER) if options.photo_mode == "feather" else 0,
        "detail": options.detail,
        "layers": options.layers,
        "direction": options.direction,
    }


def _write(
    panorama: Tensor,
    gap_mask: Tensor,
    output: Path,
    options: argparse.Namespace,
    between_strips: Callable[[], None] = lambda: None,
) -> None:
    """Write the panorama and, before it, the mask: where a panorama is, so is its mask."""
    quality = options.quality or QUALITY
    if options.mask:
        mask = options.mask / output.name if options.mask.is_dir() else options.mask
        write_image(gap_mask[None], mask, quality=quality)
    write_image(panorama, output, quality=quality, between_strips=between_strips)


def _pixels(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a number of pixels above 0")
    return int(text)


def _gap_widths(text: str) -> list[int | None]:
    """The numbers in a text such as 800,600,0; None for 0."""
    widths = text.split(",")
    if not all(width.strip().isdecimal() for width in widths):
        raise argparse.ArgumentTypeError(f"{text} is not a number of pixels, nor several with commas between them")
    return [int(width) or None for width in widths]


def _quality(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 100:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number from 1 to 100")
    return int(text)


def _reason(error: Exception) -> str:
    """What to tell the user about an error, in one line; an unexpected one is raised again."""
    if is_out_of_memory(error):
        return OUT_OF_MEMORY
    if not isinstance(error, EXPECTED_ERRORS):
        raise error
    return " ".join(str(error).split()) or type(error).__name__


if __name__ == "__main__":
    sys.exit(main())
