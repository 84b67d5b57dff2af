"""Image files of 16 bits a channel, as cameras and scanners write them; Pillow writes grey ones alone."""

from __future__ import annotations

import struct
import zlib

import numpy as np


def deep_png(pixels: np.ndarray, profile: bytes) -> bytes:
    """A PNG of (h w c), uint16: grey, grey with transparency, RGB or RGBA."""
    height, width, channels = pixels.shape
    colour_type = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)),
        (b"iCCP", b"test\0\0" + zlib.compress(profile)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def deep_tiff(pixels: np.ndarray, profile: bytes, order: str) -> bytes:
    """A TIFF of (h w c), uint16, grey or RGB; its order of bytes is "<" as Intel's or ">" as Motorola's."""
    height, width, channels = pixels.shape
    data = pixels.astype(f"{order}u2").tobytes()
    bits = struct.pack(f"{order}{channels}H", *[16] * channels)
    place = 8 + len(data)
    short, long, undefined = 3, 4, 7
    entries = [
        (256, long, 1, width),
        (257, long, 1, height),
        (258, short, channels, place if channels > 2 else 16),
        (259, short, 1, 1),
        (262, short, 1, 2 if channels == 3 else 1),
        (273, long, 1, 8),
        (277, short, 1, channels),
        (278, long, 1, height),
        (279, long, 1, len(data)),
        (34675, undefined, len(profile), place + len(bits)),
    ]
    table = struct.pack(f"{order}H", len(entries))
    for tag, kind, count, value in entries:
        packed = struct.pack(f"{order}H2x" if kind == short and count == 1 else f"{order}I", value)
        table += struct.pack(f"{order}HHI", tag, kind, count) + packed
    padding = bytes(len(profile) % 2)
    start = place + len(bits) + len(profile) + len(padding)
    mark = b"II" if order == "<" else b"MM"
    header = mark + struct.pack(f"{order}HI", 42, start)
    return header + data + bits + profile + padding + table + bytes(4)
