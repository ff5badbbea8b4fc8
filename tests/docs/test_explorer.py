"""The explorer's page in a headless Chromium: every number on it agrees with the core."""

import itertools
import re

import jax.numpy as jnp
import numpy as np
import pytest

pytest.importorskip("jinja2")

from docs.explorer import build, tables
from maxrl_jax import advantages, binomial, objectives
from maxrl_jax.practice import Rule, between, mixed, practice, solved_once
from tests.docs import chromium

RATES = (1e-4, 0.03, 0.5, 0.97, 1.0)
NOISE = 3.0
GROUPS = {
    4: [(0.0, 1.0, 0.25, 0.6), (0.5, 0.5, 0.5, 0.5)],
    8: [(0.1, 0.9, 0.4, 0.4, 0.0, 1.0, 0.73, 0.4), (0.2, 0.2, 0.2, 0.8, 0.2, 0.8, 0.2, 0.2)],
}


@pytest.fixture(scope="module")
def page():
    return build.render()


@pytest.fixture(scope="module")
def browser(page, tmp_path_factory):
    if chromium.find() is None:
        pytest.skip("no Chromium")
    folder = tmp_path_factory.mktemp("explorer")
    (folder / "page.html").write_text(page, encoding="utf-8")
    with chromium.start(folder / "profile") as browser:
        browser.page = (folder / "page.html").as_uri()
        yield browser


def close(got, wanted, scale=1e-10):
    """Equal to `scale` of the largest number wanted."""
    got = np.array([np.nan if x is None else x for x in np.ravel(np.asarray(got, object))], float)
    wanted = np.ravel(np.asarray(wanted, float))
    np.testing.assert_allclose(got, wanted, rtol=1e-9, atol=scale * max(1, np.max(np.abs(wanted), initial=0)))


def cases(sizes):
    """(N, name, hyper) of the smallest, a middle and the largest setting of every combination of choices."""
    for n, entry in itertools.product(sizes, advantages.TABLE.values()):
        if not entry.symmetric:
            continue
        if entry.name == "mixture":
            yield n, "mixture", {"coefficients": (0.5, 0.0, -2.0) if n > 3 else (1.5,)}
            continue
        found = {}
        for hyper in tables.settings(entry, n):
            kind = tuple((key, value) for key, value in hyper.items() if key not in tables.COUNTS)
            found.setdefault(kind, []).append(hyper)
        for of_kind in found.values():
            yield from ((n, entry.name, of_kind[i]) for i in sorted({0, len(of_kind) // 2, len(of_kind) - 1}))


def as_choice(name, hyper):
    """A setting as the page's controls hold it."""
    texts = {key: ", ".join(map(str, v)) if isinstance(v, tuple) else str(v) for key, v in hyper.items()}
    return {"name": name, "hyper": texts}


def policy(p):
    """The page's policy: e1, e0 and |grad p|^2."""
    return (1 - p) ** 2 + NOISE, p**2 + NOISE, (p * (1 - p)) ** 2


def test_weights_and_variances_are_the_cores(browser):
    settings = list(cases((2, 6, 256)))
    script = """
      settings.state.noise = given.noise;
      return given.cases.map(([n, chosen]) => {
        const { table } = settings.resolve(chosen, n);
        return given.rates.map((p) => {
          const s = mathematics.scores(p, given.noise);
          return [mathematics.weight(table, p), mathematics.variance(table, p, s.success, s.fail, s.gradient)];
        });
      });"""
    given = {"cases": [(n, as_choice(name, h)) for n, name, h in settings], "rates": RATES, "noise": NOISE}
    browser.open(browser.page)
    got = browser.run(script, given)
    p = np.asarray(RATES)
    assert len(settings) > 100
    for (n, name, hyper), values in zip(settings, got, strict=True):
        function = advantages.get(name, **hyper)
        close([v[0] for v in values], objectives.effective_weight(function, p, n))
        close([v[1] for v in values], objectives.effective_variance(function, p, n, *policy(p)))


def test_advantages_of_real_rewards_are_the_cores(browser, x64):
    settings = [
        (n, name, h, g) for n, name, h in cases(GROUPS) for g in GROUPS[n] if tables.real_form(advantages.TABLE[name])
    ]
    settings += [
        (4, name, h, (0.0, 1.0, 0.0, 0.0)) for n, name, h in cases((4,)) if not tables.real_form(advantages.TABLE[name])
    ]
    assert {name for _, name, *_ in settings} == {e.name for e in advantages.TABLE.values() if e.symmetric}
    script = "return given.map(([chosen, rewards]) => [...settings.advantages(chosen, rewards)]);"
    given = [(as_choice(name, h), g) for _, name, h, g in settings]
    browser.open(browser.page)
    got = browser.run(script, given)
    for (_, name, hyper, rewards), values in zip(settings, got, strict=True):
        close(values, advantages.get(name, **hyper)(jnp.asarray(rewards, jnp.float64)))


def test_objectives_and_binomials_are_the_cores(browser):
    named = [("rl", {}), ("ml", {}), ("grpo", {}), ("maxrl", {"order": 7}), ("pass_at_k", {"k": 1})]
    named += [("maxrl", {"order": 10**5}), ("pass_at_k", {"k": 12})]
    assert {name for name, _ in named} == set(objectives.OBJECTIVES) - {"mixture"}
    script = """
      const weights = ([name, number]) => given.rates.map((p) => mathematics.objective(name, number, p));
      return [given.named.map(weights), given.rates.map((p) => [...mathematics.binomial(1023, p)])];"""
    given = {"named": [(name, next(iter(h.values()), 0)) for name, h in named], "rates": RATES[:-1]}
    browser.open(browser.page)
    weights, masses = browser.run(script, given)
    p = np.asarray(RATES[:-1])
    for (name, hyper), values in zip(named, weights, strict=True):
        close(values, objectives.weight(name, p, **hyper))
    close(masses, binomial.probabilities(p, 1023))


def test_weights_under_a_filter_are_the_cores(browser):
    rules = {"mixed": Rule(mixed), "mixed_again": Rule(mixed, "redraw"), "solved_again": Rule(solved_once, "redraw")}
    rules |= {"between": Rule(between(0.2, 0.8))}
    browser.open(browser.page + "#e=maxrl;success_mean&n=8&p=0.9&filter=between")
    script = """return [Object.keys(mathematics.FILTERS), given.cases.map(([name, estimator, p]) => {
      const { table } = settings.resolve(settings.choice(estimator), 8);
      return Object.values(mathematics.filtered(table, p, name)); })];"""
    cases = list(itertools.product(rules, ("maxrl", "success_mean", "grpo"), RATES[:-1]))
    names, got = browser.run(script, {"cases": cases})
    assert names == ["none", *rules]
    for (rule, name, p), values in zip(cases, got, strict=True):
        wanted = practice(advantages.get(name), p, 8, rules[rule])
        close(values, [wanted.weight, wanted.rollouts])
    shown = browser.run(READ)["weights"]
    close(
        [row[1] for row in shown],
        [practice(advantages.get(e), 0.9, 8, rules["between"]).weight for e in ("maxrl", "success_mean")],
    )


READ = """
  await new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0)));  // the page follows once a frame
  const cells = (id) => [...document.querySelectorAll(`#${id} tbody tr`)].map((row) =>
    [...row.querySelectorAll("td")].map((cell) => cell.dataset.value));
  return { state: settings.state, weights: cells("weights"), biases: cells("biases"), variances: cells("variances"),
    groups: cells("groups"), advantages: cells("advantages"), address: location.hash,
    charts: [...document.querySelectorAll(".chart canvas")].map((canvas) => canvas.clientWidth),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth };"""

CENTRE = """
  const { left, top, width, height } = document.querySelector(given).getBoundingClientRect();
  return [left + width / 2, top + height / 2];"""

SET = """
  const element = document.querySelector(given[0]);
  element.value = given[1];
  element.dispatchEvent(new Event(element.type === "range" ? "input" : "change", { bubbles: true }));"""


def test_the_page_of_an_address(browser):
    address = "#e=maxrl;maxpo:k=4;grpo:ddof=1&n=12&p=0.2&K=3&noise=100&against=maxrl:5&g=0,0.5,0.5,1&measure=relative"
    browser.open(browser.page + address, width=400)
    got = browser.run(READ)
    functions = [advantages.get("maxrl"), advantages.get("maxpo", k=4), advantages.get("grpo", ddof=1)]
    w = np.array([objectives.effective_weight(f, 0.2, 12) for f in functions])
    wanted = objectives.weight("maxrl", 0.2, order=5)
    v = np.array([objectives.effective_variance(f, 0.2, 12, 0.64 + 100, 0.04 + 100, 0.16**2) for f in functions])
    close([row[0] for row in got["weights"]], w)
    close([row[1] for row in got["weights"]], np.full(3, wanted))
    close(got["biases"], np.stack([w - wanted, 100 * (w / wanted - 1)], 1))
    close(got["variances"], np.stack([v, v / (w * 0.16) ** 2], 1))
    close(got["groups"], [[s[3], f[3]] for s, f in (objectives.binary_form(f, 12) for f in functions)])
    # Of four rewards there is no k = 4: the page takes the largest there is. MaxRL is for binary rewards.
    assert got["advantages"][0] == [""] * 4
    with_ties = np.asarray(advantages.get("maxpo", k=3)(jnp.array([0, 0.5, 0.5, 1])))
    close(got["advantages"][1], with_ties, scale=1e-6)
    assert len(got["charts"]) == 5 and min(got["charts"]) > 300
    assert got["overflow"] == 0


def test_keys_move_rewards_and_controls_the_numbers(browser):
    browser.open(browser.page + "#e=maxpo:k=5;rloo&n=8&p=0.1&g=0.1,0.2,0.3,0.4")
    browser.run("document.querySelectorAll('.handle')[1].focus();")
    for key in ("End", "ArrowLeft", "PageDown"):
        browser.press(key)
    browser.run(SET, [".card input[type=range]", 2])
    browser.run(SET, ["#n", 24])
    moved = browser.run(READ)
    assert moved["state"]["rewards"] == [0.1, 0.89, 0.3, 0.4]
    assert browser.run("return document.activeElement.getAttribute('aria-valuenow');") == "0.89"
    close(moved["advantages"][1], advantages.get("rloo")(jnp.array([0.1, 0.89, 0.3, 0.4])), scale=1e-6)
    close(moved["weights"][0][0], objectives.effective_weight(advantages.get("maxpo", k=3), 0.1, 24))
    assert "e=maxpo:k=3;rloo" in moved["address"] and "n=24" in moved["address"]
    browser.run("document.querySelector('[data-role=remove]').click(); document.getElementById('add').click();")
    browser.run(SET, ["#p-exact", 0.25])
    changed = browser.run(READ)
    assert [chosen["name"] for chosen in changed["state"]["estimators"]] == ["rloo", "reinforce"]
    close([row[0] for row in changed["weights"]], [1, 1])
    assert "p=0.25" in changed["address"]


def test_the_mouse_drags_rewards_and_chooses_p(browser):
    browser.open(browser.page + "#e=maxpo:k=2;rloo&g=0.1,0.2,0.3,0.4", height=2600)
    before = browser.run(CENTRE, ".handle")
    browser.drag(before, browser.run(CENTRE, "#reward-line"))
    browser.drag(*[browser.run(CENTRE, "#weight-chart .u-over")] * 2)
    got = browser.run(READ)
    first, *others = got["state"]["rewards"]
    assert abs(first - 0.5) < 0.01 and others == [0.2, 0.3, 0.4]
    close(got["advantages"][0], advantages.get("maxpo", k=2)(jnp.array([first, *others])), scale=1e-6)
    assert abs(np.log10(got["state"]["p"]) + 2) < 0.05  # the middle of 1e-4 .. 1


def test_a_typed_address_is_read_and_an_invalid_one_changes_nothing(browser):
    browser.open(browser.page)
    plain = browser.run(READ)["state"]
    browser.run("location.hash = '#e=rloo&n=64&p=0.5'; await new Promise((done) => setTimeout(done, 50));")
    typed = browser.run(READ)
    assert (typed["state"]["n"], typed["state"]["p"], len(typed["weights"])) == (64, 0.5, 1)
    browser.open(
        browser.page + "#e=nobody;grpo:ddof=7;maxpo:k=-1&n=7&p=1.5&K=x&against=fame:0&g=0,2,0,0&axes=round&p=%"
    )
    got = browser.run(READ)["state"]
    assert [chosen["hyper"] for chosen in got["estimators"]] == [{"eps": "1e-06", "ddof": "0"}, {"k": "4"}]
    assert {**got, "estimators": 0} == {**plain, "estimators": 0}


def test_every_symmetric_estimator_is_offered():
    exported = tables.export()
    offered = {described["name"] for described in exported["estimators"]}
    assert offered | set(exported["left_out"]) == set(advantages.names())
    assert offered == {name for name, entry in advantages.TABLE.items() if entry.symmetric}
    for n in tables.SIZES:
        assert all(exported["tables"][n].values())  # no estimator without a setting at any size


def test_the_page_asks_the_network_for_nothing(page):
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    assert not re.search(r"\bfetch\(|XMLHttpRequest|WebSocket|sendBeacon|@import|url\(", page)


def test_the_command_writes_the_page_or_reports_an_error(tmp_path, capsys):
    assert build.main([f"--out={tmp_path / 'deep' / 'page.html'}"]) == 0
    assert (tmp_path / "deep" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    (tmp_path / "file").write_text("")
    assert build.main([f"--out={tmp_path / 'file' / 'page.html'}"]) == 2
    assert capsys.readouterr().err.startswith("error: --out: got ")
