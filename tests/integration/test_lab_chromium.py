"""The lab's browser: what tests of pages may rely on."""

from pathlib import Path
from urllib.parse import quote

import pytest

from tests.lab import ChromiumServer, LabError
from tests.lab.browser import Browser

pytestmark = pytest.mark.browser
_PNG = b"\x89PNG\r\n\x1a\n"


def _page(body: str) -> str:
    return f"data:text/html,{quote(f'<!doctype html><title>t</title>{body}')}"


def test_click_reaches_the_element_and_the_wait_sees_its_effect(browser: Browser) -> None:
    browser.open(
        _page(
            "<p>off</p><button onclick=\"document.querySelector('p').innerText='on'\">go</button>"
        )
    )

    browser.click("button")

    browser.wait_for("document.querySelector('p').innerText === 'on'")
    assert browser.text("p") == "on"


def test_typed_text_arrives_and_enter_submits(browser: Browser) -> None:
    browser.open(
        _page('<form onsubmit="document.title=this.q.value;return false"><input name=q></form>')
    )

    browser.type_text("input", "bicycle")
    browser.press_enter()

    browser.wait_for("document.title === 'bicycle'")


def test_covered_button_cannot_be_clicked(browser: Browser) -> None:
    browser.open(
        _page("<button>go</button><div style='position:fixed;inset:0;background:red'></div>")
    )

    with pytest.raises(LabError, match="cannot click button: it is covered by <div"):
        browser.click("button")


def test_wait_in_vain_says_what_the_page_shows(browser: Browser) -> None:
    browser.open(_page("<p>waiting</p>"))

    with pytest.raises(LabError, match=r"not true after .*the page says: waiting"):
        browser.wait_for("document.title === 'never'", timeout_s=0.2)


def test_errors_of_the_page_are_collected(browser: Browser) -> None:
    browser.open(
        _page(
            "<script>console.log('fine');console.error('bad', 1);throw new Error('worse')</script>"
        )
    )

    errors = browser.console_errors

    assert errors[0] == "bad 1"
    assert errors[1].startswith("Error: worse")
    assert len(errors) == 2


def test_page_that_cannot_be_reached_is_an_error(browser: Browser) -> None:
    with pytest.raises(LabError, match=r"cannot open http://nowhere\.invalid/"):
        browser.open("http://nowhere.invalid/")


def test_color_scheme_and_size_are_those_asked_for(browser: Browser) -> None:
    browser.open(_page(""))

    browser.set_color_scheme("dark")
    browser.set_size(640, 480)

    assert browser.evaluate("matchMedia('(prefers-color-scheme: dark)').matches") is True
    assert browser.evaluate("[innerWidth, innerHeight]") == [640, 480]


def test_screenshot_is_a_picture_of_the_page(browser: Browser, tmp_path: Path) -> None:
    browser.set_size(320, 200)
    browser.open(_page("<body style='background:teal;height:2000px'>"))

    seen = browser.screenshot(tmp_path / "seen.png").read_bytes()
    whole = browser.screenshot(tmp_path / "whole.png", full_page=True).read_bytes()

    # Source: PNG specification, IHDR: width and height are the first two words of the first chunk.
    assert seen.startswith(_PNG)
    assert (int.from_bytes(seen[16:20]), int.from_bytes(seen[20:24])) == (320, 200)
    assert int.from_bytes(whole[20:24]) >= 2000


def test_tabs_share_no_storage(chromium: ChromiumServer, browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    page.write_text("<!doctype html><p>page</p>")
    browser.open(page.as_uri())
    browser.evaluate("localStorage.setItem('key', 'value')")

    with Browser(chromium) as other:
        other.open(page.as_uri())

        assert other.evaluate("localStorage.getItem('key')") is None
    assert browser.evaluate("localStorage.getItem('key')") == "value"
