// Draws the charts of the page from the rows in it: on first sight, each line named in the legend one that can be
// switched off, and the values of all lines at the step nearest to the pointer beside it.
"use strict";

(() => {
  const { specs, charts } = JSON.parse(document.getElementById("curves").textContent);
  const views = new Map(); // by the chart's id
  const hidden = new Map(); // by the legend's name, a chart's id or "shared": the numbers of the lines switched off
  const tip = document.getElementById("tip");
  const pointer = { x: 0, y: 0 };

  const legendOf = (id) => (document.querySelector(`.legend[data-of="${id}"]`) ? id : "shared");
  const off = (id) => [...(hidden.get(legendOf(id)) ?? [])];

  function show(value) {
    if (value === null) return "–";
    const size = Math.abs(value);
    return size >= 1e6 || (size && size < 1e-4) ? value.toExponential(2) : value.toLocaleString("en", { maximumSignificantDigits: 4 });
  }

  function rows(chart) {
    return chart.lines.flatMap(({ x, value, low, high, colour, dash, marked }, line) =>
      x.map((at, i) => ({ line, at, value: value[i], low: low[i] ?? null, high: high[i] ?? null, colour, dash, marked: marked && value[i] !== null })));
  }

  // Beside the pointer: the values of a chart's lines at one step, or nothing at none.
  function say(id, at) {
    tip.hidden = at === undefined;
    if (tip.hidden) return;
    const chart = charts[id];
    const entries = chart.lines.map((line, number) => {
      const i = line.x.indexOf(at);
      if (i < 0 || off(id).includes(number)) return null;
      const entry = document.createElement("div");
      entry.style.setProperty("--own", line.colour);
      const error = line.low.length && line.high[i] !== null ? ` ± ${show(line.high[i] - line.value[i])}` : "";
      entry.textContent = `${line.label}  ${show(line.value[i])}${error}`;
      return entry;
    });
    const head = document.createElement("b");
    head.textContent = `${chart.spec.startsWith("k") ? "k =" : "step"} ${show(at)}`;
    tip.replaceChildren(head, ...entries.filter(Boolean));
    follow();
  }

  function follow() {
    if (tip.hidden) return;
    const { width, height } = tip.getBoundingClientRect();
    const beside = pointer.x + 16 + width < innerWidth ? pointer.x + 16 : pointer.x - 16 - width;
    tip.style.left = `${Math.max(4, Math.min(beside, innerWidth - width - 4))}px`;
    tip.style.top = `${Math.max(4, Math.min(pointer.y + 16, innerHeight - height - 4))}px`;
  }

  async function draw(place) {
    const id = place.id;
    const description = place.getAttribute("aria-label"); // Vega writes it there again
    const spec = { ...specs[charts[id].spec], description, data: { name: "rows", values: rows(charts[id]) } };
    // ast: no expression is compiled, the page allows no code but its own.
    const options = { mode: "vega-lite", renderer: "svg", actions: false, defaultStyle: false, tooltip: false, ast: true };
    const { view } = await window.vegaEmbed(place, spec, options);
    views.set(id, view);
    place.view = view;
    view.addSignalListener("hover", (_, picked) => say(id, picked.at?.[0]));
    await view.signal("hidden", off(id)).runAsync();
  }

  function toggle(button) {
    const of = button.closest(".legend").dataset.of;
    const set = hidden.get(of) ?? new Set();
    hidden.set(of, set);
    const line = Number(button.dataset.line);
    if (!set.delete(line)) set.add(line);
    button.setAttribute("aria-pressed", String(!set.has(line)));
    for (const [id, view] of views) if (legendOf(id) === of) view.signal("hidden", [...set]).runAsync();
  }

  document.addEventListener("pointermove", (event) => {
    pointer.x = event.clientX;
    pointer.y = event.clientY;
    follow();
  }, { capture: true });
  document.addEventListener("click", (event) => {
    const button = event.target.closest(".legend button");
    if (button) toggle(button);
  });
  const places = [...document.querySelectorAll(".plot")];
  const seen = new IntersectionObserver((entries) => {
    const due = entries.filter((entry) => entry.isIntersecting).map((entry) => entry.target);
    due.forEach((place) => seen.unobserve(place));
    Promise.all(due.map(draw)).then(() => (document.documentElement.dataset.ready = "yes"));
  }, { rootMargin: "600px" });
  places.forEach((place) => seen.observe(place));
})();
