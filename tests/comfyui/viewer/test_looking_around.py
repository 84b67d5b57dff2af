"""The viewer of Preview Panorama in the real page: moving and zooming. What is seen is measured from its pixels."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from tests.comfyui.server import PACK, ComfyServer
from tests.comfyui.viewer.driver import (
    HEIGHT,
    NODE,
    NODE_ID,
    WIDTH,
    View,
    Viewer,
    assert_is_whole,
    graph_view,
    read_positions,
    set_graph_scale,
)
from tests.comfyui.waiting import eventually, expect_soon

pytestmark = pytest.mark.comfyui

TakeScreenshot = Callable[[Page, str], None]


def test_node_is_listed_and_its_help_page_names_each_input(server: ComfyServer) -> None:
    info = server.get(f"/object_info/{NODE}")[NODE]
    assert info["display_name"] == "Preview Panorama"
    assert info["category"] == "image/wide-range blend"
    assert info["output_node"]
    text = server.get_text(f"/extensions/{PACK}/docs/{NODE}.md")
    for name, (_, options) in info["input"]["required"].items():
        assert options["tooltip"]
        assert f"`{name}`" in text


def test_whole_panorama_appears(
    load: Callable[..., Viewer], page: Page, design: str, take_screenshot: TakeScreenshot
) -> None:
    viewer = load("first")
    expect(viewer.view).to_have_text("Run the graph to see the panorama.")
    take_screenshot(page, f"viewer {design} empty")
    viewer.run()
    take_screenshot(page, f"viewer {design}")
    _, _, width, height = viewer.box
    assert_is_whole(viewer)

    seen = viewer.look()
    _, _, is_picture = read_positions(seen)
    expected_rows = np.abs(np.arange(len(seen)) + 0.5 - len(seen) / 2) < HEIGHT / 2 * width / WIDTH
    assert (is_picture.all(axis=1) == expected_rows).mean() > 0.99
    assert (is_picture.any(axis=1) == expected_rows).mean() > 0.99

    expect(page.get_by_text(f"{WIDTH} × {HEIGHT} px · {width / WIDTH:.0%}".replace("%", " %"))).to_be_visible()
    assert page.evaluate("id => app.graph.getNodeById(id).imgs ?? null", NODE_ID) is None
    assert page.locator("[data-testid^=node-body] .image-preview").count() <= (design == "new")  # Load Image's own


def test_dragging_moves_the_picture_with_the_pointer_and_nothing_else(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    viewer.run()
    viewer.wheel(-1000)
    before, graph = viewer.measure(), graph_view(page)
    viewer.drag(60, 25)
    after = before.x - 60 / before.scale, before.y - 25 / before.scale, before.scale
    expect_soon(viewer.measure, pytest.approx(after, abs=1.5))
    assert graph_view(page) == graph
    set_graph_scale(page, 1.5)
    before = viewer.measure()
    viewer.drag(-60)
    expect_soon(viewer.measure, pytest.approx((before.x + 60 / before.scale, before.y, before.scale), abs=1.5))


@pytest.mark.parametrize("graph_scale", [1, 1.5])
def test_wheel_zooms_around_the_pointer_and_not_the_graph(
    load: Callable[..., Viewer], page: Page, graph_scale: float
) -> None:
    viewer = load("first")
    viewer.run()
    set_graph_scale(page, graph_scale)
    before, graph = viewer.measure(), graph_view(page)
    position = viewer.position_at(0.7, 0.5)
    viewer.wheel(-400, 0.7)
    expect_soon(lambda: viewer.position_at(0.7, 0.5), pytest.approx(position, abs=3))
    assert viewer.measure().scale > 1.5 * before.scale
    position = viewer.position_at(0.4, 0.3)
    viewer.wheel(-400, 0.4, 0.3)
    expect_soon(lambda: viewer.position_at(0.4, 0.3), pytest.approx(position, abs=2))
    page.keyboard.down("Control")
    viewer.wheel(-100)
    page.keyboard.up("Control")
    before = viewer.measure()
    viewer.wheel(40, sideways=True)
    expect_soon(
        viewer.measure, pytest.approx((before.x + 40 * graph_scale / before.scale, before.y, before.scale), abs=2)
    )
    for _ in range(6):  # to its end, and beyond
        viewer.wheel(1000, 0.3, 0.6)
    assert_is_whole(viewer)
    for _ in range(6):
        viewer.wheel(-1000)
    expect(page.get_by_text("1600 %")).to_be_visible()
    assert graph_view(page) == graph


def test_two_fingers_zoom_about_their_middle_and_not_the_graph(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    viewer.run()
    before, graph = viewer.measure(), graph_view(page)
    position = viewer.position_at(0.6, 0.5)
    viewer.pinch(60, 180, 0.6)
    expect_soon(lambda: viewer.measure().scale, pytest.approx(3 * before.scale, rel=0.02))
    expect_soon(lambda: viewer.position_at(0.6, 0.5), pytest.approx(position, abs=3))
    viewer.pinch(180, 90, 0.6)
    expect_soon(lambda: viewer.measure().scale, pytest.approx(1.5 * before.scale, rel=0.02))
    assert graph_view(page) == graph


def test_without_loop_the_picture_stops_at_its_edges(load: Callable[..., Viewer]) -> None:
    viewer = load("first")
    viewer.run()
    viewer.wheel(-1200)
    for _ in range(8):
        viewer.drag(-200, -80, 0.8, 0.7)
    expect_soon(lambda: viewer.position_at(1, 1), pytest.approx((WIDTH, HEIGHT), abs=2))
    assert read_positions(viewer.look())[2].all()
    for _ in range(14):
        viewer.drag(200, 80, 0.2, 0.3)
    expect_soon(lambda: viewer.position_at(0, 0), pytest.approx((0, 0), abs=2))
    assert read_positions(viewer.look())[2].all()


def test_with_loop_it_goes_round_without_a_gap(
    load: Callable[..., Viewer], page: Page, design: str, take_screenshot: TakeScreenshot
) -> None:
    viewer = load("first", loop=True)
    viewer.run()
    _, _, width, height = viewer.box
    expect_soon(viewer.measure, pytest.approx((WIDTH / 2, HEIGHT / 2, height / HEIGHT), rel=0.01))
    viewer.press("+")
    scale = 1.25 * height / HEIGHT
    distance = 0.0
    for _ in range(12):
        viewer.drag(-157, 0, 0.8)
        distance += 157 / scale
        expect_soon(lambda: viewer.measure().x, pytest.approx((WIDTH / 2 + distance) % WIDTH, abs=2))
        assert_goes_round(viewer, scale)
    assert distance > WIDTH
    # A few px of the page around the seam, where it would be seen
    viewer.press("Home")
    viewer.drag(-viewer.measure().scale * WIDTH / 2)
    take_screenshot(page, f"viewer {design} loop")
    for _ in range(5):
        viewer.drag(1)
        assert_goes_round(viewer, height / HEIGHT)
    viewer.wheel(2000)
    expect_soon(lambda: viewer.measure().scale, pytest.approx(width / WIDTH, rel=0.01))
    viewer.drag(width / 3)
    assert_goes_round(viewer, width / WIDTH)


def assert_goes_round(viewer: Viewer, scale: float) -> None:
    """From each column to the next it is the same way on, and all of the middle rows show the picture."""

    def look() -> None:
        seen = viewer.look()
        middle = seen[len(seen) // 2 - 10 : len(seen) // 2 + 10]
        x, _, is_picture = read_positions(middle)
        assert is_picture.all()
        columns = np.arange(middle.shape[1])
        unwrapped = np.unwrap(x.mean(axis=0) if np.ptp(x) < WIDTH / 2 else x[0], period=WIDTH)
        assert np.abs(unwrapped - np.polyval(np.polyfit(columns, unwrapped, 1), columns)).max() < 6
        assert (unwrapped[-1] - unwrapped[0]) / (len(columns) - 1) == pytest.approx(1 / scale, rel=0.02)

    eventually(look)


def test_loop_counts_at_once(load: Callable[..., Viewer]) -> None:
    viewer = load("first")
    viewer.run()
    viewer.press("1", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight")
    _, _, width, _ = viewer.box
    expect_soon(lambda: viewer.measure().x, pytest.approx(WIDTH - width / 2, abs=4))
    viewer.set_loop(True)
    before = viewer.measure()
    viewer.drag(-300, 0, 0.9)
    expect_soon(lambda: viewer.measure().x, pytest.approx((before.x + 300) % WIDTH, abs=2))
    viewer.set_loop(False)
    assert width / 2 - 4 < viewer.measure().x < WIDTH - width / 2 + 4


def test_loop_can_be_set_by_another_node(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    page.evaluate(
        """id => {
            const loop = LiteGraph.createNode('PrimitiveBoolean')
            app.graph.add(loop)
            loop.widgets[0].value = true
            const preview = app.graph.getNodeById(id)
            loop.connect(0, preview, preview.inputs.findIndex(input => input.name === 'loop'))
        }""",
        NODE_ID,
    )
    viewer.run()
    _, _, _, height = viewer.box
    expect_soon(lambda: viewer.measure().scale, pytest.approx(height / HEIGHT, rel=0.01))


def test_middle_button_moves_the_graph_and_not_the_picture(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    viewer.run()
    viewer.wheel(-500)
    before, (scale, left, top, *place) = viewer.measure(), graph_view(page)
    start_x, start_y = viewer.point(0.5, 0.5)
    page.mouse.move(start_x, start_y)
    page.mouse.down(button="middle")
    page.mouse.move(start_x + 80, start_y + 50, steps=4)
    page.mouse.up(button="middle")
    expect_soon(lambda: graph_view(page), pytest.approx([scale, left + 80, top + 50, *place], abs=1))
    expect_soon(viewer.measure, pytest.approx(before, rel=0.005, abs=1))


def test_everything_can_be_done_with_keys(
    load: Callable[..., Viewer], page: Page, design: str, take_screenshot: TakeScreenshot
) -> None:
    viewer = load("first", "second")
    viewer.run()
    graph = graph_view(page)
    _, _, width, height = viewer.box
    viewer.press("1")
    view = View(WIDTH / 2, HEIGHT / 2, 1)
    expect_soon(viewer.measure, pytest.approx(view, abs=1.5))
    viewer.press("ArrowLeft")
    expect_soon(viewer.measure, pytest.approx((view.x - width / 8, view.y, 1), abs=1.5))
    viewer.press("ArrowRight", "ArrowRight")
    expect_soon(viewer.measure, pytest.approx((view.x + width / 8, view.y, 1), abs=1.5))
    viewer.press("+")
    expect_soon(viewer.measure, pytest.approx((view.x + width / 8, view.y, 1.25), abs=1.5))
    viewer.press("ArrowUp")
    expect_soon(lambda: viewer.measure().y, pytest.approx(view.y - height / 8 / 1.25, abs=1.5))
    viewer.press("ArrowDown", "-")
    expect_soon(viewer.measure, pytest.approx((view.x + width / 8, view.y, 1), abs=1.5))
    take_screenshot(page, f"viewer {design} keys")
    expect(viewer.view).to_be_focused()
    expect_soon(lambda: sees_ring(viewer), True)
    viewer.press("Home")
    assert_is_whole(viewer)
    expect(viewer.view).to_have_attribute("aria-label", f"Panorama, 1 of 2, {WIDTH} × {HEIGHT} pixels")
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Previous panorama")).to_be_focused()
    expect_soon(lambda: sees_ring(viewer), False)
    assert graph_view(page) == graph


def sees_ring(viewer: Viewer) -> bool:
    left, top, width, _ = viewer.box
    clip: Any = {"x": left, "y": top, "width": width, "height": 4}
    edge = np.asarray(Image.open(io.BytesIO(viewer.page.screenshot(clip=clip))).convert("RGB"))
    return bool((edge[0:2, 20:-20] == 255).all() and (edge[2:4, 20:-20] == (0, 0x66, 0xCC)).all())


def test_double_click_goes_back_to_the_first_view(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    viewer.run()
    viewer.wheel(-800, 0.2)
    viewer.drag(30)
    page.mouse.dblclick(*viewer.point(0.3, 0.5))
    assert_is_whole(viewer)


def test_all_panoramas_of_a_batch_can_be_reached(
    load: Callable[..., Viewer], page: Page, design: str, take_screenshot: TakeScreenshot
) -> None:
    viewer = load("first", "second")
    viewer.run()
    viewer.wheel(-600)
    view = viewer.measure()

    def is_brighter_above() -> bool:
        blue = viewer.look()[:, :, 2].astype(int)
        return blue[0].mean() > blue[-1].mean()

    def expect_second(is_second: bool) -> None:
        expect(page.get_by_text("2 / 2" if is_second else "1 / 2")).to_be_visible()
        expect_soon(is_brighter_above, is_second)

    expect_second(False)
    page.get_by_role("button", name="Next panorama").click()
    expect_second(True)
    take_screenshot(page, f"viewer {design} batch")
    page.get_by_role("button", name="Next panorama").click()
    expect_second(False)
    expect_soon(viewer.measure, pytest.approx(view, rel=0.01))  # one keeps looking at the same spot
    viewer.press("[")
    expect_second(True)
    viewer.press("]")
    expect_second(False)
    page.get_by_role("button", name="Previous panorama").click()
    expect_second(True)
