"""The page in a real browser: clicked through, with the keyboard, in light and dark, wide and narrow.

Needs Chromium, and playwright to steer it: pip install --group browser.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from graphlint.cli.clicked import app

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install --group browser")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium")

PROJECT = Path(__file__).parents[2]
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as steering:
        started = steering.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield started
        started.close()


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What ``check`` and ``--diff`` say of the artifacts."""
    folder = tmp_path_factory.mktemp("reports")
    before = Path.cwd()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(PROJECT)
        patch.delenv("GITHUB_ACTIONS", raising=False)
        for name in ("check", "--diff"):
            report = folder / f"{name.strip('-')}.html"
            arguments = [name, "--isolated", "-q", "--output-format", f"html={report}", "tests/artifacts/2.13.0"]
            assert CliRunner().invoke(app, arguments).exit_code == 1
    assert Path.cwd() == before
    return folder


@pytest.fixture
def opened(browser, reports):
    """Opens a report; whatever the browser complains of, and whatever it tries to load, fails the test."""
    contexts, complaints = [], []

    def opened(name="check", **options):
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("dialog", lambda dialog: (complaints.append(dialog.message), dialog.dismiss()))
        page.on(
            "request",
            lambda request: None if request.url.startswith(("file:", "data:")) else complaints.append(request.url),
        )
        page.goto((reports / f"{name}.html").absolute().as_uri())
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []


def visible(page):
    """Codes of the findings that are shown."""
    return page.locator(".finding:visible").evaluate_all("found => found.map(one => one.dataset.code)")


def shown(page):
    return page.locator("#shown").inner_text()


def test_filters(opened):
    page = opened()
    everything = visible(page)
    assert len(everything) > 30
    assert shown(page) == f"{len(everything)} findings"

    page.select_option("#rule", "GL103")
    assert set(visible(page)) == {"GL103"}
    page.select_option("#rule", "")

    page.select_option("#artifact", label="tests/artifacts/2.13.0/random.pt2")
    assert visible(page) == ["GL101", "GL302", "GL302", "GL302"]
    page.get_by_label("error", exact=True).uncheck()
    assert visible(page) == ["GL302"] * 3
    assert shown(page) == f"3 of {len(everything)} findings"
    page.fill("#text", "%RAND_like models.py")
    assert visible(page) == ["GL302"]
    page.fill("#text", "no such thing")
    assert visible(page) == []
    assert page.locator("#nothing").is_visible()

    page.get_by_role("button", name="Reset").click()
    page.wait_for_function(
        "count => document.querySelectorAll('.finding:not([hidden])').length === count", arg=len(everything)
    )
    assert visible(page) == everything
    assert not page.locator("#nothing").is_visible()


def test_by_rule(opened):
    page = opened()
    page.get_by_text("By rule").click()
    row = page.locator(".rules tr", has_text="GL201")
    row.get_by_role("button", name="only this").click()
    assert set(visible(page)) == {"GL201"}
    assert len(visible(page)) == int(row.locator(".amount").inner_text())


def test_a_finding_opens_and_shows_line_and_picture(opened):
    page = opened()
    finding = page.locator(".finding[data-code=GL103]", has_text="buffer 'cache'")
    assert not finding.locator(".body").is_visible()
    finding.locator("> summary").click()
    assert finding.locator("mark").inner_text() == "self.cache[:, position]"
    box = finding.locator("svg").bounding_box()
    assert box["width"] > 200
    assert box["height"] > 200
    assert finding.locator("svg").get_by_text("writes buffer 'cache'", exact=True).is_visible()
    assert (
        finding.get_by_role("link", name="GL103 buffer-mutation")
        .get_attribute("href")
        .endswith("#gl103-buffer-mutation")
    )
    page.get_by_role("button", name="Open all").click()
    assert page.locator(".finding:not([open])").count() == 0
    page.get_by_role("button", name="Close all").click()
    assert page.locator(".finding[open]").count() == 0


def test_before_and_after_a_fix(opened):
    page = opened("diff")
    finding = page.locator(".finding[data-status=fixed]", has_text="buffer 'cache'")
    finding.locator("> summary").click()
    before, after = finding.locator("figure.graph, figure.after").all()
    assert before.locator("svg").get_by_text("aten.index_put_.default", exact=True).is_visible()
    assert after.locator("svg").get_by_text("aten.index_put.default", exact=True).is_visible()
    assert abs(before.bounding_box()["y"] - after.bounding_box()["y"]) < 1, "side by side"
    changed = page.locator(".artifact", has_text="key_value_cache.pt2").locator(".diff")
    changed.locator("> summary").click()
    assert '+  return buffer "cache" <- %index_put_' in changed.locator(".added").all_inner_texts()[-1]


def test_everything_works_from_the_keyboard(opened):
    page = opened()
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("buffer 'cache'")
    assert visible(page) == ["GL103"]
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.finding > summary')"):
            break
    page.keyboard.press("Enter")
    assert page.locator(".finding[open]").count() == 1
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.closest('.finding') !== null"), "what scrolls can be reached"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 1280])
def test_it_can_be_read_in_light_and_dark_wide_and_narrow(opened, scheme, width):
    page = opened("diff", color_scheme=scheme, viewport={"width": width, "height": 800})
    page.get_by_role("button", name="Open all").click()
    assert page.evaluate("document.documentElement.scrollWidth") == width, "only pictures and code scroll sideways"
    assert page.evaluate(CONTRASTS) == []


def test_a_picture_wider_than_the_page_shows_its_node(opened):
    page = opened(viewport={"width": 400, "height": 800})
    page.fill("#text", "aten.clamp_.default")
    finding = page.locator(".finding:visible")
    finding.locator("> summary").click()
    canvas = finding.locator(".canvas")
    page.wait_for_function("one => one.scrollLeft > 0", arg=canvas.element_handle())
    node, around = finding.locator(".glp-focus").first.bounding_box(), canvas.bounding_box()
    assert around["x"] <= node["x"]
    assert node["x"] + node["width"] <= around["x"] + around["width"]


@pytest.mark.parametrize("action", ["check", "--diff"])
def test_names_from_a_hostile_artifact_do_nothing(opened, hostile, action, monkeypatch):
    monkeypatch.chdir(hostile.parent)
    assert CliRunner().invoke(app, [action, "--isolated", "--output-format", "html=out.html", hostile.name]).exit_code
    page = opened(hostile.parent / "out")
    page.get_by_role("button", name="Open all").click()
    assert page.locator("h2").inner_text().startswith("<img src=x onerror=alert(0)>.pt2")
    assert page.locator("img, main script").count() == 0


def test_it_can_be_read_without_scripts(opened):
    page = opened(java_script_enabled=False)
    assert page.locator(".finding").count() > 30
    assert page.locator(".finding").first.is_visible()
    assert not page.locator("#filters").is_visible()


CONTRASTS = """() => {
  const parse = (color) => color.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const [x, y, z] = [r, g, b].map((c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4));
    return 0.2126 * x + 0.7152 * y + 0.0722 * z;
  };
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length < 4 || color[3] === 1) return color;
    }
    return [255, 255, 255];
  };
  const poor = [];
  for (const element of document.querySelectorAll("body *:not(svg *):not(option)")) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !element.checkVisibility()) continue;
    const pair = [light(parse(getComputedStyle(element).color)), light(behind(element))].sort((a, b) => b - a);
    const contrast = (pair[0] + 0.05) / (pair[1] + 0.05);
    if (contrast < 4.5) poor.push(`${element.tagName}.${element.className}: ${contrast.toFixed(1)}`);
  }
  return [...new Set(poor)];
}"""
"""Text whose contrast with what is behind it is below 4.5 (WCAG AA)."""
