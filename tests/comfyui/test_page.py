"""What a user does in ComfyUI's real page, in a real browser."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from tests.comfyui.conftest import assert_no_toast_came, open_page
from tests.comfyui.example_graphs import QUICK, read_saved
from tests.comfyui.server import PACK, ROOT, ComfyServer
from tests.comfyui.waiting import MILLISECONDS, RUN_TIMEOUT, expect_soon

pytestmark = [pytest.mark.comfyui, pytest.mark.newest_page]

TakeScreenshot = Callable[[Page, str], None]

PICTURES_ARE_THERE = """() => app.graph.nodes
    .filter(node => ['SaveImage', 'PreviewImage', 'MaskPreview'].includes(node.type))
    .every(node => node.imgs?.length && node.imgs.every(image => image.complete && image.naturalWidth))"""

SAVED_SIZE = """() => {
    const [image] = app.graph.nodes.find(node => node.type === 'SaveImage').imgs
    return [image.naturalWidth, image.naturalHeight]
}"""

ALL_STANDS_IN_SIGHT = """() => {
    const {scale, offset, visible_area: [left, top, width, height]} = app.canvas.ds
    const view = [scale, ...offset].join()
    const stands = view === window.viewBefore
    window.viewBefore = view
    return stands && app.graph.nodes.every(({pos, size}) => pos[0] >= left && pos[1] >= top
        && pos[0] + size[0] <= left + width && pos[1] + size[1] <= top + height)
}"""
"""Once a frame, until the view is as it was in the frame before."""

ALL_ARE_DRAWN = "count => document.querySelectorAll('.lg-node').length === count"

OVERLAPS = """() => {
    const nodes = [...document.querySelectorAll('.lg-node')]
    const places = nodes.map(node => [node.dataset.nodeId, node.getBoundingClientRect()])
    return places.flatMap(([id, place], number) => places.slice(number + 1)
        .filter(([, other]) => place.left < other.right - 1 && other.left < place.right - 1
            && place.top < other.bottom - 1 && other.top < place.bottom - 1)
        .map(([other]) => [id, other]))
}"""

CONNECT_BLUEPRINT = """() => {
    const [panorama] = app.graph.nodes
    const add = (kind, name, value) => {
        const node = LiteGraph.createNode(kind)
        app.graph.add(node)
        node.widgets.find(widget => widget.name === name).value = value
        return node
    }
    add('LoadImage', 'image', 'wrb_sample_desert.jpg').connect(0, panorama, 0)
    add('LoadImage', 'image', 'wrb_sample_lake.jpg').connect(0, panorama, 1)
    panorama.widgets.find(widget => widget.name === 'gap_width').value = 200
    panorama.connect(0, add('SaveImage', 'filename_prefix', 'blueprint'), 0)
}"""

GRAPH_IS_THERE = "() => app.graph.nodes.some(node => node.type.startsWith('WRBBlend'))"

KNOWS_FORMS = "() => 'initialMode' in app.extensionManager.workflow.activeWorkflow"
"""Whether the page has an app mode with the forms that the graphs describe: since 1.42."""

SHOWS_APP = """() => {
    const {activeMode, initialMode} = app.extensionManager.workflow.activeWorkflow
    return (activeMode ?? initialMode) === 'app'
}"""

NAMES_OF_TEXTS = """async module => {
    const {TEXTS} = await import(module)
    return Object.entries(TEXTS).map(([language, texts]) => [language, Object.keys(texts)])
}"""

VIEWERS = "() => app.graph.nodes.filter(node => node.type === 'WRBPreviewPanorama').length"

SET_VALUES = """values => {
    for (const [id, changed] of Object.entries(values))
        for (const [name, value] of Object.entries(changed))
            app.graph.getNodeById(id).widgets.find(widget => widget.name === name).value = value
}"""

DROP_FILE = """([canvas, content, name]) => {
    const bytes = Uint8Array.from(atob(content), character => character.charCodeAt(0))
    const dropped = new DataTransfer()
    dropped.items.add(new File([bytes], name, {type: 'image/png'}))
    for (const event of ['dragenter', 'dragover', 'drop'])
        canvas.dispatchEvent(new DragEvent(event, {dataTransfer: dropped, bubbles: true, cancelable: true}))
}"""


def choose_template(page: Page, name: str) -> None:
    """Load an example graph as a user does: from the browser of templates."""
    page.get_by_role("button", name="Templates").click()
    page.get_by_text(PACK, exact=True).click()
    page.get_by_test_id(f"template-workflow-{name}").click()
    page.wait_for_function(GRAPH_IS_THERE)


def open_template(page: Page, name: str) -> None:
    """Load an example graph from the browser of templates, and look at it as a graph."""
    choose_template(page, name)
    close_offer_of_models(page, name)
    if read_saved(name)["extra"].get("linearMode") and page.evaluate(KNOWS_FORMS):
        page.wait_for_function(SHOWS_APP)
        page.evaluate("() => app.extensionManager.command.execute('Comfy.ToggleLinear')")
        expect(page.get_by_test_id("queue-button")).to_be_visible()
    fit_view(page)


def load_as_graph(page: Page, path: Path) -> dict[str, Any]:
    """Load the page's own format of a graph, and return it as it was; it is not shown as an app."""
    workflow = json.loads(path.read_text())
    workflow["extra"].pop("linearMode", None)
    page.evaluate("workflow => app.loadGraphData(workflow)", workflow)
    page.wait_for_function("count => app.graph.nodes.length === count", arg=len(workflow["nodes"]))
    return workflow


def close_offer_of_models(page: Page, name: str) -> None:
    """The page says which models are missing, of those for which the graph knows an address."""
    models = [model for node in read_saved(name)["nodes"] for model in node["properties"].get("models", [])]
    if not models:
        return
    offer = page.get_by_role("dialog").filter(has_text="Missing Models")
    for model in models:
        expect(offer).to_contain_text(f"{model['directory']} / {model['name']}")
    page.keyboard.press("Escape")
    expect(offer).to_have_count(0)


def fit_view(page: Page) -> None:
    page.evaluate("() => app.extensionManager.command.execute('Comfy.Canvas.FitView')")
    page.wait_for_function(ALL_STANDS_IN_SIGHT)  # it glides there


def run_and_wait_for_pictures(page: Page) -> None:
    page.get_by_test_id("queue-button").click()
    page.wait_for_function(PICTURES_ARE_THERE, timeout=RUN_TIMEOUT * MILLISECONDS)


def current_graph(page: Page) -> dict[str, Any]:
    """Nodes by id, with their type, values and links, as the page has them now."""
    workflow = json.loads(page.evaluate("() => JSON.stringify(app.graph.serialize())"))
    # Newer pages leave out values of which there are none.
    nodes = {node["id"]: (node["type"], node.get("widgets_values") or []) for node in workflow["nodes"]}
    return {"nodes": nodes, "links": sorted(workflow["links"])}


@pytest.mark.parametrize(
    ("template", "size"),
    [
        ("blend_two_photos", [1080 + 720 + 1280, 720]),
        ("adjust_gap", [1080 + 1440 + 1280, 720]),
        ("loop_four_photos", [1080 + 1280 + 1080 + 1280 + 4 * 720, 720]),
        ("upscale_and_restore", [2 * (96 + 64 + 96), 2 * 64]),
        ("repaint_gap", [96 + 64 + 96, 64]),
        ("repaint_loop", [3 * (96 + 64), 64]),
    ],
)
@pytest.mark.usefixtures("example_files")
def test_template_runs_and_its_picture_brings_the_graph_back(
    page: Page,
    server: ComfyServer,
    request: pytest.FixtureRequest,
    take_screenshot: TakeScreenshot,
    template: str,
    size: list[int],
) -> None:
    if template == "upscale_and_restore":
        request.getfixturevalue("upscale_model")
    open_template(page, template)
    assert_no_toast_came(page)
    page.evaluate(SET_VALUES, QUICK.get(template, {}))
    graph = current_graph(page)
    run_and_wait_for_pictures(page)
    expect(page.locator(".view.shown")).to_have_count(page.evaluate(VIEWERS))
    assert_no_toast_came(page)
    take_screenshot(page, template)
    assert page.evaluate(SAVED_SIZE) == size

    saved = max((server.base / "output").glob("panorama*.png"), key=lambda path: path.stat().st_mtime)
    page.evaluate("() => app.graph.clear()")
    canvas = page.locator("canvas#graph-canvas").element_handle()
    page.evaluate(DROP_FILE, [canvas, base64.b64encode(saved.read_bytes()).decode(), saved.name])
    expect_soon(lambda: current_graph(page), graph)
    assert_no_toast_came(page)


def test_shipped_workflow_is_what_the_page_makes_of_it(page: Page) -> None:
    """So that opening and saving it again changes nothing that counts."""
    for path in sorted((ROOT / "workflows").glob("*.json")):
        workflow = load_as_graph(page, path)
        nodes = {node["id"]: (node["type"], node["widgets_values"]) for node in workflow["nodes"]}
        assert current_graph(page) == {"nodes": nodes, "links": sorted(workflow["links"])}


def test_nodes_of_the_shipped_workflows_do_not_overlap_in_the_new_design(
    browser: Browser, server: ComfyServer, take_screenshot: TakeScreenshot
) -> None:
    server.post("/settings", {"Comfy.VueNodes.Enabled": True, "Comfy.TutorialCompleted": True})
    try:
        with open_page(browser, server) as page:
            for path in sorted((ROOT / "workflows").glob("*.json")):
                workflow = load_as_graph(page, path)
                page.wait_for_function(ALL_ARE_DRAWN, arg=len(workflow["nodes"]))
                expect_soon(lambda: page.evaluate(OVERLAPS), [])
                fit_view(page)
                take_screenshot(page, f"{path.stem} new design")
    finally:
        server.post("/settings", {"Comfy.VueNodes.Enabled": False})


def test_graphs_that_need_no_other_models_fit_the_screen_of_a_laptop_with_texts(page: Page) -> None:
    """Where it is drawn smaller than about 57 %, the page leaves out all texts."""
    page.set_viewport_size({"width": 1440, "height": 810})
    for name in ("blend_two_photos", "adjust_gap", "loop_four_photos"):
        load_as_graph(page, ROOT / "workflows" / f"{name}.json")
        fit_view(page)
        assert not page.evaluate("() => app.canvas.low_quality")


def test_first_graph_opens_as_a_form_where_the_page_has_forms(page: Page, take_screenshot: TakeScreenshot) -> None:
    choose_template(page, "blend_two_photos")
    if page.evaluate(KNOWS_FORMS):
        expect(page.get_by_test_id("app-mode-widget-item")).to_have_count(4)
        expect(page.get_by_text("Right photo", exact=True)).to_be_visible()
        page.get_by_role("button", name="Run", exact=True).click()
        made = page.locator("img[src*='filename=panorama']").first
        expect(made).to_be_visible(timeout=RUN_TIMEOUT * MILLISECONDS)
        expect(made).to_have_js_property("naturalWidth", 1080 + 720 + 1280)
        take_screenshot(page, "app mode")
    else:
        expect_soon(lambda: page.evaluate("() => 'linearMode' in app.graph.extra"), False)
        fit_view(page)
        expect(page.get_by_test_id("queue-button")).to_be_visible()
    assert_no_toast_came(page)


def test_viewer_speaks_the_languages_of_the_nodes(browser: Browser, server: ComfyServer) -> None:
    server.post("/settings", {"Comfy.Locale": "ja", "Comfy.TutorialCompleted": True})
    try:
        with open_page(browser, server) as page:
            page.evaluate("() => { app.graph.clear(); app.graph.add(LiteGraph.createNode('WRBPreviewPanorama')) }")
            expect(page.get_by_text("グラフを実行すると、パノラマがここに表示されます。")).to_be_visible()
            texts = dict(page.evaluate(NAMES_OF_TEXTS, f"/extensions/{PACK}/viewer_texts.js"))
    finally:
        server.post("/settings", {"Comfy.Locale": "en"})
    assert set(texts) == {path.name for path in (ROOT / "locales").iterdir()}
    assert all(names == texts["en"] for names in texts.values())


def test_blueprint_joins_what_is_connected_to_it(page: Page) -> None:
    blueprint = json.loads((ROOT / "subgraphs" / "Two Photos to Panorama.json").read_text())
    page.evaluate("blueprint => app.loadGraphData(blueprint)", blueprint)
    page.wait_for_function("() => app.graph.nodes.length === 1")
    assert_no_toast_came(page)
    page.evaluate(CONNECT_BLUEPRINT)
    run_and_wait_for_pictures(page)
    assert page.evaluate(SAVED_SIZE) == [1080 + 200 + 1280, 720]


def test_every_workflow_has_a_thumbnail(page: Page, take_screenshot: TakeScreenshot) -> None:
    page.get_by_role("button", name="Templates").click()
    page.get_by_text(PACK, exact=True).click()
    for path in (ROOT / "workflows").glob("*.json"):
        image = page.get_by_test_id(f"template-workflow-{path.stem}").locator("img").first
        expect(image).to_have_js_property("complete", True)
        with Image.open(path.with_suffix(".jpg")) as thumbnail:  # the page has a picture of its own where there is none
            width, height = thumbnail.size
        expect(image).to_have_js_property("naturalWidth", width)
        expect(image).to_have_js_property("naturalHeight", height)
    take_screenshot(page, "templates")


def test_help_page_opens_from_the_selected_node(page: Page, take_screenshot: TakeScreenshot) -> None:
    open_template(page, "blend_two_photos")
    page.evaluate("() => app.canvas.selectNode(app.graph.nodes.find(node => node.type === 'WRBBlend'))")
    page.get_by_test_id("info-button").click()
    expect(page.get_by_text("RGBA is composited over black")).to_be_visible()
    take_screenshot(page, "help")


def test_bad_value_is_shown_to_the_user(page: Page, take_screenshot: TakeScreenshot) -> None:
    open_template(page, "blend_two_photos")
    page.evaluate(
        """() => {
            const blend = app.graph.nodes.find(node => node.type === 'WRBBlend')
            blend.widgets.find(widget => widget.name === 'gap_width').value = 100
        }"""
    )
    page.get_by_test_id("queue-button").click()
    told, details = page.get_by_text("the gap is 100 px wide"), page.get_by_role("button", name="View details")
    expect(told.or_(details).first).to_be_visible(timeout=RUN_TIMEOUT * MILLISECONDS)
    if details.is_visible():  # behind it newer pages keep the text
        details.click()
    expect(told.first).to_be_visible()
    take_screenshot(page, "bad value")
