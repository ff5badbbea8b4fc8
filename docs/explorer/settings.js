// What was chosen, the tables that belong to it, and the page's address, which keeps it.
"use strict";

const settings = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const entries = Object.fromEntries(data.estimators.map((entry) => [entry.name, entry]));
  const MOST = 6; // as many as there are dashes and markers
  const COUNTS = ["k", "order"];
  let pool;

  const state = {
    estimators: [],
    n: 16,
    p: 0.1,
    successes: 2,
    noise: 1,
    against: "ml", // "own" or an objective
    number: 4, // order or k of that objective
    filter: "none",
    axes: "log",
    measure: "variance",
    rewards: [0.1, 0.22, 0.3, 0.38, 0.5, 0.55, 0.7, 0.92],
  };
  const listeners = [];

  async function load() {
    const bytes = Uint8Array.from(atob(data.pool), (c) => c.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    pool = new Float64Array(await new Response(stream).arrayBuffer());
    ["maxrl", "grpo", "rloo", "maxpo"].forEach((name) => state.estimators.push(choice(name)));
    restore(location.hash.slice(1));
    // Another address typed over this one, or the reader going back to it.
    addEventListener("hashchange", () => {
      restore(location.hash.slice(1));
      change({});
    });
  }

  // An estimator as first chosen: the default of every hyper-parameter, 4 for a count.
  function choice(name, hyper = {}) {
    const defaults = entries[name].hyper.map(({ key, values }) => {
      if (COUNTS.includes(key)) return [key, "4"];
      return [key, key === "coefficients" ? "0.5, 0, 2" : values[0]];
    });
    return { name, hyper: { ...Object.fromEntries(defaults), ...hyper }, shown: true };
  }

  const keyOf = (entry, hyper) => entry.hyper.map(({ key }) => `${key}=${hyper[key]}`).join(",");
  const slice = (start, length) => pool.subarray(start, start + length);
  const rowTable = (row, n) => ({ success: slice(row[0], n + 1), fail: slice(row[1], n + 1) });

  // The values of k (or of the order) that are legal at n with the other hyper-parameters as they are.
  function counts(chosen, n) {
    const entry = entries[chosen.name];
    const count = entry.hyper.find(({ key }) => COUNTS.includes(key));
    if (!count) return [];
    const rows = data.tables[n][chosen.name];
    return data.ladders[n].filter((value) => keyOf(entry, { ...chosen.hyper, [count.key]: value }) in rows);
  }

  // The hyper-parameters as they are at n: a count beyond the largest legal one is that one.
  function legal(chosen, n) {
    const hyper = { ...chosen.hyper };
    const allowed = counts(chosen, n);
    for (const key of COUNTS.filter((key) => key in hyper)) {
      const fitting = allowed.filter((value) => value <= Number(hyper[key]));
      hyper[key] = String(fitting.length ? fitting[fitting.length - 1] : allowed[0]);
    }
    return hyper;
  }

  // An estimator at n: { label, table, aim, ... }, or { message } where there is none.
  function resolve(chosen, n) {
    const entry = entries[chosen.name];
    if (chosen.name === "mixture") return mixture(entry, chosen, n);
    const hyper = legal(chosen, n);
    const row = data.tables[n][chosen.name][keyOf(entry, hyper)];
    if (!row) return { entry, message: `not defined for these at N = ${n}` };
    const aim = row[2] ? [{ factor: 1, name: row[2], number: row[3] }] : null;
    return { entry, hyper, label: label(entry, hyper), table: rowTable(row, n), aim, row };
  }

  function mixture(entry, chosen, n) {
    const coefficients = chosen.hyper.coefficients.split(/[\s,;]+/).filter(Boolean).map(Number);
    if (!coefficients.length || coefficients.some((c) => !Number.isFinite(c))) {
      return { entry, message: "coefficients: numbers c₁, c₂, … of max@1, max@2, …" };
    }
    const table = { success: new Float64Array(n + 1), fail: new Float64Array(n + 1) };
    const aim = [];
    for (const [index, factor] of coefficients.entries()) {
      const row = data.tables[n].maxpo[`k=${index + 1}`];
      if (factor && !row) return { entry, message: `coefficients: no k = ${index + 1} is offered at N = ${n}` };
      if (!factor) continue;
      const part = rowTable(row, n);
      for (let K = 0; K <= n; K++) {
        table.success[K] += factor * part.success[K];
        table.fail[K] += factor * part.fail[K];
      }
      aim.push({ factor, name: "pass_at_k", number: index + 1 });
    }
    const name = `Mixture ${coefficients.join(", ")}`;
    return { entry, hyper: chosen.hyper, label: name, table, aim };
  }

  // The name with whatever is not a default.
  function label(entry, hyper) {
    const said = entry.hyper
      .filter(({ key, values }) => COUNTS.includes(key) || hyper[key] !== values[0])
      .map(({ key }) => (key === "order" ? `T = ${hyper[key]}` : COUNTS.includes(key) ? `k = ${hyper[key]}` : words(key, hyper[key])));
    return [entry.label, ...said].join(", ");
  }

  const words = (key, value) => (/^(True|False|[\d.e-]+)$/.test(value) ? `${key} ${value}` : value.replaceAll("_", " "));

  // Advantages of real rewards, or null where an estimator is for binary rewards and these are not.
  function advantages(chosen, rewards) {
    const n = rewards.length;
    const found = resolve(chosen, n);
    if (!found.table) return null;
    const real = found.entry.real;
    if (!real) {
      const K = rewards.filter((g) => g === 1).length;
      if (!rewards.every((g) => g === 0 || g === 1)) return null;
      return Float64Array.from(rewards, (g) => (g === 1 ? found.table.success[K] : found.table.fail[K]));
    }
    const plain = Object.entries(real.when || {}).some(([key, value]) => found.hyper[key] !== value);
    if (real.form === "thresholds" || plain) return mathematics.overThresholds(found.table, rewards);
    if (real.form === "acceptances") return mathematics.overAcceptances(found.table, rewards);
    const numerator = resolve({ name: real.of, hyper: { ...found.hyper, ...real.with } }, n).table;
    const eps = Number(found.hyper.eps);
    if (real.form === "spread") {
      return mathematics.overSpread(numerator, rewards, { eps, ddof: Number(found.hyper.ddof || 0) });
    }
    return mathematics.overSubsetSpread(numerator, rewards, { eps, ranks: slice(found.row[4], n) });
  }

  // The weight of what an estimator is measured against: null where it has no objective of its own.
  function target(found, p) {
    const terms = state.against === "own" ? found.aim : [{ factor: 1, name: state.against, number: state.number }];
    return terms && terms.reduce((sum, { factor, name, number }) => sum + factor * mathematics.objective(name, number, p), 0);
  }

  function change(patch) {
    Object.assign(state, patch);
    state.successes = Math.min(state.successes, state.n);
    history.replaceState(null, "", `#${address()}`);
    listeners.forEach((listener) => listener());
  }

  const number = (value) => String(Number(value.toPrecision(6)));

  function address() {
    const estimators = state.estimators.map(({ name, hyper }) =>
      [name, ...Object.entries(hyper).map(([key, value]) => `${key}=${value.replace(/[,;\s]+/g, "_")}`)].join(":"),
    );
    return [
      `e=${estimators.join(";")}`,
      `n=${state.n}`,
      `p=${number(state.p)}`,
      `K=${state.successes}`,
      `noise=${state.noise}`,
      `against=${state.against}:${state.number}`,
      `filter=${state.filter}`,
      `axes=${state.axes}`,
      `measure=${state.measure}`,
      `g=${state.rewards.map(number).join(",")}`,
    ].join("&");
  }

  // Reads an address; what cannot be read stays as it is.
  function restore(text) {
    const given = Object.fromEntries(text.split("&").map((part) => [part.split("=")[0], decoded(part.slice(part.indexOf("=") + 1))]));
    const within = (value, low, high) => (value !== "" && value >= low && value <= high ? Number(value) : null);
    if (given.e) {
      const chosen = given.e.split(";").map(readChoice).filter(Boolean).slice(0, MOST);
      if (chosen.length) state.estimators = chosen;
    }
    if (data.sizes.includes(Number(given.n))) state.n = Number(given.n);
    state.p = within(given.p ?? "", 0, 1) ?? state.p;
    state.successes = Math.round(within(given.K ?? "", 0, state.n) ?? Math.min(state.successes, state.n));
    state.noise = within(given.noise ?? "", 0, 1e6) ?? state.noise;
    const [against, order] = (given.against ?? "").split(":");
    if (against === "own" || data.objectives.includes(against)) state.against = against;
    state.number = Math.round(within(order ?? "", 1, 1e6) ?? state.number);
    if (Object.keys(mathematics.FILTERS).includes(given.filter)) state.filter = given.filter;
    if (["log", "linear"].includes(given.axes)) state.axes = given.axes;
    if (["variance", "relative"].includes(given.measure)) state.measure = given.measure;
    const rewards = (given.g ?? "").split(",").map((g) => within(g, 0, 1));
    if (rewards.length <= 16 && data.sizes.includes(rewards.length) && !rewards.includes(null)) state.rewards = rewards;
  }

  function decoded(text) {
    try {
      return decodeURIComponent(text);
    } catch {
      return "";
    }
  }

  function readChoice(text) {
    const [name, ...pairs] = text.split(":");
    if (!(name in entries)) return null;
    const chosen = choice(name);
    for (const [key, value] of pairs.map((pair) => pair.split("="))) {
      const hyper = entries[name].hyper.find((candidate) => candidate.key === key);
      if (!hyper || !value) continue;
      const fits = COUNTS.includes(key) ? /^[1-9]\d*$/.test(value) : key === "coefficients" || hyper.values.includes(value);
      if (fits) chosen.hyper[key] = key === "coefficients" ? value.replaceAll("_", ", ") : value;
    }
    return chosen;
  }

  const onChange = (listener) => listeners.push(listener);
  return { data, entries, state, MOST, COUNTS, load, choice, counts, legal, resolve, advantages, target, change, onChange };
})();
