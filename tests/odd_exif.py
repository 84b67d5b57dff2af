"""EXIF as cameras, phones and editors should not write it, and sometimes do."""

from __future__ import annotations

import struct

ORIENTATION, MAKE, RESOLUTION, COPYRIGHT = 0x0112, 0x010F, 0x011A, 0x8298
TEXT, SHORT, FRACTION, BYTES, FLOAT, UNKNOWN = 2, 3, 5, 7, 11, 99


def exif_block(*entries: tuple[int, int, int, bytes], after: bytes = b"") -> bytes:
    """EXIF of tags, each with its type, its count and the four bytes of its value; `after` starts at byte 14 + 12·n."""
    head = b"II*\0" + struct.pack("<IH", 8, len(entries))
    return head + b"".join(struct.pack("<HHI4s", *entry) for entry in entries) + bytes(4) + after


def short(number: int) -> bytes:
    return struct.pack("<HH", number, 0)


QUARTER_TURN = (ORIENTATION, SHORT, 1, short(6))

IGNORED = {
    "text": exif_block((ORIENTATION, TEXT, 2, b"6\0")),
    "bytes": exif_block((ORIENTATION, BYTES, 2, b"\6\0")),
    "a fraction of nothing": exif_block((ORIENTATION, FRACTION, 1, short(26)), after=struct.pack("<II", 6, 0)),
    "between two": exif_block((ORIENTATION, FLOAT, 1, struct.pack("<f", 6.5))),
    "no number": exif_block((ORIENTATION, FLOAT, 1, struct.pack("<f", float("nan")))),
    "0": exif_block((ORIENTATION, SHORT, 1, short(0))),
    "9": exif_block((ORIENTATION, SHORT, 1, short(9))),
    "of an unknown type": exif_block((ORIENTATION, UNKNOWN, 1, short(6))),
    "empty": exif_block((ORIENTATION, SHORT, 0, bytes(4))),
    "cut short in its head": exif_block(QUARTER_TURN)[:6],
    "cut short in its tag": exif_block(QUARTER_TURN)[:15],
    "far away": b"II*\0" + struct.pack("<I", 9999),
    "no EXIF": b"abcdefgh" * 4,
}
"""Blocks that do not say how the photo was held."""

UNDERSTOOD = {
    "a fraction": exif_block((ORIENTATION, FRACTION, 1, short(26)), after=struct.pack("<II", 6, 1)),
    "two": exif_block((ORIENTATION, SHORT, 2, struct.pack("<HH", 6, 6))),
    "beside bytes for a text": exif_block((MAKE, BYTES, 4, b"\xff\xfe\0\1"), QUARTER_TURN),
    "beside a text for a fraction": exif_block(QUARTER_TURN, (RESOLUTION, TEXT, 4, b"abc\0")),
    "beside a number for a text": exif_block(QUARTER_TURN, (COPYRIGHT, FLOAT, 1, struct.pack("<f", 1.5))),
    "with more tags than there are": exif_block(QUARTER_TURN).replace(b"\1\0\x12", b"\xf0\0\x12", 1),
}
"""Blocks that say of the photo that it was held at a quarter turn, beside what is wrong."""
