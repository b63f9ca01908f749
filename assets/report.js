// The page's script: sorts the table, and draws the charts again so that they can be hovered and zoomed. Without it the table
// stands as it is and the charts are SVG. Asks nobody for anything.
(() => {
  "use strict";
  const NONE = "–", NEVER = "never";
  const PALETTE = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"];
  const DARK = { "#0072b2": "#4aa8e0", "#000000": "#f0f0f0" };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (i) => { const c = PALETTE[i % PALETTE.length]; return dark.matches ? DARK[c] || c : c; };

  // --- the table ---

  const sortBy = (table, column, button) => {
    const head = button.parentElement, up = head.getAttribute("aria-sort") !== "ascending";
    for (const th of table.tHead.rows[0].cells) if (th.hasAttribute("aria-sort")) th.setAttribute("aria-sort", "none");
    head.setAttribute("aria-sort", up ? "ascending" : "descending");
    const key = (row) => row.cells[column].dataset.key;
    const order = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === undefined && y === undefined) {
        const [s, t] = [a, b].map((row) => row.cells[column].textContent);
        if (s === NONE || t === NONE) return (s === NONE) - (t === NONE);
        return s.localeCompare(t, "en", { numeric: true }) * (up ? 1 : -1);
      }
      if (x === undefined || y === undefined) return (x === undefined) - (y === undefined); // not measured: last
      const [n, m] = [Number(x), Number(y)];
      return (n === m ? 0 : n < m ? -1 : 1) * (up ? 1 : -1);
    };
    const body = table.tBodies[0];
    [...body.rows].sort(order).forEach((row) => body.append(row));
    document.getElementById("said").textContent = `sorted by ${button.textContent}, ${up ? "ascending" : "descending"}`;
  };

  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((th, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = th.textContent;
      th.replaceChildren(button);
      th.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => sortBy(table, column, button));
    });
  }

  // --- numbers in words, as everywhere else in the report ---

  const short = (n, digits = 3) => Number(n.toPrecision(digits)).toString();
  const micros = (us) => (us < 1 ? `${short(us * 1e3)} ns` : us < 1e3 ? `${short(us)} µs` : us < 1e6 ? `${short(us / 1e3)} ms` : `${short(us / 1e6)} s`);
  const rate = (n) => (n < 1e3 ? `${short(n)}/s` : n < 1e6 ? `${short(n / 1e3)} k/s` : `${short(n / 1e6)} M/s`);
  const share = (tail) => { const q = (1 - 10 ** -tail) * 100; return `${Number(q.toFixed(Math.max(0, Math.ceil(tail) - 1) + 1))} %`; };
  const words = (axis) => ({ tail: share, seconds: (s) => `${short(s, 4)} s`, places: (i) => axis.places[i] ?? "", micros, rate })[axis.kind];

  // --- charts ---

  // Lines with their own x values, on one x axis; what another line has and this one hasn't is undefined.
  const aligned = (plot) => {
    const place = plot.x.kind === "tail" ? (q) => -Math.log10(1 - q) : (x) => x;
    return uPlot.join(plot.lines.map((line) => [line.points.map(([x]) => place(x)), line.points.map(([, y]) => y)]));
  };

  const shading = (plot) => ({
    hooks: {
      drawClear: (u) => {
        const { ctx } = u;
        ctx.save();
        ctx.beginPath();
        ctx.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
        ctx.clip();
        ctx.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
        ctx.textBaseline = "top";
        for (const [name, from, to] of plot.shaded) {
          const [a, b] = [u.valToPos(from, "x", true), u.valToPos(to, "x", true)];
          ctx.fillStyle = css("--soft");
          ctx.fillRect(a, u.bbox.top, b - a, u.bbox.height);
          ctx.fillStyle = css("--quiet");
          if (ctx.measureText(name).width < b - a) ctx.fillText(name, a + 4 * devicePixelRatio, u.bbox.top + 4 * devicePixelRatio);
        }
        ctx.restore();
      },
    },
  });

  const options = (plot, width) => {
    const [atX, atY] = [words(plot.x), words(plot.y)];
    const axis = (words, extra) => ({ stroke: css("--quiet"), grid: { stroke: css("--line"), width: 1 }, ticks: { stroke: css("--line") }, values: (_, all) => all.map((v) => (v === null ? "" : words(v))), ...extra });
    // A tick too near to the one before it is left out.
    const apart = (u, low, high, least) => (all, t) => (all.length && ((t - all[all.length - 1]) / (high - low)) * (u.width - 80) < least ? all : [...all, t]);
    const nines = (u, _, low, high) => [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7, 8, 9].filter((t) => t >= low && t <= high).reduce(apart(u, low, high, 44), []);
    const tens = (_, __, low, high) => {
      const all = [];
      for (let e = Math.floor(Math.log10(low)); 10 ** e <= high * 1.0001; e += 1) all.push(...(high / low < 200 ? [1, 2, 5] : [1]).map((n) => n * 10 ** e));
      return all.filter((v) => v >= low * 0.9999 && v <= high * 1.0001);
    };
    const whole = (u, _, low, high) => plot.x.places.map((_, i) => i).filter((i) => i >= low && i <= high);
    const splits = { tail: nines, places: whole }[plot.x.kind];
    const log = plot.y.kind === "micros" && plot.lines.some((line) => line.points.some(([, y]) => y > 0));
    return {
      width,
      height: Math.max(240, Math.min(380, Math.round(width * 0.45))),
      legend: { live: true },
      cursor: { drag: { x: true, y: false }, focus: { prox: 24 } },
      focus: { alpha: 0.5 },
      scales: {
        x: { time: false, ...({ places: { range: (_, low, high) => (high - low < plot.x.places.length - 1 ? [low, high] : [-0.3, plot.x.places.length - 0.7]) }, seconds: { range: (_, low, high) => [low <= 1 ? 0 : low, high] } })[plot.x.kind] },
        y: log ? { distr: 3 } : { range: (_, low, high) => [Math.min(0, low ?? 0), (high || 1) * 1.08] },
      },
      axes: [
        axis(atX, { label: plot.x.label, labelSize: 22, labelFont: "13px system-ui, sans-serif", ...(splits ? { splits, space: 55 } : {}) }),
        axis(atY, { size: 66, ...(log ? { splits: tens } : {}) }),
      ],
      series: [
        { label: { tail: "share", seconds: "at", places: plot.x.label }[plot.x.kind], value: (_, v) => (v === null || v === undefined ? NONE : atX(v)) },
        ...plot.lines.map((line) => ({
          label: line.name,
          stroke: colour(line.colour),
          width: line.stroke === "thick" ? 2 : 1,
          dash: line.stroke === "dashed" ? [6, 4] : undefined,
          spanGaps: plot.x.kind !== "tail",
          points: { show: line.points.length <= 60, size: 5 },
          value: (u, v, series, i) => (i === null || i === undefined ? NONE : v === null ? (plot.x.kind === "tail" ? NEVER : NONE) : v === undefined ? NONE : atY(v)),
        })),
      ],
      plugins: plot.shaded.length ? [shading(plot)] : [],
    };
  };

  // Arrow keys walk over the points, + and − zoom, Escape shows all; what is under the cursor is said.
  const keys = (box, plot, u) => {
    let at = -1;
    box.addEventListener("keydown", (event) => {
      const xs = u.data[0], { min, max } = u.scales.x, middle = at >= 0 ? xs[at] : (min + max) / 2;
      const zoom = (factor) => u.setScale("x", { min: middle - ((max - min) * factor) / 2, max: middle + ((max - min) * factor) / 2 });
      if (event.key === "ArrowRight" || event.key === "ArrowLeft") {
        at = Math.max(0, Math.min(xs.length - 1, at + (event.key === "ArrowRight" ? 1 : -1)));
        u.setCursor({ left: u.valToPos(xs[at], "x"), top: u.over.clientHeight / 2 });
        const values = plot.lines.map((line, i) => `${line.name} ${u.series[i + 1].value(u, u.data[i + 1][at], i + 1, at)}`);
        document.getElementById("said").textContent = `${words(plot.x)(xs[at])}: ${values.join(", ")}`;
      } else if (event.key === "+") zoom(0.5);
      else if (event.key === "-") zoom(2);
      else if (event.key === "Escape") u.setData(u.data);
      else return;
      event.preventDefault();
    });
  };

  const drawn = [];
  const draw = () => {
    for (const u of drawn.splice(0)) u.destroy();
    for (const figure of document.querySelectorAll("figure[data-plots]")) {
      const live = figure.querySelector(".live");
      live.replaceChildren();
      for (const plot of JSON.parse(document.getElementById(figure.dataset.plots).textContent)) {
        const heading = document.createElement("p"), box = document.createElement("div");
        heading.className = "axis";
        heading.textContent = plot.y.label;
        box.className = "plot";
        box.tabIndex = 0;
        box.setAttribute("role", "group");
        box.setAttribute("aria-label", `${plot.title}. Arrow keys read the points, plus and minus zoom, Escape shows all.`);
        live.append(heading, box);
        const u = new uPlot(options(plot, live.clientWidth || 600), aligned(plot), box);
        u.root.dataset.points = String(plot.lines.reduce((sum, line) => sum + line.points.length, 0));
        keys(box, plot, u);
        drawn.push(u);
      }
    }
  };
  document.documentElement.classList.add("scripted");
  draw();
  dark.addEventListener("change", draw);
  let width = document.body.clientWidth;
  addEventListener("resize", () => { if (document.body.clientWidth !== width) { width = document.body.clientWidth; draw(); } });
  window.busmarkPlots = drawn;
})();
