"""The viewer of Preview Panorama in ComfyUI's page, in both node designs."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, ConsoleMessage, Error, Page

from tests.comfyui.conftest import open_page
from tests.comfyui.server import ComfyServer
from tests.comfyui.viewer.driver import (
    TWO_FRAMES,
    Viewer,
    draw_picture,
    draw_wide_picture,
    load_on,
)

PAGE_ITSELF = ("api.comfy.org", "huggingface.co", "jobs", "404 (Not Found)")
"""In errors of the page that are not of the viewer: it asks the registry about nodes that are not its own, and others
about models of its own first graph, which the tests' network does not let through; a newer page asks the core for jobs,
which this core does not know."""


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


@pytest.fixture(scope="module", params=["classic", pytest.param("new", marks=pytest.mark.newest_page)])
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
        if message.type == "error" and not any(text in message.text for text in PAGE_ITSELF):
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
