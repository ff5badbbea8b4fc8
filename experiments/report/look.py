"""The page's style sheet: one column on a phone, a grid on a desk, light and dark."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #fcfcfa; --panel: #ffffff; --ink: #1d2126; --quiet: #6a717b; --rule: #e3e4e0; --mark: #fff3cd;
  --c0: #c2500a; --c1: #0068a8; --c2: #00805d; --c3: #a84f86;
  --c4: #a97c00; --c5: #2f94cf; --c6: #5b4bb5; --c7: #3a3f47;
  --wall: #3b4252; --floor: #f1f1ee; --right: #6aa312; --failed: #a3124f; --goal: #ffd24d; --start: #20242c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14171b; --panel: #1b1f25; --ink: #e6e8ea; --quiet: #99a1ab; --rule: #30363e; --mark: #453a12;
    --c0: #f58a4b; --c1: #5aa9e6; --c2: #3ec79c; --c3: #dd94c0;
    --c4: #e3bd4a; --c5: #86cdf5; --c6: #a99cf0; --c7: #c3c9d1;
    --wall: #59616f; --floor: #23282f; --right: #8cc63f; --failed: #f0609e; --goal: #ffd24d; --start: #e6e8ea;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 1.6rem clamp(0.9rem, 4vw, 2.4rem) 4rem; max-width: 78rem;
  background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  font-variant-numeric: tabular-nums; -webkit-text-size-adjust: 100%;
}
h1 {
  font-size: clamp(1.45rem, 3.5vw, 2rem); line-height: 1.2; margin: 0 0 0.3rem; letter-spacing: -0.015em;
  overflow-wrap: anywhere;
}
h2 { font-size: 1.15rem; margin: 2.6rem 0 0.8rem; padding-bottom: 0.35rem; border-bottom: 1px solid var(--rule); }
h3 { font-size: 0.95rem; margin: 1.4rem 0 0.5rem; }
p { margin: 0.3rem 0; max-width: 46rem; }
.quiet, .none { color: var(--quiet); font-weight: normal; }
.note { color: var(--quiet); font-size: 0.86rem; }
code {
  font: 0.86em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
  overflow-wrap: anywhere;
}
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: 0.7rem; margin: 1.3rem 0 0; }
.tiles div {
  background: var(--panel); border: 1px solid var(--rule); border-radius: 0.5rem; padding: 0.55rem 0.8rem;
}
.tiles dt { color: var(--quiet); font-size: 0.82rem; overflow-wrap: anywhere; }
.tiles dd { margin: 0; font-size: 1.2rem; font-weight: 600; overflow-wrap: anywhere; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(21rem, 100%), 1fr)); gap: 1rem; }
figure { margin: 0; }
.chart {
  background: var(--panel); border: 1px solid var(--rule); border-radius: 0.5rem;
  padding: 0.7rem 0.8rem 0.6rem; min-width: 0;
}
.chart > figcaption { font-weight: 600; font-size: 0.9rem; margin-bottom: 0.3rem; overflow-wrap: anywhere; }
.chart > figcaption { display: flex; justify-content: space-between; gap: 0.8rem; }
.chart > svg { display: block; width: 100%; height: auto; }
.grid { stroke: var(--rule); stroke-width: 1; fill: none; }
.axis { stroke: var(--quiet); stroke-width: 1; fill: none; }
.tick { fill: var(--quiet); font-size: 11px; }
.line { fill: none; stroke-width: 1.8; stroke-linejoin: round; stroke-linecap: round; }
.band { fill-opacity: 0.16; stroke: none; }
.s0 { stroke: var(--c0); } .s1 { stroke: var(--c1); } .s2 { stroke: var(--c2); } .s3 { stroke: var(--c3); }
.s4 { stroke: var(--c4); } .s5 { stroke: var(--c5); } .s6 { stroke: var(--c6); } .s7 { stroke: var(--c7); }
.f0 { fill: var(--c0); } .f1 { fill: var(--c1); } .f2 { fill: var(--c2); } .f3 { fill: var(--c3); }
.f4 { fill: var(--c4); } .f5 { fill: var(--c5); } .f6 { fill: var(--c6); } .f7 { fill: var(--c7); }
.legend {
  list-style: none; display: flex; flex-wrap: wrap; gap: 0.15rem 1rem; margin: 0.45rem 0 0; padding: 0;
  font-size: 0.82rem;
}
.legend li { display: flex; align-items: center; gap: 0.4rem; overflow-wrap: anywhere; }
.legend b { font-weight: 600; }
.swatch { flex: none; width: 1.3rem; height: 0.6rem; }
.shared {
  position: sticky; top: 0; z-index: 1; background: var(--paper); padding: 0.5rem 0; margin: 0 0 0.6rem;
  border-bottom: 1px solid var(--rule);
}
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 0.5rem; background: var(--panel); }
table { border-collapse: collapse; width: 100%; font-size: 0.86rem; }
th, td { padding: 0.32rem 0.8rem; text-align: left; vertical-align: top; border-top: 1px solid var(--rule); }
tr:first-child > th, tr:first-child > td { border-top: 0; }
thead th { font-weight: 600; vertical-align: bottom; }
tbody th { font-weight: normal; color: var(--quiet); white-space: nowrap; background: var(--panel); }
.wide tbody th, .wide thead th:first-child { position: sticky; left: 0; background: var(--panel); }
.wide td, .wide thead th:not(:first-child) { text-align: right; white-space: nowrap; }
.wide thead th:not(:first-child) { white-space: normal; min-width: 7rem; }
.values td { overflow-wrap: anywhere; }
.differs td { background: var(--mark); white-space: normal; }
.columns { columns: 2 22rem; column-gap: 1.2rem; }
.columns > div { break-inside: avoid; margin-bottom: 1rem; }
.columns h3 { margin-top: 0; }
.columns .scroll { overflow-x: visible; }
details { margin-top: 0.8rem; }
summary { cursor: pointer; font-weight: 600; font-size: 0.95rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(26rem, 100%), 1fr)); gap: 1rem; }
.pictures img {
  display: block; max-width: 100%; height: auto; background: #ffffff; border: 1px solid var(--rule);
  border-radius: 0.5rem;
}
.pictures figcaption, .mazes figcaption {
  font-size: 0.82rem; color: var(--quiet); margin-top: 0.3rem; overflow-wrap: anywhere;
}
.mazes { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(10rem, 44%), 1fr)); gap: 1rem; }
.mazes svg { display: block; width: 100%; height: auto; }
.floor {
  fill: var(--floor); } .walls { fill: var(--wall); } .start { fill: var(--start);
  } .goal { fill: var(--goal);
}
.right, .failed { fill: none; stroke-width: 0.26; stroke-linejoin: round; stroke-linecap: round; }
.right { stroke: var(--right); } .failed { stroke: var(--failed); }
.cross { fill: none; stroke: var(--failed); stroke-width: 0.2; stroke-linecap: round; }
.dot {
  display: inline-block; width: 0.7rem; height: 0.7rem; border-radius: 50%; vertical-align: -0.05rem;
  margin: 0 0.25rem 0 0.6rem;
}
@media print { .shared { position: static; } .chart, .tiles div { break-inside: avoid; } }
"""
