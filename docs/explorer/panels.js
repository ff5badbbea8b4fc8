// The charts over p and over K, each with the numbers at the chosen p, N and K under it.
"use strict";

const panels = (() => {
  const { state } = settings;
  const find = (id) => document.getElementById(id);

  // Even in log p below 1/2 and in log (1 - p) above, and in p throughout.
  const GRID = (() => {
    const steps = Array.from({ length: 101 }, (_, i) => 10 ** (-4 + (i / 100) * Math.log10(0.5e4)));
    const even = Array.from({ length: 79 }, (_, i) => (i + 1) / 80);
    return [...new Set([...steps, ...steps.map((p) => 1 - p), ...even])].sort((a, b) => a - b);
  })();

  // The chosen estimators that can be drawn: what they are at this N, with their slot.
  function drawn() {
    return state.estimators
      .map((chosen, slot) => ({ slot, chosen, ...settings.resolve(chosen, state.n) }))
      .filter((found) => found.table && found.chosen.shown);
  }

  const identity = () => [state.estimators, state.n, state.against, state.number, state.filter, state.axes];

  function variance(table, p) {
    const scores = mathematics.scores(p, state.noise);
    return mathematics.variance(table, p, scores.success, scores.fail, scores.gradient);
  }

  // What the variance is compared with: the square of the expected gradient.
  function measured(table, p) {
    const value = variance(table, p);
    if (state.measure === "variance") return value;
    return value / (mathematics.weight(table, p) ** 2 * mathematics.scores(p, state.noise).gradient);
  }

  function bias(found, p) {
    const wanted = settings.target(found, p);
    return wanted === null ? null : mathematics.weight(found.table, p) - wanted;
  }

  function relativeBias(found, p) {
    const wanted = settings.target(found, p);
    return wanted === null ? null : 100 * (mathematics.weight(found.table, p) / wanted - 1);
  }

  const finite = (values) => values.flat(Infinity).filter((value) => value !== null && Number.isFinite(value));
  const positive = (value) => (value !== null && value > 0 && Number.isFinite(value) ? value : null);
  const sameAim = (a, b) => JSON.stringify(a.aim) === JSON.stringify(b.aim);

  function weightChart() {
    const found = drawn();
    const log = state.axes === "log";
    const keep = log ? positive : (value) => value;
    const lines = found.map(({ table }) => GRID.map((p) => keep(mathematics.weight(table, p))));
    const aims = state.against === "own" ? found.filter((f, i) => f.aim && found.findIndex((g) => sameAim(f, g)) === i) : [{ slot: 0 }];
    const kept = state.filter === "none" ? [] : found;
    const filtered = kept.map(({ table }) => GRID.map((p) => keep(mathematics.filtered(table, p, state.filter).weight)));
    const targets = aims.map((f) => GRID.map((p) => keep(settings.target(f, p))));
    const top = Math.max(1, ...finite([lines, filtered]));
    const low = log ? Math.max(1e-2, Math.min(0.5, ...finite([lines, filtered]))) : Math.min(0, ...finite([lines, filtered]));
    const range = log ? [10 ** Math.floor(Math.log10(low)), 1.6 * top] : [low * 1.05, top * 1.08];
    const ink = plots.css("--ink");
    const dotted = { stroke: ink, width: 1.4, dash: [1.5, 3], points: { show: false }, told: true };
    return {
      ...overP(range, log ? "log" : "linear", "weight w(p)", found.map((f) => (p) => mathematics.weight(f.table, p)), found),
      data: [GRID, ...targets, ...filtered, ...lines],
      series: [
        ...aims.map((f) => ({ ...dotted, label: aimName(f.aim) })),
        ...kept.map((f) => plots.line(f.slot, `${f.label}, filtered`, f.entry.colour, { width: 1 })),
        ...found.map((f) => plots.line(f.slot, f.label, f.entry.colour)),
      ],
    };
  }

  function biasChart() {
    const found = drawn();
    const lines = found.map((f) => GRID.map((p) => relativeBias(f, p)));
    const values = finite(lines);
    const low = Math.max(-100, Math.min(-5, ...values));
    const high = Math.min(100, Math.max(5, ...values));
    return {
      ...overP([low * 1.08, high * 1.08], "linear", "bias, % of the objective", found.map((f) => (p) => relativeBias(f, p)), found),
      data: [GRID, ...lines],
      series: found.map((f) => plots.line(f.slot, f.label, f.entry.colour)),
    };
  }

  function varianceChart() {
    const found = drawn();
    const lines = found.map(({ table }) => GRID.map((p) => positive(measured(table, p))));
    const values = finite(lines);
    const top = Math.max(1e-6, ...values);
    const low = Math.max(Math.min(...values, top / 10), top * 1e-5);
    const label = state.measure === "variance" ? "variance" : "variance / signal²";
    return {
      ...overP([10 ** Math.floor(Math.log10(low)), top * 2], "log", label, found.map((f) => (p) => measured(f.table, p)), found),
      shape: [identity(), "variance", state.noise, state.measure, [low, top]],
      data: [GRID, ...lines],
      series: found.map((f) => plots.line(f.slot, f.label, f.entry.colour)),
    };
  }

  // What the charts over p share: the axis, the chosen p as a line with a marker on every curve, a click that moves it.
  function overP(range, scale, label, values, found) {
    const log = state.axes === "log";
    const ends = log ? [1e-4, 1] : [0, 1];
    return {
      shape: [identity(), label, range],
      x: { scale: log ? "log" : "linear", label: "pass rate p", range: (u, low, high) => (low > GRID[0] || high < GRID[GRID.length - 1] ? [low, high] : ends) },
      y: { scale, label, range: () => range },
      tell: (p) => `p = ${plots.show(p)}`,
      hooks: { draw: [(u) => markP(u, values, found)] },
      ready: (u) => plots.onClick(u, (p) => settings.change({ p: Math.min(1, Math.max(0, Number(p.toPrecision(3)))) })),
    };
  }

  function markP(u, values, found) {
    const { ctx } = u;
    const { left, top, width, height } = u.bbox;
    const x = u.valToPos(Math.max(state.p, u.scales.x.min), "x", true);
    if (x < left - 1 || x > left + width + 1) return;
    ctx.save();
    ctx.beginPath();
    ctx.rect(left - 8, top - 8, width + 16, height + 16);
    ctx.clip();
    plots.rule(ctx, x, top, height);
    values.forEach((value, i) => {
      const at = value(state.p);
      if (at === null || !Number.isFinite(at) || (u.scales.y.distr === 3 && at <= 0)) return;
      plots.mark(ctx, found[i].slot, x, u.valToPos(at, "y", true), found[i].entry.colour);
    });
    ctx.restore();
  }

  // Advantages over K, with how often each K comes at this p behind them.
  function groupChart() {
    const found = drawn();
    const n = state.n;
    const counts = Array.from({ length: n + 1 }, (_, K) => K);
    const mass = Array.from(mathematics.binomial(n, state.p));
    const success = found.map(({ table }) => counts.map((K) => (K ? table.success[K] : null)));
    const fail = found.map(({ table }) => counts.map((K) => (K < n ? table.fail[K] : null)));
    const values = finite([success, fail]);
    const low = Math.min(-1, ...values);
    const high = Math.max(1, ...values);
    return {
      shape: [identity(), "group"],
      x: { scale: "linear", label: "successes K", range: (u, a, b) => (a > 0 || b < n ? [a, b] : [-0.5, n + 0.5]) },
      y: { scale: "asinh", label: "advantage", range: () => [low * 1.25, high * 1.25] },
      scales: { mass: { range: () => [0, 1.6 * Math.max(...mass)] } },
      tell: (K) => `K = ${K}: success / failure`,
      data: [counts, mass, ...success, ...fail],
      series: [
        { label: "chance", scale: "mass", fill: plots.css("--bars"), width: 0, points: { show: false }, paths: uPlot.paths.bars({ size: [0.85, 60], align: 0 }) },
        ...found.map((f, i) => plots.line(f.slot, f.label, f.entry.colour, { text: (K) => `${plots.show(success[i][K])} / ${plots.show(fail[i][K])}` })),
        ...found.map((f) => plots.line(f.slot, f.label, f.entry.colour, { width: 1.2, told: false })),
      ],
      hooks: { draw: [(u) => markGroup(u, found, success, fail)] },
      ready: (u) => plots.onClick(u, (K) => settings.change({ successes: Math.min(n, Math.max(0, Math.round(K))) })),
    };
  }

  function markGroup(u, found, success, fail) {
    const { ctx } = u;
    const { top, height } = u.bbox;
    const K = state.successes;
    const x = u.valToPos(K, "x", true);
    ctx.save();
    plots.rule(ctx, x, top, height);
    found.forEach((f, i) => {
      const y = (value) => u.valToPos(value, "y", true);
      if (fail[i][K] !== null) plots.mark(ctx, f.slot, x, y(fail[i][K]), f.entry.colour, { hollow: true });
      if (success[i][K] !== null) plots.mark(ctx, f.slot, x, y(success[i][K]), f.entry.colour);
    });
    ctx.restore();
  }

  const NAMES = { rl: "RL", ml: "maximum likelihood", grpo: "1/√(p(1−p))" };

  function aimName(aim) {
    const terms = aim && state.against === "own" ? aim : [{ factor: 1, name: state.against, number: state.number }];
    const name = ({ name, number }) => NAMES[name] ?? (name === "maxrl" ? `MaxRL, order ${number}` : `pass@${number}`);
    return terms.map((term) => (term.factor === 1 ? "" : `${plots.show(term.factor)} `) + name(term)).join(" + ");
  }

  // Rows of numbers, one an estimator; cells hold the full value besides the one for reading.
  function table(id, heads, rows) {
    const cell = (value) => `<td data-value="${value ?? ""}">${typeof value === "string" ? value : plots.show(value)}</td>`;
    find(id).innerHTML =
      `<thead><tr><th scope="col">${heads[0]}</th>${heads.slice(1).map((h) => `<th scope="col">${h}</th>`).join("")}</tr></thead><tbody>` +
      rows.map(({ found, values }) => `<tr><th scope="row">${plots.swatch(found.slot, found.entry.colour)}${found.label}</th>${values.map(cell).join("")}</tr>`).join("") +
      "</tbody>";
  }

  function numbers() {
    const found = drawn();
    const { p, n, successes: K } = state;
    const at = `at p = ${plots.show(p)}`;
    const rows = (values) => found.map((f) => ({ found: f, values: values(f) }));
    const filter = (f) => {
      if (state.filter === "none") return [];
      const { weight, rollouts } = mathematics.filtered(f.table, p, state.filter);
      return [weight, rollouts];
    };
    // One objective for all is named once, above its weights.
    const own = state.against === "own";
    const heads = [at, "w(p)", ...(state.filter === "none" ? [] : ["with filter", "rollouts"]), ...(own ? ["objective", "w(p)"] : [aimName()])];
    table("weights", heads, rows((f) => [mathematics.weight(f.table, p), ...filter(f), ...(own ? [f.aim ? aimName(f.aim) : "none named"] : []), settings.target(f, p)]));
    table("biases", [at, "bias of w", "in %"], rows((f) => [bias(f, p), relativeBias(f, p)]));
    table("variances", [at, "variance", "/ signal²"], rows((f) => [variance(f.table, p), variance(f.table, p) / (mathematics.weight(f.table, p) ** 2 * mathematics.scores(p, state.noise).gradient)]));
    table("groups", [`K = ${K} of ${n}`, "success", "failure"], rows((f) => [K ? f.table.success[K] : null, K < n ? f.table.fail[K] : null]));
    find("chance").textContent = `Chance of K = ${K} at p = ${plots.show(p)}: ${plots.show(mathematics.binomial(n, p)[K], 0)}`;
  }

  function start() {
    const updates = [
      plots.chart(find("weight-chart"), weightChart),
      plots.chart(find("bias-chart"), biasChart),
      plots.chart(find("variance-chart"), varianceChart),
      plots.chart(find("group-chart"), groupChart),
    ];
    return () => [...updates, numbers].forEach((update) => update());
  }

  return { start, table };
})();
