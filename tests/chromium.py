"""A real headless Chromium for tests of the report, and a watch over what a page asks for and complains about.

Needs `pip install playwright` and a Chromium: the system's (`apt install chromium`), the one named by
R1_CHROMIUM, or Playwright's own (`playwright install chromium`).
"""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@contextmanager
def chromium() -> "Iterator[Browser]":
    """The browser; a test that asks for it where there is none is skipped, and says what to install."""
    reason = "no playwright here: pip install playwright, and a Chromium"
    playwright = pytest.importorskip("playwright.sync_api", reason=reason)
    system = os.environ.get("R1_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    with playwright.sync_playwright() as started:
        try:
            found = started.chromium.launch(executable_path=system, args=["--no-sandbox", "--disable-gpu"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium starts here (apt install chromium, or R1_CHROMIUM): {str(error).splitlines()[0]}")
        yield found
        found.close()


@contextmanager
def watched_pages(browser: "Browser", url: str) -> "Iterator[Callable[..., Page]]":
    """Opens ``url``; at the end there was no error in the console and no request but the file itself."""
    said: list[str] = []
    asked: list[str] = []
    contexts = []

    def open_it(width: int = 1200, scheme: Any = "light") -> "Page":
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        return page

    yield open_it
    for context in contexts:
        context.close()
    assert said == []
    assert {one.split("#")[0] for one in asked} == {url}
