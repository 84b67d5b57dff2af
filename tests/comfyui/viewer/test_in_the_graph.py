"""The viewer of Preview Panorama as a part of the graph: resized, deleted, undone, reloaded; and how sharp it is."""

from __future__ import annotations

import shutil
from collections.abc import Callable

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect

from tests.comfyui.conftest import CHROMIUM_OPTIONS, PAGE_IS_READY, assert_no_toast_came, new_page, open_page
from tests.comfyui.server import PACK, ComfyServer
from tests.comfyui.viewer.driver import (
    FLAT_END,
    HEIGHT,
    NODE_ID,
    WIDTH,
    Viewer,
    assert_is_whole,
    draw_wide_picture,
    load_on,
    set_graph_scale,
)
from tests.comfyui.waiting import eventually, expect_soon

pytestmark = pytest.mark.comfyui

GRAPHICS_CARD = "--use-gl=angle --use-angle=swiftshader --ignore-gpu-blocklist --enable-gpu-rasterization".split()
"""Has Chromium draw as it does with a graphics card, but on the CPU."""

GRAPH_IS_SAVED = """() => {
    const values = graph => JSON.stringify(graph.nodes.map(({id, type, widgets_values}) => [id, type, widgets_values]))
    const newer = Object.keys(localStorage).filter(key => key.startsWith('Comfy.Workflow.Draft.'))
    const saved = [localStorage.getItem('workflow'), ...newer.map(key => JSON.parse(localStorage.getItem(key)).data)]
    return saved.some(text => text && values(JSON.parse(text)) === values(app.graph.serialize()))
}"""

FIND_VIEWER = "() => [...document.querySelectorAll('.widget-expands')].find(element => element.shadowRoot)"


def test_picture_grows_with_the_node(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    viewer.run()
    _, _, width, height = viewer.box
    corner_x, corner_y = page.evaluate(
        """id => {
            const {pos, size} = app.graph.getNodeById(id)
            const {scale, offset} = app.canvas.ds
            const {x, y} = app.canvas.canvas.getBoundingClientRect()
            return [x + (pos[0] + size[0] + offset[0]) * scale, y + (pos[1] + size[1] + offset[1]) * scale]
        }""",
        NODE_ID,
    )
    page.mouse.move(corner_x - 4, corner_y - 4)
    page.mouse.down()
    page.mouse.move(corner_x + 146, corner_y + 96, steps=5)
    page.mouse.up()
    expect_soon(lambda: viewer.box[2:], pytest.approx((width + 150, height + 100), abs=4))
    assert_is_whole(viewer)


def test_deleted_node_leaves_nothing_behind(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("first")
    viewer.run()
    viewer.wheel(-300)
    viewer.drag(10)
    held = page.evaluate_handle(FIND_VIEWER)
    page.evaluate("id => app.canvas.selectNode(app.graph.getNodeById(id))", NODE_ID)
    page.locator("canvas#graph-canvas").focus()  # else a newer page does not hear the key
    page.keyboard.press("Delete")
    expect(viewer.view).to_have_count(0)
    assert page.evaluate("() => app.graph.nodes.every(node => node.type === 'LoadImage')")
    # The page itself holds on to the node that was selected last, but the picture is let go of.
    assert not held.evaluate("element => element.isConnected")
    assert held.evaluate("element => element.shadowRoot.querySelector('.view').style.backgroundImage") == ""


def test_panorama_is_still_there_after_undo_and_in_its_tab(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("wide", loop=True)
    viewer.run()
    seen = look_at_blotches(viewer)
    viewer.page.evaluate(
        """id => {
            app.graph.getNodeById(id).title = 'Renamed'
            app.extensionManager.workflow.activeWorkflow.changeTracker.checkState()
        }""",
        NODE_ID,
    )
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Undo')")
    page.wait_for_function("id => app.graph.getNodeById(id).title === 'Preview Panorama'", arg=NODE_ID)
    viewer.wait_for_picture()
    set_graph_scale(page, 1)
    eventually(lambda: np.testing.assert_array_equal(viewer.look(), seen))
    viewer.drag(50)
    assert (look_at_blotches(viewer) != seen).any()

    page.evaluate("() => app.extensionManager.command.execute('Comfy.NewBlankWorkflow')")
    expect(viewer.view).to_have_count(0)
    page.evaluate("() => app.extensionManager.command.execute('Workspace.PreviousOpenedWorkflow')")
    viewer.wait_for_picture()
    set_graph_scale(page, 1)
    look_at_blotches(viewer)  # the new design makes nodes smaller at this, so they are not the same


def look_at_blotches(viewer: Viewer) -> np.ndarray:
    """What the viewer shows of the wide picture, once it shows it."""

    def look() -> np.ndarray:
        seen = viewer.look()
        assert seen.std() > 50
        return seen

    return eventually(look)


def test_reloaded_page_has_the_graph_but_asks_for_no_old_picture(page: Page, design: str) -> None:
    viewer = load_on(page, "first", design=design, loop=True)
    viewer.run()
    page.wait_for_function(GRAPH_IS_SAVED)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload(wait_until="domcontentloaded")
    page.wait_for_function(PAGE_IS_READY)
    expect(viewer.view).to_have_text("Run the graph to see the panorama.")
    set_graph_scale(page, 1)
    assert [url for url in asked if "type=temp" in url] == []
    assert_no_toast_came(page)
    viewer.run()
    _, _, _, height = viewer.box
    expect_soon(lambda: viewer.measure().scale, pytest.approx(height / HEIGHT, rel=0.01))  # loop was kept


def test_vanished_panorama_is_explained(page: Page, design: str) -> None:
    viewer = load_on(page, "first", design=design)
    page.evaluate(
        """id => app.graph.getNodeById(id).onExecuted(
            {panoramas: [{filename: 'gone.png', subfolder: '', type: 'temp', loop: false}]})""",
        NODE_ID,
    )
    expect(viewer.view).to_have_text("This panorama is no longer there. Run the graph again.")
    viewer.run()
    expect_soon(lambda: viewer.measure().x, pytest.approx(WIDTH / 2, abs=2))


def test_panorama_of_30000_px_is_shown_pixel_by_pixel(load: Callable[..., Viewer]) -> None:
    viewer = load("wide")
    viewer.run()
    viewer.press("1")
    assert_shows_pixel_by_pixel(viewer)
    width = viewer.look().shape[1]
    steps = 30000 // width
    viewer.press(*["Shift+ArrowRight"] * steps)
    assert_shows_pixel_by_pixel(viewer, 30000 - width - 4)
    viewer.press(*["Shift+ArrowLeft"] * steps)
    assert_shows_pixel_by_pixel(viewer, 4)


def test_picture_is_sharp_where_the_graph_was_moved_by_parts_of_a_px(load: Callable[..., Viewer], page: Page) -> None:
    viewer = load("wide")
    viewer.run()
    page.evaluate(
        """() => {
            const {offset} = app.canvas.ds
            app.canvas.ds.offset = [offset[0] + 0.4, offset[1] + 0.7]
            app.canvas.setDirty(true, true)
        }"""
    )
    page.mouse.move(0, 0)
    page.mouse.move(*viewer.point(0.5, 0.5))
    viewer.press("1")
    eventually(lambda: assert_has_no_blur(viewer))


def assert_has_no_blur(viewer: Viewer) -> None:
    """Each px of the screen is one of the wide picture's: its blotches of 8 px have nothing between them."""
    seen = viewer.look().astype(int)
    changes = (np.abs(np.diff(seen, axis=1)).max(axis=(0, 2)) > 8).nonzero()[0]
    assert (np.diff(changes) == 8).all()


def test_picture_is_as_sharp_as_the_screen(browser: Browser, server: ComfyServer, design: str) -> None:
    with open_page(browser, server, device_scale_factor=2) as page:
        viewer = load_on(page, "wide", design=design)
        viewer.run()
        viewer.press("1")
        set_graph_scale(page, 0.5)
        eventually(lambda: assert_has_no_blur(viewer))


def assert_shows_pixel_by_pixel(viewer: Viewer, first_column: int | None = None) -> None:
    """Each px of the screen is one of the wide picture's, from this column on or in the middle of it."""
    wide = draw_wide_picture().astype(int)

    def compare() -> None:
        seen = viewer.look()
        height, width, _ = seen.shape
        top = (len(wide) - height) // 2
        left = (30000 - width) // 2 if first_column is None else first_column
        difference = np.abs(seen - wide[top : top + height, left : left + width])
        assert difference.max() <= 1  # ComfyUI's way to 0..1 and back rounds down

    eventually(compare)


def test_seam_of_a_panorama_wider_than_a_texture_is_sharp_and_closed(browser: Browser, server: ComfyServer) -> None:
    """With a graphics card, whose textures are at most some thousand px wide, browsers draw in other ways."""
    options = [*(option for option in CHROMIUM_OPTIONS if option != "--disable-gpu"), *GRAPHICS_CARD]
    with browser.browser_type.launch(executable_path=shutil.which("chromium"), args=options) as card:
        page = new_page(card)
        page.goto(f"{server.url}/system_stats")  # any page from there, so that it may load the viewer alone
        page.evaluate(
            """async (module) => {
                const {PanoramaViewer} = await import(module)
                const viewer = new PanoramaViewer(() => true)
                window.viewer = viewer.element
                const place = {position: 'absolute', inset: 0, width: '600px', height: '240px', transformOrigin: '0 0'}
                Object.assign(viewer.element.style, place)
                document.body.append(viewer.element)
                viewer.show([new URL('/view?filename=wide.png&subfolder=viewer&type=input', location.href).href])
            }""",
            f"/extensions/{PACK}/panorama_viewer.js",
        )
        viewer = Viewer(page)
        viewer.wait_for_picture()
        viewer.press("1", *["Shift+ArrowRight"] * 25)
        wide = np.roll(draw_wide_picture(), 300 - 4, axis=1)

        def assert_is_sharp() -> None:
            seen = viewer.look()
            top = (len(wide) - seen.shape[0]) // 2
            np.testing.assert_array_equal(seen, wide[top : top + len(seen), : seen.shape[1]])

        eventually(assert_is_sharp)

        page.evaluate("() => { window.viewer.style.transform = 'translate(3.3px) scale(1.3)' }")

        def assert_is_closed() -> None:
            middle_rows = viewer.look()[20:-20].astype(int)
            flat = np.flatnonzero((np.abs(middle_rows - 200) <= 2).all(axis=(0, 2)))
            assert len(flat) > 2 * FLAT_END
            assert np.ptp(flat) + 1 == len(flat)  # no line in the middle of it

        for _ in range(5):
            viewer.press("+")
            eventually(assert_is_closed)
