// @ts-check
/// <reference lib="dom" />
/**
 * Rates over time: areas that stand on one another, lines over them, and a strip that says where the record has holes.
 *
 * In: lines with colours. Out: a chart that follows its width, a legend with the values under the cursor; dragging, or + and -
 * at the keyboard, choose a range. What is hidden is told.
 */
import { append, colorOf, h, quantity, replace } from "./dom.js";
import { edgesS, stacked, steps } from "./grid.js";
import { percentText, rateText } from "./numbers.js";
import { axisTexts, clockText, localText, utcText } from "./times.js";

/**
 * @typedef {object} ChartLine
 * @property {string} name
 * @property {string} color Custom property.
 * @property {(number | null)[]} rates
 * @property {boolean} isStacked
 * @property {import("./dom.js").Child} total
 * @property {string} [hint]
 *
 * @typedef {object} ChartData
 * @property {number} fromMs
 * @property {number} stepMs
 * @property {ChartLine[]} lines The lowest first.
 * @property {(number | null)[]} shares
 * @property {{ fromMs: number, toMs: number }[]} lost Where the record is lost or missing.
 *
 * @typedef {object} ChartOptions
 * @property {string} label
 * @property {(fromMs: number, toMs: number) => void} onRange
 * @property {(hidden: string[]) => void} onHide
 */

/** @type {any} */
const uPlot = /** @type {any} */ (globalThis).uPlot;
const FONT = "12px system-ui, sans-serif";

export class Chart {
  /** @type {any} */
  #plot = null;
  /** @type {ChartData | null} */
  #data = null;
  /** @type {Set<string>} */
  #hidden = new Set();
  /** @type {HTMLElement[]} */
  #values = [];
  #schemes = matchMedia("(prefers-color-scheme: dark)");
  #onScheme = () => this.#draw();
  #isDragging = false;
  #onRelease = () => {
    this.#isDragging = false;
    // What came meanwhile was held back: it would have taken the selection away.
    if (this.#isDue) this.#draw();
  };
  #isDue = false;
  /** Under the cursor. @type {number | null} */
  #bucket = null;

  /** @param {ChartOptions} options */
  constructor(options) {
    this.options = options;
    this.canvas = h("div", {
      ...{ class: "chart", tabindex: 0, role: "img", "aria-label": options.label },
      keydown: (/** @type {KeyboardEvent} */ event) => this.#onKey(event),
      mousedown: () => this.#isDragging = true,
    });
    addEventListener("mouseup", this.#onRelease);
    this.legend = h("div", { class: "legend" });
    this.at = h("p", { class: "chart-at", "aria-live": "off" });
    this.element = h(
      "div",
      { class: "chart-frame" },
      this.canvas,
      h("div", { class: "legend-row" }, this.legend, this.at),
    );
    this.observer = new ResizeObserver(() => this.#resize());
    this.observer.observe(this.canvas);
    this.#schemes.addEventListener("change", this.#onScheme);
  }

  /** @param {ChartData} data @param {readonly string[]} hidden */
  show(data, hidden) {
    this.#data = data;
    this.#hidden = new Set(hidden);
    this.#isDue = this.#isDragging;
    if (!this.#isDragging) this.#draw();
  }

  close() {
    removeEventListener("mouseup", this.#onRelease);
    this.observer.disconnect();
    this.#schemes.removeEventListener("change", this.#onScheme);
    this.#plot?.destroy();
    this.#plot = null;
  }

  #draw() {
    const data = this.#data;
    if (data === null || this.canvas.clientWidth === 0) return;
    this.#isDue = false;
    const bucket = this.#bucket;
    this.#plot?.destroy();
    const shown = data.lines.filter(({ name }) => !this.#hidden.has(name));
    const areas = shown.filter(({ isStacked }) => isStacked);
    const overlays = shown.filter(({ isStacked }) => !isStacked);
    const stack = stacked(areas.map(({ rates }) => rates));
    // The highest is painted first: those below cover it.
    const columns = [...areas.keys()].reverse().map((at) => steps(stack[at]));
    const times = edgesS(data.fromMs, data.stepMs, data.shares.length);
    const series = [
      ...areas.toReversed().map(({ name, color }) =>
        seriesOf(name, colorOf(color), colorOf(`${color}-fill`))
      ),
      ...overlays.map(({ name, color }) => ({
        ...seriesOf(name, colorOf(color), undefined),
        dash: [5, 4],
      })),
    ];
    const options = this.#plotOptions(data, series);
    // Places are known only then.
    const ready = () => bucket !== null && this.#moveTo(bucket);
    this.#plot = new uPlot(
      { ...options, hooks: { ...options.hooks, ready: [ready] } },
      [times, ...columns, ...overlays.map(({ rates }) => steps(rates))],
      this.canvas,
    );
    this.#drawLegend(data);
  }

  /** @param {ChartData} data @param {object[]} series */
  #plotOptions(data, series) {
    const grid = { stroke: colorOf("--line"), width: 1 };
    const axis = { stroke: colorOf("--muted"), font: FONT, grid, ticks: { show: false } };
    return {
      ...{
        width: this.canvas.clientWidth,
        height: this.#height(),
        legend: { show: false },
        padding: [10, 18, 0, 0],
      },
      cursor: {
        drag: { x: true, y: false, setScale: false },
        points: { show: false },
        y: false,
      },
      select: { show: true },
      scales: {
        x: { time: true },
        y: {
          range: (
            /** @type {any} */ _plot,
            /** @type {number} */ _min,
            /** @type {number} */ max,
          ) => [0, max > 0 ? max * 1.08 : 1],
        },
      },
      series: [{}, ...series],
      axes: [
        {
          ...axis,
          size: (/** @type {any} */ _plot, /** @type {string[] | null} */ texts) =>
            texts?.some((text) => text.includes("\n")) ? 40 : 26,
          space: 72,
          values: (
            /** @type {any} */ _plot,
            /** @type {number[]} */ ticks,
            /** @type {any} */ _axis,
            /** @type {any} */ _space,
            /** @type {number} */ step,
          ) => axisTexts(ticks, step),
        },
        {
          ...axis,
          size: 78,
          space: 34,
          values: (/** @type {any} */ _plot, /** @type {number[]} */ ticks) =>
            ticks.map((tick) => tick === 0 ? "0" : rateText(tick)),
        },
      ],
      hooks: {
        setSelect: [(/** @type {any} */ plot) => this.#onSelect(plot)],
        setCursor: [(/** @type {any} */ plot) => this.#onCursor(plot)],
        drawClear: [(/** @type {any} */ plot) => drawUnknown(plot, data)],
        draw: [(/** @type {any} */ plot) => drawShares(plot, data)],
      },
    };
  }

  #height() {
    return Math.max(180, this.canvas.clientHeight || 280);
  }

  #resize() {
    if (this.#plot === null) this.#draw();
    else if (this.#plot.width !== this.canvas.clientWidth) {
      this.#plot.setSize({ width: this.canvas.clientWidth, height: this.#height() });
    }
  }

  /** @param {any} plot */
  #onSelect(plot) {
    const { left, width } = plot.select;
    if (width < 4) return;
    const fromMs = Math.round(plot.posToVal(left, "x") * 1_000);
    const toMs = Math.round(plot.posToVal(left + width, "x") * 1_000);
    plot.setSelect({ left: 0, width: 0, top: 0, height: 0 }, false);
    if (toMs - fromMs >= 1_000) this.options.onRange(fromMs, toMs);
  }

  /** @param {KeyboardEvent} event */
  #onKey(event) {
    const data = this.#data;
    if (data === null || this.#plot === null) return;
    const last = data.shares.length - 1;
    const at = this.#bucket ?? last;
    const center = data.fromMs + (at + 0.5) * data.stepMs;
    const length = data.shares.length * data.stepMs;
    const zoom = (/** @type {number} */ scale) => {
      const half = Math.max(500, length * scale / 2);
      this.options.onRange(Math.round(center - half), Math.round(center + half));
    };
    if (event.key === "ArrowLeft") this.#moveTo(Math.max(0, at - 1));
    else if (event.key === "ArrowRight") this.#moveTo(Math.min(last, at + 1));
    else if (event.key === "+") zoom(0.5);
    else if (event.key === "-") zoom(2);
    else return;
    event.preventDefault();
  }

  /** @param {any} plot */
  #onCursor(plot) {
    const data = this.#data;
    const { left, idx } = plot.cursor;
    const timeMs = plot.posToVal(left, "x") * 1_000;
    if (data === null || idx === null || idx === undefined || left < 0 || !(timeMs > 0)) {
      return this.#showValues(null);
    }
    const bucket = Math.floor((timeMs - data.fromMs) / data.stepMs);
    this.#showValues(Math.max(0, Math.min(data.shares.length - 1, bucket)));
  }

  /** @param {number} bucket */
  #moveTo(bucket) {
    const plot = this.#plot;
    const data = this.#data;
    if (data === null || bucket >= data.shares.length) return;
    const center = (data.fromMs + (bucket + 0.5) * data.stepMs) / 1_000;
    plot.setCursor({ left: plot.valToPos(center, "x"), top: 10 });
  }

  /** @param {ChartData} data */
  #drawLegend(data) {
    this.#values = [];
    replace(this.legend);
    for (const { name, color, total, isStacked, hint } of data.lines) {
      const isHidden = this.#hidden.has(name);
      const swatch = h("span", { class: isStacked ? "swatch" : "swatch dashed" });
      swatch.style.setProperty("--swatch", `var(${color})`);
      const value = h("span", { class: "legend-value" });
      this.#values.push(value);
      append(
        this.legend,
        h(
          "button",
          {
            ...{
              type: "button",
              class: "legend-item",
              "aria-pressed": String(!isHidden),
              title: hint ?? `Show or hide ${name}`,
            },
            click: () => this.#toggle(name),
          },
          ...[
            swatch,
            h("bdi", { class: "legend-name" }, name),
            value,
            h("span", { class: "legend-total" }, total),
          ],
        ),
      );
    }
    this.#showValues(null);
  }

  /** @param {string} name */
  #toggle(name) {
    if (!this.#hidden.delete(name)) this.#hidden.add(name);
    const index = this.#data?.lines.findIndex((line) => line.name === name) ?? -1;
    this.#draw();
    this.options.onHide([...this.#hidden]);
    // The legend was made anew: the keyboard stays where it was.
    /** @type {HTMLElement | undefined} */ (this.legend.children[index])?.focus();
  }

  /** @param {number | null} bucket */
  #showValues(bucket) {
    const data = this.#data;
    if (data === null) return;
    this.#bucket = bucket;
    for (const [at, { rates }] of data.lines.entries()) {
      replace(this.#values[at], bucket === null ? null : quantity("rate", rates[bucket]));
    }
    if (bucket === null) {
      replace(this.at, "Drag to zoom");
      return;
    }
    const fromMs = data.fromMs + bucket * data.stepMs;
    const share = data.shares[bucket];
    const state = share === null
      ? "nothing known"
      : share < 1
      ? `${percentText(share)} complete`
      : "complete";
    replace(
      this.at,
      h(
        "span",
        { title: utcText(fromMs) },
        `${localText(fromMs)} – ${clockText(fromMs + data.stepMs)}`,
      ),
      ` · ${state}`,
    );
  }
}

/** @param {string} label @param {string} stroke @param {string | undefined} fill */
function seriesOf(label, stroke, fill) {
  return {
    ...{ label, stroke, fill, width: 1.5, points: { show: false }, spanGaps: false },
    paths: uPlot.paths.linear(),
  };
}

/** Calls `draw` for each bucket with its edges on the canvas. @param {any} plot @param {ChartData} data @param {(share: number | null, left: number, width: number) => void} draw */
function eachBucket(plot, { fromMs, stepMs, shares }, draw) {
  for (const [bucket, share] of shares.entries()) {
    const left = plot.valToPos((fromMs + bucket * stepMs) / 1_000, "x", true);
    const right = plot.valToPos((fromMs + (bucket + 1) * stepMs) / 1_000, "x", true);
    draw(share, left, right - left);
  }
}

/** Shades time of which nothing is known. @param {any} plot @param {ChartData} data */
function drawUnknown(plot, data) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.fillStyle = colorOf("--unknown-time");
  eachBucket(plot, data, (share, left, width) => {
    if (share === null) ctx.fillRect(left, bbox.top, width + 0.5, bbox.height);
  });
  ctx.restore();
}

/** A strip where not all is known that was expected: red where it is lost. @param {any} plot @param {ChartData} data */
function drawShares(plot, data) {
  const { ctx, bbox } = plot;
  const height = 4 * devicePixelRatio;
  ctx.save();
  ctx.fillStyle = colorOf("--quiet");
  eachBucket(plot, data, (share, left, width) => {
    if (share !== null && share < 1) {
      ctx.fillRect(left, bbox.top + bbox.height - height, Math.max(1, width), height);
    }
  });
  ctx.fillStyle = colorOf("--lost");
  for (const { fromMs, toMs } of data.lost) {
    const left = Math.max(bbox.left, plot.valToPos(fromMs / 1_000, "x", true));
    const right = Math.min(bbox.left + bbox.width, plot.valToPos(toMs / 1_000, "x", true));
    if (right > left) {
      ctx.fillRect(left, bbox.top + bbox.height - height, Math.max(2, right - left), height);
    }
  }
  ctx.restore();
}
