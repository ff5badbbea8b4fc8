// Real rewards: handles on a line, moved by pointer or arrow keys, and the advantages they get.
"use strict";

const rewards = (() => {
  const { state } = settings;
  const SMALLEST = 0.01; // one press of an arrow key
  const STEP = 20; // pixels between stacked handles
  const find = (id) => document.getElementById(id);

  const EXAMPLES = {
    spread: (n) => Array.from({ length: n }, (_, i) => (i + 0.5) / n),
    binary: (n) => Array.from({ length: n }, (_, i) => Number(i >= n - Math.max(1, Math.round(n / 4)))),
    outlier: (n) => Array.from({ length: n }, (_, i) => (i === n - 1 ? 0.95 : 0.1 + (0.15 * i) / n)),
    ties: (n) => Array.from({ length: n }, (_, i) => [0.2, 0.5, 0.8][Math.floor((3 * i) / n)]),
  };

  function drawn() {
    return state.estimators
      .map((chosen, slot) => ({ slot, ...settings.resolve(chosen, state.rewards.length), values: settings.advantages(chosen, state.rewards), chosen }))
      .filter((found) => found.table && found.chosen.shown);
  }

  const span = (u, low, high) => [-0.04, 1.04];

  function rewardChart() {
    const found = drawn().filter(({ values }) => values);
    const order = [...state.rewards.keys()].sort((a, b) => state.rewards[a] - state.rewards[b]);
    const lines = found.map(({ values }) => order.map((i) => values[i]));
    const all = lines.flat();
    const low = Math.min(-1, ...all);
    const high = Math.max(1, ...all);
    return {
      shape: [state.estimators, state.rewards.length, found.length, low, high],
      height: 300,
      x: { scale: "linear", label: "", range: span },
      y: { scale: "asinh", label: "advantage", range: () => [low * 1.25, high * 1.25] },
      tell: (g) => `reward ${plots.show(g)}`,
      data: [order.map((i) => state.rewards[i]), ...lines],
      series: found.map((f) => plots.line(f.slot, f.label, f.entry.colour, { width: 1.4 })),
      hooks: { draw: [(u) => markAll(u, found, order), place] },
    };
  }

  function markAll(u, found, order) {
    found.forEach((f) =>
      order.forEach((i) => {
        const x = u.valToPos(state.rewards[i], "x", true);
        plots.mark(u.ctx, f.slot, x, u.valToPos(f.values[i], "y", true), f.entry.colour, { size: 4 });
      }),
    );
  }

  // Puts the handles under the chart's own axis; rewards that are nearly equal are stacked.
  function place(u) {
    const line = find("reward-line");
    const left = u.bbox.left / devicePixelRatio;
    const width = u.bbox.width / devicePixelRatio;
    const [low, high] = span();
    line.style.marginLeft = `${left}px`;
    line.style.width = `${width}px`;
    const taken = [];
    let levels = 0;
    [...line.querySelectorAll(".handle")].forEach((handle, i) => {
      const x = ((state.rewards[i] - low) / (high - low)) * width;
      const level = taken.filter((other) => Math.abs(other - x) < 22).length;
      levels = Math.max(levels, level);
      taken.push(x);
      handle.style.left = `${x}px`;
      handle.style.top = `${10 + STEP * level}px`;
      handle.setAttribute("aria-valuenow", state.rewards[i]);
      handle.setAttribute("aria-valuetext", plots.show(state.rewards[i]));
    });
    line.style.height = `${46 + STEP * levels}px`;
  }

  function set(index, value) {
    const next = [...state.rewards];
    next[index] = Math.round(Math.min(1, Math.max(0, value)) * 1000) / 1000;
    settings.change({ rewards: next });
  }

  const KEYS = { ArrowRight: SMALLEST, ArrowUp: SMALLEST, ArrowLeft: -SMALLEST, ArrowDown: -SMALLEST, PageUp: 0.1, PageDown: -0.1 };

  function handle(index) {
    const element = document.createElement("div");
    element.className = "handle";
    element.tabIndex = 0;
    element.textContent = index + 1;
    const attributes = { role: "slider", "aria-label": `Reward of rollout ${index + 1}`, "aria-valuemin": 0, "aria-valuemax": 1 };
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.addEventListener("keydown", (event) => {
      const ends = { Home: 0, End: 1 };
      if (!(event.key in KEYS) && !(event.key in ends)) return;
      event.preventDefault();
      set(index, event.key in ends ? ends[event.key] : state.rewards[index] + KEYS[event.key]);
    });
    element.addEventListener("pointerdown", (event) => {
      element.setPointerCapture(event.pointerId);
      element.focus();
      event.preventDefault();
    });
    element.addEventListener("pointermove", (event) => {
      if (!element.hasPointerCapture(event.pointerId)) return;
      const box = find("reward-line").getBoundingClientRect();
      const [low, high] = span();
      const value = low + ((event.clientX - box.left) / box.width) * (high - low);
      // The ends hold: a reward dragged close to one is exactly 0 or 1.
      set(index, value < 0.008 ? 0 : value > 0.992 ? 1 : value);
    });
    return element;
  }

  function numbers() {
    const heads = [`N = ${state.rewards.length}`, ...state.rewards.map((g, i) => `${i + 1}<small>${plots.show(g)}</small>`)];
    const none = Array(state.rewards.length).fill(null);
    panels.table("advantages", heads, drawn().map((found) => ({ found, values: [...(found.values ?? none)] })));
    const left = drawn().filter(({ values }) => !values).map(({ label }) => label);
    find("binary-only").textContent = left.length
      ? `${left.join(", ")}: defined for binary rewards; put every point on 0 or 1 to see ${left.length > 1 ? "them" : "it"}. MaxRL for real rewards is TailRL.`
      : "";
  }

  function start() {
    const update = plots.chart(find("reward-chart"), rewardChart);
    Object.entries(EXAMPLES).forEach(([name, make]) =>
      find(`rewards-${name}`).addEventListener("click", () => settings.change({ rewards: make(state.rewards.length) })),
    );
    find("reward-count").addEventListener("change", (event) => {
      settings.change({ rewards: EXAMPLES.spread(Number(event.target.value)) });
    });
    return () => {
      const line = find("reward-line");
      const handles = line.querySelectorAll(".handle");
      if (handles.length !== state.rewards.length) {
        handles.forEach((old) => old.remove());
        line.append(...state.rewards.map((_, i) => handle(i)));
        find("reward-count").value = state.rewards.length;
      }
      update();
      numbers();
    };
  }

  return { start };
})();
