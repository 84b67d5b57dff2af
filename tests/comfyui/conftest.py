"""A real ComfyUI and its real page, started once for all tests that ask for them."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.comfyui.example_graphs import CHECKPOINT, PHOTO_SIZE
from tests.comfyui.server import COMFYUI, ROOT, UPSCALE_MODEL, ComfyServer
from tests.comfyui.waiting import ANSWER_TIMEOUT, MILLISECONDS
from wrb.network.generator import Generator
from wrb.network.weights import save_generator

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

PAGE_IS_READY = """() =>
    window.app?.graph && app.extensionManager && document.querySelector('[data-testid=queue-button]')"""

KEEP_TOASTS = """
    window.toasts = new Set()
    new MutationObserver(() => {
        for (const toast of document.querySelectorAll('.p-toast-message')) toasts.add(toast.textContent)
    }).observe(document, {childList: true, subtree: true})
"""


def assert_is_generated(gap: np.ndarray) -> None:
    """It is no flat colour, nor rows or columns of one."""
    assert gap.std(axis=(0, 1)).min() > 4
    assert gap.std(axis=0).mean() > 2
    assert gap.std(axis=1).mean() > 2


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, make_generator: Callable[..., Generator]) -> Iterator[ComfyServer]:
    """A running ComfyUI.

    Its models/wrb holds tiny.safetensors and broken.pth; a folder mapped to wrb holds Gen. Its input folder holds a
    file that is called like one of the sample photos, and shows the same, but is the user's own.
    """
    if not (COMFYUI / "main.py").exists():
        pytest.skip("no ComfyUI to test in: `make test` and `make comfyui` install one")
    base = tmp_path_factory.mktemp("comfyui")
    weights = base / "models" / "wrb"
    weights.mkdir(parents=True)
    generator = make_generator(width=2)
    save_generator(generator, weights / "tiny.safetensors")
    (weights / "broken.pth").write_bytes((weights / "tiny.safetensors").read_bytes()[:1000])
    (base / "input").mkdir()
    sample = "wrb_sample_tea_gardens.jpg"
    (base / "input" / sample).write_bytes((ROOT / "samples" / sample).read_bytes() + b"the user's own")
    mapped = base / "mapped"
    mapped.mkdir()
    torch.save(generator.state_dict(), mapped / "Gen")
    extra_model_paths = base / "extra_model_paths.yaml"
    extra_model_paths.write_text(f"tests:\n  wrb: {mapped}\n")
    nodes = sorted(Path(__file__).parent.glob("nodes_*.py"))
    with ComfyServer(base, custom_nodes=nodes, extra_model_paths=extra_model_paths) as running:
        yield running


@pytest.fixture(scope="session")
def example_files(server: ComfyServer) -> None:
    """What quick runs of the example graphs need: two small photos and a checkpoint."""
    folder = server.base / "input" / "small"
    folder.mkdir()
    for side, sample in (("left", "wrb_sample_desert.jpg"), ("right", "wrb_sample_lake.jpg")):
        Image.open(ROOT / "samples" / sample).resize(PHOTO_SIZE).save(folder / f"{side}.png")
    (server.base / "models" / "checkpoints").mkdir()
    made = server.run({"make": {"class_type": "TestTinyCheckpoint", "inputs": {"name": CHECKPOINT}}})
    assert made.error is None


@pytest.fixture(scope="session")
def upscale_model(server: ComfyServer) -> None:
    """A real one, where ComfyUI finds it."""
    if not UPSCALE_MODEL.exists():
        pytest.skip("no upscale model: `make test` fetches one")
    folder = server.base / "models" / "upscale_models"
    folder.mkdir()
    (folder / UPSCALE_MODEL.name).symlink_to(UPSCALE_MODEL)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, as the system has it."""
    if not (chromium := shutil.which("chromium")):
        pytest.skip("no Chromium to test the page in: `make chromium` installs one where root and apt are there")
    expect.set_options(timeout=ANSWER_TIMEOUT * MILLISECONDS)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser, server: ComfyServer) -> Iterator[Page]:
    """ComfyUI's page, loaded, with nothing in the way."""
    server.post("/settings", {"Comfy.TutorialCompleted": True, "Comfy.OnboardingCoachmarks.Seen": ["appMode"]})
    with open_page(browser, server) as page:
        yield page


@contextmanager
def open_page(browser: Browser, server: ComfyServer, **options: Any) -> Iterator[Page]:
    """ComfyUI's page, loaded. `options` are those of a page of Playwright's."""
    page = new_page(browser, viewport={"width": 1600, "height": 900}, **options)
    page.add_init_script("localStorage.setItem('vueNodesBannerDismissed', 'true')")
    page.add_init_script(KEEP_TOASTS)
    page.goto(server.url, wait_until="domcontentloaded")
    page.wait_for_function(PAGE_IS_READY)
    yield page
    page.close()


def new_page(browser: Browser, **options: Any) -> Page:
    """An empty one, on which nothing needs a timeout of its own."""
    page = browser.new_page(**options)
    page.set_default_timeout(ANSWER_TIMEOUT * MILLISECONDS)
    return page


def assert_no_toast_came(page: Page) -> None:
    """Since the page was loaded: those that have gone again count as well."""
    assert page.evaluate("() => [...toasts]") == []


@pytest.fixture(scope="session")
def take_screenshot() -> Callable[[Page, str], None]:
    """Keeps what a page shows in .cache/screenshots, for a person to look at."""
    folder = COMFYUI.parent / "screenshots"
    folder.mkdir(exist_ok=True)

    def take(page: Page, name: str) -> None:
        page.screenshot(path=folder / f"{name}.png")

    return take
