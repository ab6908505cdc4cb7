"""The page in headless Chromium: by keyboard, in light and dark, without anything from elsewhere.

Needs Debian's packages chromium and chromium-driver. Without them these tests are skipped;
``KAFKAROUTE_REQUIRE_BROWSER=1`` makes that a failure.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests
from selenium import webdriver
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

REQUIRE_BROWSER = "KAFKAROUTE_REQUIRE_BROWSER"
RULES = (Path(__file__).parents[1] / "unit" / "data" / "contract-rules.yaml").read_text()
BAR = "kafka://example.com/bar"
ASK = f"config_profile=durableWrite&kafka.env=prod&intent=produce&channel={BAR}"


@pytest.fixture(scope="module")
def driver(tmp_path_factory):
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    controller = shutil.which("chromedriver")
    if browser is None or controller is None:
        missing = "chromium and chromedriver (Debian: chromium, chromium-driver) are not on PATH"
        if os.environ.get(REQUIRE_BROWSER) == "1":
            pytest.fail(f"{REQUIRE_BROWSER}=1, but {missing}")
        pytest.skip(missing)
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    profile = tmp_path_factory.mktemp("chromium")
    for argument in (
        "--headless=new",
        "--no-sandbox",  # CI runs as root
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--window-size=1100,900",
        f"--user-data-dir={profile}",
    ):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(controller))
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """Where the service answers; one client followed the move of BAR, the other did not yet."""
    rules = tmp_path_factory.mktemp("page") / "rules.yaml"
    rules.write_text(RULES.replace("password: pass1}", "password: pass1, admin: true}"))
    command = [sys.executable, "-m", "kafkaroute.cli", "serve", str(rules), "--port", "0"]
    env = os.environ | {"CC_USER1": "the-kafka-user", "CC_PASS1": "the-kafka-pass"}
    with (
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
        ) as process,
        requests.Session() as session,
    ):
        try:
            url = process.stdout.readline().split()[-1]
            session.auth = ("user1", "pass1")
            for client in ("late", "quick", "<script>document.title='run'</script>"):
                asked = session.get(f"{url}/?{ASK}", params={"client_id": client}, timeout=10)
                assert asked.status_code == 200
            move = {"channel": BAR, "topic": "bar-v2"}
            assert session.post(f"{url}/v1/moves", json=move, timeout=10).status_code == 200
            session.get(f"{url}/?{ASK}", params={"client_id": "quick"}, timeout=10)
            yield url
        finally:
            process.terminate()
            process.wait(10)


@pytest.fixture
def page(driver, url):
    """The page, opened by an admin."""
    driver.get(url.replace("http://", "http://user1:pass1@") + "/")
    driver.get_log("browser")
    return driver


def keys(page, *sent):
    page.switch_to.active_element.send_keys(*sent)


def focused(page):
    return page.switch_to.active_element


def tab_to(page, identifier):
    """Press Tab until the element has the focus, as somebody without a mouse does."""
    for _ in range(40):
        if focused(page).get_attribute("id") == identifier:
            return
        keys(page, Keys.TAB)
    pytest.fail(f"Tab does not lead to {identifier}")


def test_who_followed_the_move_is_seen(page):
    card = page.find_element(By.ID, "c1").find_element(By.XPATH, "..")
    assert card.find_element(By.TAG_NAME, "h3").text == BAR
    assert "Topic bar-v2 on c0, generation 2" in card.text
    assert "3 clients lately: 2 not yet on this generation" in card.text
    rows = [row.text for row in card.find_elements(By.CSS_SELECTOR, "tbody tr")]
    assert any(re.match(r"user1 late produce 1 .*not yet", row) for row in rows)
    assert any(re.match(r"user1 quick produce 2 .*follows", row) for row in rows)
    assert page.title == "kafkaroute catalog"


def test_it_works_with_a_keyboard(page):
    keys(page, Keys.TAB)
    skip = focused(page)
    assert skip.text == "Skip to the content"
    assert skip.rect["y"] >= 0, "the skip link shows itself when it has the focus"
    keys(page, Keys.ENTER)
    assert focused(page).get_attribute("id") == "main"

    tab_to(page, "f-resolve")
    outline = focused(page).value_of_css_property("outline-style")
    assert outline == "solid", "the focus is seen"
    keys(page, BAR)
    tab_to(page, "f-for")
    keys(page, "produce")
    tab_to(page, "f-more")
    keys(page, "kafka.env=prod", Keys.ENTER)
    WebDriverWait(page, 10).until(lambda page: page.find_elements(By.ID, "result"))
    result = page.find_element(By.ID, "result").text
    assert "bar-v2" in result
    assert "sasl.password\n(hidden)" in result
    assert page.title.startswith(BAR)
    assert page.find_element(By.ID, "f-for").get_attribute("value") == "produce"

    # Details open and close by keyboard, too.
    summary = page.find_element(By.CSS_SELECTOR, "#clusters ~ article summary")
    page.execute_script("arguments[0].focus()", summary)
    keys(page, Keys.ENTER)
    assert summary.find_element(By.XPATH, "..").get_attribute("open") is not None


def test_every_field_has_a_label_and_every_heading_its_place(page):
    problems = page.execute_script(
        """
        const found = [];
        for (const field of document.querySelectorAll('input, select'))
          if (!field.labels || field.labels.length !== 1) found.push('no label: ' + field.id);
        for (const one of document.querySelectorAll('[aria-labelledby]'))
          if (!document.getElementById(one.getAttribute('aria-labelledby')))
            found.push('labelled by nothing: ' + one.outerHTML.slice(0, 80));
        const ids = [...document.querySelectorAll('[id]')].map(e => e.id);
        if (new Set(ids).size !== ids.length) found.push('an id stands twice');
        let before = 0;
        for (const heading of document.querySelectorAll('h1, h2, h3, h4')) {
          const level = Number(heading.tagName[1]);
          if (level > before + 1) found.push('a level is left out: ' + heading.textContent);
          before = level;
        }
        if (document.querySelectorAll('h1').length !== 1) found.push('not one h1');
        if (!document.documentElement.lang) found.push('no language');
        for (const link of document.querySelectorAll('a[href^="#"]'))
          if (!document.querySelector(link.getAttribute('href'))) found.push('leads nowhere: ' + link.href);
        return found;
        """
    )
    assert problems == []


def media(page, **features):
    emulated = [{"name": k.replace("_", "-"), "value": v} for k, v in features.items()]
    page.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": emulated})


#: Every text against what is behind it (WCAG 2, 1.4.3).
CONTRAST = """
const parse = text => text.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => [r, g, b].map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = element => {
  for (let e = element; e; e = e.parentElement) {
    const colour = parse(getComputedStyle(e).backgroundColor);
    if (colour.length === 3 || colour[3] === 1) return colour;
  }
  return [255, 255, 255];
};
const low = [];
for (const element of document.querySelectorAll('body *')) {
  const own = [...element.childNodes].some(n => n.nodeType === 3 && n.textContent.trim());
  if (!own && !['INPUT', 'SELECT'].includes(element.tagName)) continue;
  const pair = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
  const ratio = (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  if (ratio < 4.5) low.push(element.tagName + '.' + element.className + ' ' + ratio.toFixed(2));
}
return [low, getComputedStyle(document.body).backgroundColor];
"""


def test_light_and_dark_are_both_readable(page):
    grounds = set()
    for scheme in ("light", "dark"):
        media(page, prefers_color_scheme=scheme)
        low, ground = page.execute_script(CONTRAST)
        assert low == [], scheme
        grounds.add(ground)
    assert len(grounds) == 2


@pytest.mark.parametrize("width", [320, 1100])
def test_nothing_is_wider_than_the_window(page, width):
    page.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False},
    )
    try:
        wide = page.execute_script("return document.documentElement.scrollWidth")
        assert wide <= width
        # Words stay whole: what is too wide for a table is scrolled to.
        lines = page.execute_script(
            """
            const word = document.createRange();
            word.selectNodeContents([...document.querySelectorAll('td')]
              .find(one => one.textContent === 'produce'));
            return word.getClientRects().length;
            """
        )
        assert lines == 1
    finally:
        page.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


def test_no_script_runs_and_nothing_comes_from_elsewhere(page, url):
    import json

    page.get_log("performance")
    page.get(f"{url}/?find=bar")
    assert page.title == "kafkaroute catalog"
    assert "<script>" in page.find_element(By.TAG_NAME, "body").text
    asked = [
        message["params"]["request"]["url"]
        for entry in page.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert asked
    # A browser asks for an icon by itself; what it is answered is no page.
    assert {one.partition("?")[0] for one in asked} <= {f"{url}/", f"{url}/favicon.ico"}
    complaints = [
        entry["message"] for entry in page.get_log("browser") if "favicon" not in entry["message"]
    ]
    assert complaints == []


def test_no_secret_is_in_the_document(page, url):
    page.get(f"{url}/?resolve={BAR}&with=durableWrite&as=user1&more=kafka.env%3Dprod")
    source = page.page_source
    assert "(hidden)" in source
    for secret in ("the-kafka-user", "the-kafka-pass", "pass1"):
        assert secret not in source
