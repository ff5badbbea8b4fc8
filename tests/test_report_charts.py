"""The report's charts in a headless Chromium: what they show under the pointer, zoomed and with a line switched off."""

import pytest

from experiments.report import __main__ as report
from tests.docs import chromium
from tests.test_report import make_run

SCRIPT = """
  const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));
  const places = [...document.querySelectorAll(".plot")];
  const lines = (place) => place.querySelectorAll(".mark-line path").length;
  const draw = async (place) => {
    place.scrollIntoView({block: "center"});
    for (let i = 0; !(place.view && lines(place)) && i < 600; i++) await wait(50);
    return place;
  };
  const place = await draw(document.querySelector(`[aria-label^="${given}"]`)), {view} = place;
  const settle = async () => { await wait(100); await view.runAsync(); };
  // Where the point lies that is at these shares of the width and of the height.
  const at = (x, y) => {
    const [left, top] = view.origin(), box = place.querySelector("svg").getBoundingClientRect();
    const clientX = box.x + left + x * view.width(), clientY = box.y + top + y * view.height();
    return {clientX, clientY, bubbles: true, cancelable: true};
  };
  const send = (kind, name, event) =>
    document.elementFromPoint(event.clientX, event.clientY).dispatchEvent(new kind(name, event));
"""
"""Opens every test's script: `place` is the chart whose title is given."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    if chromium.find() is None:
        pytest.skip("no Chromium")
    folder = tmp_path_factory.mktemp("report")
    for name, scale in (("maxrl", 1.0), ("grpo", 10.0)):
        for seed in (0, 1):
            make_run(folder / f"{name}{seed}", seed=seed, scale=scale, rl={"advantage": {"name": name}})
    out = folder / "page.html"
    assert report.main([str(folder), f"--out={out}"]) == 0
    with chromium.start(folder / "profile") as browser:
        browser.page = out.as_uri()
        yield browser


@pytest.mark.parametrize("width", [400, 1300])
def test_all_charts_are_drawn_on_sight_and_the_page_is_no_wider_than_the_screen(browser, width):
    browser.open(browser.page, width=width)
    script = (
        SCRIPT
        + """
      const before = places.filter(lines).length;
      for (const place of places) await draw(place);
      return [before, places.filter(lines).length, places.length, document.documentElement.scrollWidth];
    """
    )
    before, drawn, places, wide = browser.run(script, "eval/pass@1")
    assert before < drawn == places > 6 and wide <= width


def test_the_pointer_shows_every_lines_mean_and_error(browser):
    browser.open(browser.page)
    script = (
        SCRIPT
        + """
      send(PointerEvent, "pointermove", at(0.74, 0.5));
      await settle();
      return [...document.getElementById("tip").children].map((line) => line.textContent);
    """
    )
    # The fourth of five steps: of MaxRL 3 and 4, of GRPO 30 and 40.
    assert browser.run(script, "train/loss") == ["step 3", "MaxRL  3.5 ± 0.5", "GRPO  35 ± 5"]


def test_a_line_is_switched_off_in_every_chart_and_on_again(browser):
    browser.open(browser.page)
    script = (
        SCRIPT
        + """
      const button = document.querySelectorAll('.legend[data-of="shared"] button')[1];
      const found = [lines(place)];
      for (let i = 0; i < 2; i++) {
        button.click();
        await settle();
        found.push(lines(place), button.getAttribute("aria-pressed"));
      }
      return found;
    """
    )
    assert browser.run(script, "eval/pass@1") == [2, 1, "false", 2, "true"]


def test_ctrl_and_wheel_zoom_and_the_wheel_alone_does_not(browser):
    browser.open(browser.page)
    script = (
        SCRIPT
        + """
      const extent = () => { const [low, high] = view.scale("x").domain(); return high - low; };
      const found = [extent()];
      for (const ctrlKey of [false, true]) {
        send(WheelEvent, "wheel", {...at(0.5, 0.5), deltaY: -200, ctrlKey});
        await settle();
        found.push(extent());
      }
      return found;
    """
    )
    before, without, after = browser.run(script, "train/loss")
    assert before == without and after < 0.9 * before
