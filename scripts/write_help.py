"""Write the nodes' short help pages in other languages from `locales/`. The long ones, in English, are written by hand.

Run after a text there has changed: python -m scripts.write_help
"""

from __future__ import annotations

import json
from pathlib import Path

from wrb.files import replacing

ROOT = Path(__file__).parents[1]

HEADINGS = {
    "zh": ("输入", "输出"),
    "ja": ("入力", "出力"),
    "ko": ("입력", "출력"),
    "fr": ("Entrées", "Sorties"),
    "es": ("Entradas", "Salidas"),
}
"""By language, what stands over the inputs and the outputs."""

PICTURES = {"WRBBlend": ("options_photos.jpg", "options_detail.jpg", "options_layers.jpg")}
"""By node, those of `scripts/draw_options.py`."""


def pages() -> dict[Path, str]:
    """The text of every page, by its file."""
    texts = {}
    for language, headings in HEADINGS.items():
        nodes = json.loads((ROOT / "locales" / language / "nodeDefs.json").read_text(encoding="utf-8"))
        for node, told in nodes.items():
            lines = [f"# {told['display_name']}", "", told["description"]]
            for heading, part in zip(headings, ("inputs", "outputs"), strict=True):
                if fields := told.get(part):
                    lines += ["", f"## {heading}", ""]
                    lines += [f"- `{field['name']}`: {field['tooltip']}" for field in fields.values()]
            lines += [line for picture in PICTURES.get(node, ()) for line in ("", f"![]({picture})")]
            texts[ROOT / "web" / "docs" / node / f"{language}.md"] = "\n".join(lines) + "\n"
    return texts


def main() -> None:
    for path, text in pages().items():
        path.parent.mkdir(exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
