"""The viewer of Preview Panorama in the real page, in both node designs. What is seen is measured from its pixels."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Error, Page, expect

from tests.comfyui.conftest import CHROMIUM_OPTIONS, PAGE_IS_READY, assert_no_toast_came, new_page, open_page
from tests.comfyui.server import PACK, ComfyServer
from tests.comfyui.viewer import (
    HEIGHT,
    NODE,
    NODE_ID,
    TWO_FRAMES,
    WIDTH,
    View,
    Viewer,
    draw_picture,
    graph_view,
    read_positions,
    set_graph_scale,
    workflow,
)
from tests.comfyui.waiting import eventually, expect_soon

pytestmark = pytest.mark.comfyui

FLAT_END = 80
"""Columns at each end of the wide picture that are all alike."""

GRAPHICS_CARD = "--use-gl=angle --use-angle=swiftshader --ignore-gpu-blocklist --enable-gpu-rasterization".split()
"""Has Chromium draw as it does with a graphics card, but on the CPU."""

GRAPH_IS_SAVED = """() => {
    const values = graph => JSON.stringify(graph.nodes.map(({id, type, widgets_values}) => [id, type, widgets_values]))
    const saved = localStorage.getItem('workflow')
    return saved && values(JSON.parse(saved)) === values(app.graph.serialize())
}"""

FIND_VIEWER = "() => [...document.querySelectorAll('[data-capture-wheel]')].find(element => element.shadowRoot)"

TakeScreenshot = Callable[[Page, str], None]


@pytest.fixture(scope="module", autouse=True)
def pictures(server: ComfyServer) -> Iterator[None]:
    """In ComfyUI's input folder: two test pictures, one of them upside down, and one that is 30000 px wide."""
    folder = server.base / "input" / "viewer"
    folder.mkdir()
    Image.fromarray(draw_picture()).save(folder / "first.png")
    Image.fromarray(draw_picture(upside_down=True)).save(folder / "second.png")
    Image.fromarray(draw_wide_picture()).save(folder / "wide.png")
    yield
    shutil.rmtree(folder)


def draw_wide_picture() -> np.ndarray:
    """Blotches of 8 px, no two rows of them alike, but for a flat grey at both ends."""
    blotches = np.random.default_rng(0).integers(0, 256, (32, 3750, 3), np.uint8)
    picture = blotches.repeat(8, axis=0).repeat(8, axis=1)
    picture[:, :FLAT_END] = picture[:, -FLAT_END:] = 200
    return picture


@pytest.fixture(scope="module", params=["classic", "new"])
def design(request: pytest.FixtureRequest, server: ComfyServer) -> Iterator[str]:
    """How the page draws nodes."""
    server.post("/settings", {"Comfy.VueNodes.Enabled": request.param == "new", "Comfy.TutorialCompleted": True})
    yield request.param
    server.post("/settings", {"Comfy.VueNodes.Enabled": False})


@pytest.fixture(scope="module")
def page(browser: Browser, server: ComfyServer, design: str) -> Iterator[Page]:
    """ComfyUI's page in one design, for all tests of this file."""
    with open_page(browser, server) as page:
        yield page


@pytest.fixture
def load(page: Page, design: str) -> Iterator[Callable[..., Viewer]]:
    """Loads a workflow of these pictures and returns the viewer in it. No error may come up until the test ends."""
    errors: list[str] = []

    def note_message(message: ConsoleMessage) -> None:
        # The page asks the registry about nodes that are not its own, which the tests' network does not let through.
        if message.type == "error" and "api.comfy.org" not in message.text:
            errors.append(message.text)

    def note_exception(exception: Error) -> None:
        errors.append(str(exception))

    def load(*pictures: str, loop: bool = False) -> Viewer:
        return load_on(page, *pictures, design=design, loop=loop)

    page.on("console", note_message)
    page.on("pageerror", note_exception)
    yield load
    page.evaluate(TWO_FRAMES)  # all errors until now are told before this is answered
    page.remove_listener("console", note_message)
    page.remove_listener("pageerror", note_exception)
    assert errors == []


def load_on(page: Page, *pictures: str, design: str, loop: bool = False) -> Viewer:
    files = [f"viewer/{picture}.png" for picture in pictures]
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow(*files, design=design, loop=loop))
    expect(page.get_by_role("application")).to_be_visible()
    set_graph_scale(page, 1)
    return Viewer(page)


def assert_is_whole(viewer: Viewer) -> None:
    """All of the picture, in the middle, as wide as the viewer."""
    scale = viewer.box[2] / WIDTH
    expect_soon(viewer.measure, pytest.approx((WIDTH / 2, HEIGHT / 2, scale), rel=0.005, abs=1.5 / scale))


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
    for _ in range(6):  # to its end, and beyond
        viewer.wheel(1000, 0.3, 0.6)
    assert_is_whole(viewer)
    for _ in range(6):
        viewer.wheel(-1000)
    expect(page.get_by_text("1600 %")).to_be_visible()
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
    assert viewer.measure().x < WIDTH - 200
    viewer.set_loop(True)
    before = viewer.measure()
    viewer.drag(-300, 0, 0.9)
    expect_soon(lambda: viewer.measure().x, pytest.approx((before.x + 300) % WIDTH, abs=2))
    viewer.set_loop(False)
    assert 200 < viewer.measure().x < WIDTH - 200


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
    viewer.drag(10)  # selects the node as well
    held = page.evaluate_handle(FIND_VIEWER)
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


def test_picture_is_as_sharp_as_the_screen(browser: Browser, server: ComfyServer, design: str) -> None:
    with open_page(browser, server, device_scale_factor=2) as page:
        viewer = load_on(page, "wide", design=design)
        viewer.run()
        viewer.press("1")
        set_graph_scale(page, 0.5)
        assert_shows_pixel_by_pixel(viewer)


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
