// One look for every chart: axes, colours of the theme, dashes and markers, the values under the pointer.
"use strict";

const plots = (() => {
  // An estimator is told by its dash and marker as well as by its colour: some share a colour, some readers see none.
  const DASHES = [[], [9, 4], [2, 3], [10, 3, 2, 3], [5, 3], [14, 4]];
  const MARKERS = ["circle", "square", "up", "diamond", "down", "cross"];
  const DECADES = Array.from({ length: 41 }, (_, i) => 10 ** (i - 20));
  const FONT = "12px system-ui, sans-serif";

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function outline(shape, x, y, r) {
    const corners = {
      square: [[-1, -1], [1, -1], [1, 1], [-1, 1]],
      diamond: [[0, -1.35], [1.35, 0], [0, 1.35], [-1.35, 0]],
      up: [[0, -1.3], [1.25, 1], [-1.25, 1]],
      down: [[0, 1.3], [1.25, -1], [-1.25, -1]],
      cross: [[-1.2, -0.45], [-0.45, -1.2], [0, -0.75], [0.45, -1.2], [1.2, -0.45], [0.75, 0], [1.2, 0.45], [0.45, 1.2], [0, 0.75], [-0.45, 1.2], [-1.2, 0.45], [-0.75, 0]],
    }[shape];
    if (!corners) return `M${x - r},${y} a${r},${r} 0 1,0 ${2 * r},0 a${r},${r} 0 1,0 ${-2 * r},0 Z`;
    return `M${corners.map(([dx, dy]) => `${x + dx * r},${y + dy * r}`).join(" L")} Z`;
  }

  function mark(context, slot, x, y, colour, { hollow = false, size = 4.5 } = {}) {
    const path = new Path2D(outline(MARKERS[slot], x, y, size * devicePixelRatio));
    context.fillStyle = hollow ? css("--surface") : colour;
    context.strokeStyle = hollow ? colour : css("--surface");
    context.setLineDash([]);
    context.lineWidth = (hollow ? 1.6 : 1.2) * devicePixelRatio;
    context.fill(path);
    context.stroke(path);
  }

  // The chosen p or K: an upright line through the chart.
  function rule(context, x, top, height) {
    context.strokeStyle = css("--accent");
    context.lineWidth = 1.5 * devicePixelRatio;
    context.setLineDash([]);
    context.beginPath();
    context.moveTo(x, top);
    context.lineTo(x, top + height);
    context.stroke();
  }

  // The sample of a line beside its name.
  function swatch(slot, colour) {
    const dash = DASHES[slot].map((d) => d * 0.8).join(" ");
    return `<svg class="swatch" viewBox="0 0 34 14" width="34" height="14" aria-hidden="true"><line x1="1" y1="7" x2="33" y2="7" stroke="${colour}" stroke-width="2.4" stroke-dasharray="${dash}"/><path d="${outline(MARKERS[slot], 17, 7, 4.4)}" fill="${colour}" stroke="var(--surface)" stroke-width="1.2"/></svg>`;
  }

  // A number for reading: four digits, a true minus; what is smaller than `least` is rounding.
  function show(value, least = 1e-12) {
    if (value === null || value === undefined || Number.isNaN(value)) return "–";
    if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
    if (Math.abs(value) < least || value === 0) return "0";
    const size = Math.abs(value);
    const text = size >= 1e6 || size < 1e-4 ? value.toExponential(2).replace(/\.?0+e/, "e") : String(Number(value.toPrecision(4)));
    return text.replace("e+", "e").replaceAll("-", "−");
  }

  function decades(u, axis, low, high) {
    const within = DECADES.filter((d) => d >= low * 0.999 && d <= high * 1.001);
    if (within.length > 1) return within;
    return DECADES.flatMap((d) => [1, 2, 5].map((s) => s * d)).filter((d) => d >= low && d <= high);
  }

  // Round numbers that keep their distance on a scale of log-like steps, the roundest first.
  function spaced(u, axis, low, high) {
    const steps = [1, 5, 2].flatMap((s) => DECADES.filter((d) => d >= 0.01 && d <= 1e4).flatMap((d) => [s * d, -s * d]));
    const kept = [];
    for (const value of [0, ...steps.filter((v) => Math.abs(v) >= 1), ...steps.filter((v) => Math.abs(v) < 1)]) {
      if (value < low || value > high) continue;
      const y = u.valToPos(value, "y");
      if (kept.every(([, other]) => Math.abs(y - other) > 26)) kept.push([value, y]);
    }
    return kept.map(([value]) => value).sort((a, b) => a - b);
  }

  const SCALES = {
    log: { distr: 3, log: 10, splits: decades },
    linear: { distr: 1 },
    asinh: { distr: 4, asinh: 1, splits: spaced },
  };

  function axis(scale, label, side) {
    const splits = SCALES[scale].splits;
    return {
      label,
      side,
      stroke: css("--muted"),
      font: FONT,
      labelFont: FONT,
      labelSize: 20,
      size: side === 3 ? 52 : 30,
      gap: 4,
      space: side === 3 ? 34 : 56,
      grid: { stroke: css("--grid"), width: 1 },
      ticks: { stroke: css("--grid"), width: 1, size: 5 },
      values: (u, values) => values.map((value) => (value === null ? "" : show(value))),
      ...(splits ? { splits, filter: (u, values) => values } : {}),
    };
  }

  // The values of all lines at the pointer, largest first.
  function tooltip(describe) {
    let box;
    return {
      hooks: {
        init: (u) => {
          box = document.createElement("div");
          box.className = "tooltip";
          box.hidden = true;
          u.over.append(box);
        },
        setCursor: (u) => {
          const { idx, left, top } = u.cursor;
          if (idx === null || idx === undefined || left < 0) {
            box.hidden = true;
            return;
          }
          const lines = u.series.slice(1).map((series, i) => ({ series, value: u.data[i + 1][idx] }));
          const told = lines.filter(({ series, value }) => series.show && series.told && Number.isFinite(value));
          told.sort((a, b) => b.value - a.value);
          box.innerHTML =
            `<b>${describe(u.data[0][idx])}</b>` +
            told.map(({ series, value }) => `<span>${series.swatch ?? ""}${series.label}</span><span>${series.text?.(idx) ?? show(value)}</span>`).join("");
          box.hidden = !told.length;
          // Beside the pointer, on the side with more room, and within the chart where it fits.
          const [width, height] = [u.over.clientWidth - box.offsetWidth, u.over.clientHeight - box.offsetHeight];
          const beside = left > u.over.clientWidth / 2 ? left - 14 - box.offsetWidth : left + 14;
          box.style.left = `${Math.min(Math.max(beside, -50), width + 12)}px`;
          box.style.top = `${Math.max(0, Math.min(top - 20, height))}px`;
        },
      },
    };
  }

  // A chart in `element` that follows what `describe()` says: { shape, data, series, scales, axes, hooks, ... }. It is
  // made anew when `shape`, the width or the theme changes and takes new data otherwise.
  function chart(element, describe) {
    let plot = null;
    let made = null;

    function update() {
      const wanted = describe();
      const width = Math.floor(element.clientWidth);
      if (!width) return;
      const shape = JSON.stringify([wanted.shape, width, document.documentElement.dataset.theme, matchMedia("(prefers-color-scheme: dark)").matches]);
      if (plot && shape === made) {
        plot.setData(wanted.data);
        return;
      }
      plot?.destroy();
      made = shape;
      const { x, y } = wanted;
      plot = new uPlot(
        {
          width,
          height: wanted.height ?? Math.round(Math.min(300, Math.max(220, width * 0.62))),
          legend: { show: false },
          cursor: { points: { show: false }, drag: { x: true, y: false, uni: 20 }, focus: { prox: 1e6 } },
          focus: { alpha: 1 },
          scales: {
            x: { time: false, ...SCALES[x.scale], splits: undefined, range: x.range },
            y: { ...SCALES[y.scale], splits: undefined, range: y.range },
            ...wanted.scales,
          },
          axes: [axis(x.scale, x.label, 2), axis(y.scale, y.label, 3)],
          series: [{}, ...wanted.series],
          hooks: wanted.hooks ?? {},
          plugins: [tooltip(wanted.tell)],
          padding: [10, 14, 0, 0],
        },
        wanted.data,
        element,
      );
      wanted.ready?.(plot);
    }

    let width = element.clientWidth;
    new ResizeObserver(() => {
      if (element.clientWidth === width) return; // a new chart changes the height
      width = element.clientWidth;
      update();
    }).observe(element);
    return update;
  }

  // Calls `chosen` with the x that was clicked; a drag, which zooms, is no click.
  function onClick(u, chosen) {
    let pressed = 0;
    u.over.addEventListener("mousedown", (event) => (pressed = event.clientX));
    u.over.addEventListener("click", (event) => {
      if (Math.abs(event.clientX - pressed) > 4) return;
      chosen(u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x"));
    });
  }

  function line(slot, label, colour, extra = {}) {
    const points = { show: false };
    return { label, stroke: colour, width: 2.2, dash: DASHES[slot], points, told: true, swatch: swatch(slot, colour), ...extra };
  }

  return { chart, line, onClick, mark, rule, swatch, show, css };
})();
