"""The viewer of Preview Panorama in the page, as a user sees and handles it, and a picture to see where it is."""

from __future__ import annotations

import io
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Locator, Page, expect

from tests.comfyui.waiting import MILLISECONDS, RUN_TIMEOUT, eventually, expect_soon

NODE = "WRBPreviewPanorama"
NODE_ID = 9
BATCH_ID = 8

WIDTH, HEIGHT = 1200, 300
"""Of the test picture."""

TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"

NODE_IS_IN_PLACE = """([id, scale]) => {
    const viewer = [...document.querySelectorAll('.widget-expands')].find(element => element.shadowRoot)
    const view = viewer?.shadowRoot.querySelector('.view')
    if (!view) return false
    const {left, top, width, height} = view.getBoundingClientRect()
    const place = [left, top, width, height].join()
    const stands = place === window.placeBefore
    window.placeBefore = place
    const {pos, size} = app.graph.getNodeById(id)
    const {offset} = app.canvas.ds
    const nodeLeft = app.canvas.canvas.getBoundingClientRect().left + (pos[0] + offset[0]) * scale
    return stands && nodeLeft < left && left + width < nodeLeft + size[0] * scale
        && Math.abs(width / view.offsetWidth - scale) < 0.01
}"""
"""The viewer lies within its node, drawn at that scale, and where it was in the frame before."""

NOTE_WHEEL = """() => {
    const wheel = {}
    addEventListener('wheel', () => { wheel.hasTurned = true }, {capture: true, once: true})
    return wheel
}"""


FLAT_END = 80
"""Columns at each end of the wide picture that are all alike."""


class View(NamedTuple):
    """Which point of the picture is in the middle of the viewer, and how many px of the page a px of it takes."""

    x: float
    y: float
    scale: float


class Viewer:
    """The viewer on a page, as a user sees and handles it."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.view: Locator = page.get_by_role("application")

    @property
    def box(self) -> tuple[float, float, float, float]:
        """Left, top, width and height on the page."""
        box = self.view.bounding_box()
        assert box
        return box["x"], box["y"], box["width"], box["height"]

    def point(self, x: float, y: float) -> tuple[float, float]:
        """On the page, at these fractions of the viewer's width and height."""
        left, top, width, height = self.box
        return left + x * width, top + y * height

    def look(self) -> np.ndarray:
        """What it shows once it stands still, (h w c) of bytes, without the ring around it."""
        # the new design draws coarsely for a while after the wheel
        self.page.wait_for_function("() => !document.querySelector('.transform-pane--interacting')")
        self.page.evaluate(TWO_FRAMES)

        def look_twice() -> np.ndarray:
            first, second = self._photograph(), self._photograph()
            assert np.array_equal(first, second), "it does not stand still"
            return second

        return eventually(look_twice)

    def _photograph(self) -> np.ndarray:
        left, top, width, height = self.box
        clip: Any = {"x": left + 4, "y": top + 4, "width": width - 8, "height": height - 8}
        return np.asarray(Image.open(io.BytesIO(self.page.screenshot(clip=clip))).convert("RGB"))

    def measure(self) -> View:
        """Read off the colours of the test picture where it is."""
        return eventually(self._measure_once)

    def _measure_once(self) -> View:
        seen = self.look()
        height, width, _ = seen.shape
        x, y, is_picture = read_positions(seen)
        rows = np.flatnonzero(is_picture[:, width // 2])
        assert len(rows) > 1, "the picture is not in sight"
        columns = np.flatnonzero(is_picture[rows.mean().astype(int)])
        assert len(columns) > 1, "the picture is not in sight"
        row_of_x = np.unwrap(x[rows.mean().astype(int), columns], period=WIDTH)
        x_slope, x_start = np.polyfit(columns + 0.5 - width / 2, row_of_x, 1)
        y_slope, y_start = np.polyfit(rows + 0.5 - height / 2, y[rows, width // 2], 1)
        assert x_slope == pytest.approx(y_slope, rel=0.05)
        return View(x_start % WIDTH, y_start, 1 / x_slope)

    def position_at(self, x: float, y: float) -> tuple[float, float]:
        """Which point of the picture is at these fractions of the viewer's width and height."""
        view = self.measure()
        _, _, width, height = self.box
        return view.x + (x - 0.5) * width / view.scale, view.y + (y - 0.5) * height / view.scale

    def wheel(self, distance: float, x: float = 0.5, y: float = 0.5, *, sideways: bool = False) -> None:
        self.page.mouse.move(*self.point(x, y))
        wheel = self.page.evaluate_handle(NOTE_WHEEL)
        self.page.mouse.wheel(*((distance, 0) if sideways else (0, distance)))
        self.page.wait_for_function("wheel => wheel.hasTurned", arg=wheel)

    def drag(self, right: float, down: float = 0, x: float = 0.5, y: float = 0.5) -> None:
        """Drag from a place by so many px."""
        start_x, start_y = self.point(x, y)
        self.page.mouse.move(start_x, start_y)
        self.page.mouse.down()
        self.page.mouse.move(start_x + right, start_y + down, steps=4)
        self.page.mouse.up()

    def pinch(self, start: float, end: float, x: float) -> None:
        """Put a finger down, then another, move them from `start` to `end` px apart, around a place, and lift them."""
        session = self.page.context.new_cdp_session(self.page)
        middle, y = self.point(x, 0.5)

        def touch(kind: str, *places: float) -> None:
            points = [{"x": place, "y": y, "id": number} for number, place in enumerate(places)]
            session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

        touch("touchStart", middle - start / 2)
        for distance in (start, (start + end) / 2, end):
            touch("touchStart" if distance == start else "touchMove", middle - distance / 2, middle + distance / 2)
        touch("touchEnd", middle - end / 2)
        touch("touchEnd")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.view.press(key)

    def set_loop(self, loop: bool) -> None:
        self.page.evaluate(
            """([id, loop]) => {
                const widget = app.graph.getNodeById(id).widgets.find(widget => widget.name === 'loop')
                widget.value = loop
                widget.callback(loop)
            }""",
            [NODE_ID, loop],
        )

    def wait_for_picture(self) -> None:
        expect(self.page.locator(".view.shown")).to_be_visible(timeout=RUN_TIMEOUT * MILLISECONDS)

    def run(self) -> None:
        self.page.get_by_test_id("queue-button").click()
        self.wait_for_picture()


def draw_picture(*, upside_down: bool = False) -> np.ndarray:
    """(h w c) of bytes: red and green tell how far round it is, and meet at the ends; blue tells how far down."""
    angle = (np.arange(WIDTH) + 0.5) / WIDTH * 2 * np.pi
    down = (np.arange(HEIGHT) + 0.5) / HEIGHT
    down = 1 - down if upside_down else down
    red, green, blue = 128 + 60 * np.cos(angle)[None], 128 + 60 * np.sin(angle)[None], 28 + 200 * down[:, None]
    return np.stack(np.broadcast_arrays(red, green, blue), axis=-1).round().astype(np.uint8)


def read_positions(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each pixel, the point of the test picture that it shows, x and y, and whether it shows any."""
    red, green, blue = np.moveaxis(seen.astype(float), -1, 0)
    x = np.arctan2(green - 128, red - 128) / (2 * np.pi) % 1 * WIDTH
    y = (blue - 28) / 200 * HEIGHT
    return x, y, np.abs(np.hypot(red - 128, green - 128) - 60) < 6


def workflow(*pictures: str, design: str, loop: bool = False) -> dict[str, Any]:
    """Load Image for each of one or two pictures, and Preview Panorama for all of them, as the page saves it."""
    nodes, links = [], []
    for number, picture in enumerate(pictures):
        outputs = [{"name": "IMAGE", "type": "IMAGE", "links": [number]}, {"name": "MASK", "type": "MASK", "links": []}]
        place = [20, 60 + 400 * number], [270, 314]
        nodes.append(saved_node(number, "LoadImage", *place, outputs=outputs, widgets_values=[picture, "image"]))
        links.append([number, number, 0, BATCH_ID, number, "IMAGE"])
    if len(pictures) == 1:
        links[0][3] = NODE_ID
    else:
        inputs = [{"name": f"image{number + 1}", "type": "IMAGE", "link": number} for number in range(len(pictures))]
        outputs = [{"name": "IMAGE", "type": "IMAGE", "links": [BATCH_ID]}]
        nodes.append(saved_node(BATCH_ID, "ImageBatch", [320, 60], [200, 80], inputs=inputs, outputs=outputs))
        links.append([BATCH_ID, BATCH_ID, 0, NODE_ID, 0, "IMAGE"])
    inputs = [{"name": "panorama", "type": "IMAGE", "link": links[-1][0]}]
    nodes.append(saved_node(NODE_ID, NODE, [560, 60], [500, 340], inputs=inputs, widgets_values=[loop]))
    # Without this version the page would change the nodes' sizes to suit the design.
    extra = {"workflowRendererVersion": "Vue" if design == "new" else "LG"}
    last = {"last_node_id": NODE_ID, "last_link_id": NODE_ID}
    return {**last, "nodes": nodes, "links": links, "groups": [], "config": {}, "extra": extra, "version": 0.4}


def saved_node(node_id: int, kind: str, place: list[int], size: list[int], **more: Any) -> dict[str, Any]:
    plain = {"id": node_id, "type": kind, "pos": place, "size": size, "order": node_id, "mode": 0, "flags": {}}
    return {**plain, "inputs": [], "outputs": [], "properties": {}, **more}


def graph_view(page: Page) -> list[float]:
    """The zoom and place of the graph, and the viewer's node's place in it."""
    node_place = page.evaluate("id => Array.from(app.graph.getNodeById(id)?.pos ?? [])", NODE_ID)
    return [*page.evaluate("() => [app.canvas.ds.scale, ...app.canvas.ds.offset]"), *node_place]


def set_graph_scale(page: Page, scale: float) -> None:
    """Zoom the graph, with the viewer's node at the upper left of the page."""
    page.evaluate(
        """([id, scale]) => {
            const {pos} = app.graph.getNodeById(id)
            app.canvas.ds.scale = scale
            app.canvas.ds.offset = [100 / scale - pos[0], 120 / scale - pos[1]]
            app.canvas.setDirty(true, true)
        }""",
        [NODE_ID, scale],
    )
    page.wait_for_function(NODE_IS_IN_PLACE, arg=[NODE_ID, scale])


def load_on(page: Page, *pictures: str, design: str, loop: bool = False) -> Viewer:
    files = [f"viewer/{picture}.png" for picture in pictures]
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow(*files, design=design, loop=loop))
    expect(page.get_by_role("application")).to_be_visible()
    set_graph_scale(page, 1)
    return Viewer(page)


def assert_is_whole(viewer: Viewer) -> None:
    """All of the picture, in the middle, as wide as the viewer."""
    scale = viewer.box[2] / WIDTH
    expect_soon(viewer.measure, pytest.approx((WIDTH / 2, HEIGHT / 2, scale), rel=0.005, abs=2 / scale))


def draw_wide_picture() -> np.ndarray:
    """Blotches of 8 px, no two rows of them alike, but for a flat grey at both ends."""
    blotches = np.random.default_rng(0).integers(0, 256, (32, 3750, 3), np.uint8)
    picture = blotches.repeat(8, axis=0).repeat(8, axis=1)
    picture[:, :FLAT_END] = picture[:, -FLAT_END:] = 200
    return picture
