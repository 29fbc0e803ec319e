"""The report in a real headless Chromium: what mouse and keyboard do, and that nothing leaves the file."""

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.chromium import chromium, watched_pages

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

playwright = pytest.importorskip(
    "playwright.sync_api", reason="no playwright here: pip install playwright, and a Chromium"
)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report_url(whole_run: Path, tmp_path_factory: pytest.TempPathFactory, report_of: Callable[..., Any]) -> str:
    root = tmp_path_factory.mktemp("browser") / "run"
    shutil.copytree(whole_run, root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        report_of(root)
    return (root / "out" / "report.html").as_uri()


@pytest.fixture
def open_page(browser: "Browser", report_url: str) -> "Iterator[Callable[..., Page]]":
    with watched_pages(browser, report_url) as open_it:
        yield open_it


def test_slider_moves_the_numbers_and_the_completions_through_training(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    slider, at = page.locator("#evolution-step"), page.locator("#evolution-at")
    assert at.inner_text() == "60 of 60"
    accuracy = page.locator("#evolution-tiles .tile p").first
    last = accuracy.inner_text()
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] - 8, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] / 3, middle, steps=5)
    page.mouse.up()
    dragged = int(at.inner_text().split()[0])
    assert 10 < dragged < 30
    assert accuracy.inner_text() != last
    # made-up groups: logged in steps 1, 11, 21, ..., problem 0 in every second one, the others beside it
    assert f"Sampled in step {(dragged - 1) // 10 * 10 + 1}" in page.locator("#evolution-texts").inner_text()
    slider.press("Home")
    assert at.inner_text() == "1 of 60"
    slider.press("ArrowRight")
    assert at.inner_text() == "2 of 60"


def test_same_problem_stands_beside_where_it_was_logged_twice(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    page.locator("#evolution-step").fill("21")
    # countdown-0 was logged in steps 1, 21 and 41 of each of the three runs
    titles = page.locator("#evolution-beside option").all_inner_texts()
    assert titles[:2] == ["the same problem: R1-Zero, step 1", "the same problem: R1-Zero, step 41"]
    heads = page.locator("#evolution-texts h3").all_inner_texts()
    assert heads == ["The same problem: R1-Zero, step 1", "Sampled in step 21"]


def test_bar_opens_its_completion_by_click_enter_and_arrow(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    bars, detail = page.locator("#groups-bars button"), page.locator("#groups-detail")
    assert bars.count() == 4
    bars.nth(2).click()
    assert detail.locator("h3").inner_text().startswith("Completion 3 of 4")
    assert "advantage −0.90" in detail.inner_text()
    assert detail.locator("mark.tags").all_inner_texts() == ["<think>", "</think>", "<answer>", "</answer>"]
    # 检查 is a phrase of self-checking
    assert detail.locator("mark.word").count() == page.evaluate("report.phrases.includes('检查')")
    bars.nth(0).focus()
    page.keyboard.press("Enter")
    assert detail.locator("h3").inner_text().startswith("Completion 1 of 4")
    assert detail.locator("mark.word").all_inner_texts() == ["wait"]
    page.keyboard.press("ArrowRight")
    assert detail.locator("h3").inner_text().startswith("Completion 2 of 4")
    assert page.evaluate("document.activeElement.ariaLabel").startswith(
        "Completion 2: advantage +0.90, reward 1.00, right"
    )
    # the completion that closes a script is text like any other
    assert "</script><script>" in detail.inner_text()
    assert page.title() == "R1 pipeline: what was measured"


def test_filters_keep_right_wrong_or_truncated_completions(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    bars = page.locator("#groups-bars button")
    for word, places in (("right", [1, 2]), ("wrong", [3, 4]), ("truncated", [4]), ("all", [1, 2, 3, 4])):
        page.get_by_label(word, exact=True).check()
        names = [bars.nth(place).get_attribute("aria-label") or "" for place in range(bars.count())]
        assert [int(re.findall(r"\d+", name)[0]) for name in names] == places
    before = page.locator("#groups-group").input_value()
    page.get_by_role("button", name="next group").click()
    assert page.locator("#groups-group").input_value() == str(int(before) + 1)
    page.get_by_role("button", name="previous group").click()
    assert page.get_by_role("button", name="previous group").is_disabled()


def test_search_and_filters_narrow_the_samples(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    count, search = page.locator("#samples-count"), page.get_by_label("Search in prompts, references and completions")
    # 4 sources of 30 problems
    assert count.inner_text() == "1 to 8 of 120 rows"
    search.fill("ALERT('7')")
    playwright.expect(count).to_have_text("1 to 1 of 1 rows")
    assert page.locator("#samples-list mark.found").count() >= 1
    assert page.locator("#samples-list h3").inner_text().startswith("countdown-7")
    search.fill("")
    playwright.expect(count).to_have_text("1 to 8 of 120 rows")
    page.get_by_label("Source", exact=True).select_option("countdown")
    page.get_by_label("Verdict", exact=True).select_option("differ")
    # base solves the first 6 of 30, R1-Zero 24, R1 26 (rank < 0.85): at 20 problems they differ
    assert count.inner_text() == "1 to 8 of 20 rows"
    page.locator(".picks summary").click()
    for label in ("R1-Zero", "R1"):
        page.locator("#samples-checkpoints").get_by_label(label, exact=True).uncheck()
    assert count.inner_text() == "Nothing fits these filters."


def test_switch_turns_light_to_dark_and_the_system_s_choice_is_taken(open_page: "Callable[..., Page]") -> None:
    def paper(page: "Page") -> str:
        return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))

    light, dark = open_page(scheme="light"), open_page(scheme="dark")
    assert (paper(light), paper(dark)) == ("rgb(255, 255, 255)", "rgb(20, 22, 26)")
    for page in (light, dark):
        before = paper(page)
        page.get_by_role("button", name="Switch between light and dark").click()
        assert paper(page) != before


def test_phone_needs_no_sideways_scrolling(open_page: "Callable[..., Page]") -> None:
    page = open_page(width=390)
    page.evaluate("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    page.evaluate("document.querySelectorAll('.plot').forEach(draw)")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_every_control_has_a_name(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    nameless = page.evaluate(
        """[...document.querySelectorAll("button, input, select")].filter((one) =>
          !(one.getAttribute("aria-label") || one.textContent.trim() || (one.labels && one.labels.length))).length"""
    )
    assert nameless == 0


def test_every_figure_that_is_reached_is_drawn(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    figures = page.locator("#training details[open] .plot")
    assert figures.count() > 5
    for figure in figures.all():
        figure.scroll_into_view_if_needed()
        playwright.expect(figure.locator("svg.main-svg").first).to_be_visible()


def test_link_to_an_artifact_unfolds_what_is_known_of_it(open_page: "Callable[..., Page]") -> None:
    page = open_page()
    page.locator("table.route").first.get_by_role("link", name="R1-Zero", exact=True).first.click()
    details = page.locator("#made-artifacts-stage0_r1_zero")
    playwright.expect(details.get_by_text("grpo.learning_rate")).to_be_visible()
