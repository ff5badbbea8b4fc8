// The inputs: the estimators' cards, N, p, K, the objective, the axes, the theme.
"use strict";

const controls = (() => {
  const { state, data, entries } = settings;
  const find = (id) => document.getElementById(id);

  const PRESETS = {
    "rl-to-ml": ["rloo", ["maxrl_order", { order: "2" }], ["maxrl_order", { order: "6" }], "maxrl"],
    "maxrl-kin": ["success_mean", "maxrl_unbiased", "maxrl"],
    "pass-at-k": [["maxpo", {}], ["pkpo", {}], ["ei_leave_one_out", {}], ["chen", {}]],
    "graded": ["rloo", "grpo", "tailrl", "maxrl_likelihood", "maxpo"],
    "spreads": ["rloo", "grpo", "one_sided_grpo", "maxrl"],
  };

  const options = (values, selected) => values.map(([value, text]) => `<option value="${value}"${value === selected ? " selected" : ""}>${text}</option>`).join("");

  function card(chosen, slot) {
    const entry = entries[chosen.name];
    const inputs = entry.hyper.map((hyper) => input(chosen, slot, hyper)).join("");
    const names = data.estimators.map(({ name, label }) => [name, label]);
    return `<li class="card" data-slot="${slot}" style="--colour:${entry.colour}">
      <div class="card-head">${plots.swatch(slot, entry.colour)}
        <select data-focus="${slot}-name" data-role="name" aria-label="Estimator ${slot + 1}">${options(names, chosen.name)}</select>
        <button type="button" data-focus="${slot}-show" data-role="show" aria-pressed="${chosen.shown}" aria-label="Draw ${entry.label}" title="Draw or hide">${chosen.shown ? "◉" : "○"}</button>
        <button type="button" data-focus="${slot}-remove" data-role="remove" aria-label="Remove ${entry.label}" title="Remove">✕</button>
      </div>${inputs ? `<div class="hyper">${inputs}</div>` : ""}
      <p class="note" data-role="note"></p></li>`;
  }

  function input(chosen, slot, { key, values }) {
    const common = `data-focus="${slot}-${key}" data-key="${key}"`;
    if (settings.COUNTS.includes(key)) {
      return `<label>${key === "order" ? "order T" : key}<input type="range" ${common} min="0" step="1"><output></output></label>`;
    }
    if (key === "coefficients") {
      return `<label>c₁, c₂, …<input type="text" ${common} value="${chosen.hyper[key]}" spellcheck="false" autocomplete="off"></label>`;
    }
    if (values.length === 1) return "";
    return `<label>${key}<select ${common}>${options(values.map((v) => [v, v.replaceAll("_", " ")]), chosen.hyper[key])}</select></label>`;
  }

  // Cards are made anew when their number, names or choices change, and otherwise only told their values, so that a
  // slider under the finger stays.
  let structure = null;

  function cards() {
    const wanted = JSON.stringify(state.estimators.map(({ name, shown }) => [name, shown]));
    const list = find("cards");
    if (wanted !== structure) {
      const focus = document.activeElement?.dataset?.focus;
      structure = wanted;
      list.innerHTML = state.estimators.map(card).join("");
      if (focus) list.querySelector(`[data-focus="${focus}"]`)?.focus();
    }
    state.estimators.forEach((chosen, slot) => {
      const element = list.children[slot];
      const found = settings.resolve(chosen, state.n);
      const range = element.querySelector("input[type=range]");
      if (range) {
        const allowed = settings.counts(chosen, state.n);
        const value = found.hyper ? Number(found.hyper[range.dataset.key]) : allowed[0];
        range.max = Math.max(0, allowed.length - 1);
        range.value = allowed.indexOf(value);
        range.setAttribute("aria-valuetext", value);
        range.nextElementSibling.textContent = value;
      }
      element.querySelectorAll("select[data-key]").forEach((select) => (select.value = chosen.hyper[select.dataset.key]));
      const note = element.querySelector("[data-role=note]");
      note.textContent = found.message ?? found.entry.estimates;
      note.classList.toggle("wrong", Boolean(found.message));
    });
    find("add").disabled = state.estimators.length >= settings.MOST;
  }

  function edit(event) {
    const slot = Number(event.target.closest(".card")?.dataset.slot);
    if (Number.isNaN(slot)) return;
    const { role, key } = event.target.dataset;
    const chosen = structuredClone(state.estimators);
    if (role === "name") chosen[slot] = settings.choice(event.target.value, shared(chosen[slot], event.target.value));
    else if (key && event.target.type === "range") chosen[slot].hyper[key] = String(settings.counts(chosen[slot], state.n)[event.target.value]);
    else if (key) chosen[slot].hyper[key] = event.target.value;
    else return;
    settings.change({ estimators: chosen });
  }

  // What a newly named estimator takes over from the one before: its k.
  const shared = (before, name) => Object.fromEntries(entries[name].hyper.filter(({ key }) => settings.COUNTS.includes(key) && key in before.hyper).map(({ key }) => [key, before.hyper[key]]));

  function press(event) {
    const button = event.target.closest("button[data-role]");
    if (!button) return;
    const slot = Number(button.closest(".card").dataset.slot);
    const chosen = structuredClone(state.estimators);
    if (button.dataset.role === "remove") chosen.splice(slot, 1);
    else chosen[slot].shown = !chosen[slot].shown;
    settings.change({ estimators: chosen });
  }

  const logit = (p) => Math.log(p / (1 - p));
  const sigmoid = (t) => 1 / (1 + Math.exp(-t));

  function start() {
    find("cards").addEventListener("input", edit);
    find("cards").addEventListener("click", press);
    find("add").addEventListener("click", () => {
      const used = state.estimators.map(({ name }) => name);
      const next = data.estimators.find(({ name }) => !used.includes(name)) ?? data.estimators[0];
      settings.change({ estimators: [...state.estimators, settings.choice(next.name)] });
      find("cards").lastElementChild.querySelector("select").focus();
    });
    Object.entries(PRESETS).forEach(([name, chosen]) =>
      find(`preset-${name}`).addEventListener("click", () => settings.change({ estimators: chosen.map((c) => settings.choice(...[c].flat())) })),
    );
    find("n").innerHTML = options(data.sizes.map((n) => [n, n]), state.n);
    find("reward-count").innerHTML = options(data.sizes.filter((n) => n <= 16).map((n) => [n, n]), state.rewards.length);
    const on = (id, type, make) => find(id).addEventListener(type, (event) => settings.change(make(event.target.value)));
    on("n", "change", (value) => ({ n: Number(value) }));
    on("p", "input", (value) => ({ p: Number(sigmoid(Number(value)).toPrecision(3)) }));
    on("p-exact", "change", (value) => (value !== "" && value >= 0 && value <= 1 ? { p: Number(value) } : {}));
    on("successes", "input", (value) => ({ successes: Number(value) }));
    on("noise", "change", (value) => (value !== "" && value >= 0 && value <= 1e6 ? { noise: Number(value) } : {}));
    on("measure", "change", (value) => ({ measure: value }));
    on("axes", "change", (value) => ({ axes: value }));
    on("filter", "change", (value) => ({ filter: value }));
    on("against", "change", (value) => ({ against: value }));
    on("number", "change", (value) => (Number(value) >= 1 ? { number: Math.round(Number(value)) } : {}));
    find("theme").addEventListener("click", () => {
      const root = document.documentElement;
      const dark = (root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
      root.dataset.theme = dark ? "light" : "dark";
      settings.change({});
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => settings.change({}));
    return update;
  }

  function update() {
    cards();
    find("n").value = state.n;
    const p = find("p");
    p.value = logit(Math.min(0.9999, Math.max(1e-4, state.p)));
    p.setAttribute("aria-valuetext", plots.show(state.p));
    if (document.activeElement !== find("p-exact")) find("p-exact").value = state.p;
    const K = find("successes");
    K.max = state.n;
    K.value = state.successes;
    ["measure", "axes", "against", "filter"].forEach((id) => (find(id).value = state[id]));
    if (document.activeElement !== find("noise")) find("noise").value = state.noise;
    const counted = ["maxrl", "pass_at_k"].includes(state.against);
    find("number-label").hidden = !counted;
    find("number-name").textContent = state.against === "maxrl" ? "order T" : "k";
    if (document.activeElement !== find("number")) find("number").value = state.number;
  }

  return { start };
})();
