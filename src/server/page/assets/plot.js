// A small line plot: time to the left, axes with units, the values under the pointer.

import { h, s } from "./dom.js";
import { t } from "./texts.js";

const kGap = 10;  // seconds without a reading that break a line
const kPad = { left: 46, right: 12, top: 10, bottom: 24 };

// 1, 2, 2.5 or 5 times a power of ten.
function niceStep(span, most) {
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((step) => step >= rough);
}

/** series: [{key, label, color}]; format(value) -> text with its unit; a fixed `top`, or the data's and at least `least`;
 *  `finest`: the smallest step of its axis; span: most seconds that are shown. */
export class Plot {
  constructor({ title, series, format, axis = format, top = null, least = 1, finest = 0, span = 120 }) {
    Object.assign(this, { title, series, format, axis, top, least, finest, span, points: [], width: 600, height: 190, pointer: null });
    this.svg = s("svg", { class: "plot-svg", role: "img" });
    this.values = series.map(() => h("span", { class: "number" }));
    const legend = h("div", { class: "legend" }, series.map(({ label, color }, i) =>
      h("span", {}, h("span", { class: "swatch", style: { background: `var(${color})` } }), label, " ", this.values[i])));
    this.frame = h("div", { class: "plot-frame" }, this.svg);
    this.element = h("figure", { class: "card plot" }, h("figcaption", {}, h("h3", {}, title), legend), this.frame);
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.observer = new ResizeObserver(([entry]) => {
      this.width = Math.max(200, entry.contentRect.width);
      this.draw();
    });
    this.observer.observe(this.frame);
  }

  /** points: [{time, key: value, ...}] in seconds, the oldest first; NaN: nothing known. */
  update(points) {
    this.points = points;
    this.draw();
  }

  point(event) {
    this.pointer = event && event.clientX - this.svg.getBoundingClientRect().left;
    this.draw();
  }

  draw() {
    const { points, width, height } = this;
    // The first minutes fill the plot too.
    const seen = points.length > 0 ? points.at(-1).time - points[0].time : 0;
    const span = (this.shown = Math.min(this.span, Math.max(30, Math.ceil(seen / 30) * 30)));
    const now = points.at(-1)?.time ?? 0;
    const inner = { width: width - kPad.left - kPad.right, height: height - kPad.top - kPad.bottom };
    const all = points.flatMap((point) => this.series.map(({ key }) => point[key])).filter(Number.isFinite);
    const step = Math.max(this.finest, niceStep(this.top ?? Math.max(this.least, ...all) * 1.05, 4));
    const top = this.top ?? Math.ceil((Math.max(this.least, ...all) * 1.02) / step) * step;
    const x = (time) => kPad.left + inner.width * (1 - (now - time) / span);
    const y = (value) => kPad.top + inner.height * (1 - value / top);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("height", height);
    const parts = this.axes(x, y, step, top, now);
    for (const { key, color } of this.series) parts.push(...this.line(key, color, x, y));
    parts.push(...this.showValues(x, y, now));
    this.svg.replaceChildren(...parts);
  }

  axes(x, y, step, top, now) {
    const parts = [];
    for (let value = 0; value <= top * 1.0001; value += step) {
      parts.push(s("line", { class: "grid", x1: kPad.left, x2: this.width - kPad.right, y1: y(value), y2: y(value) }),
        s("text", { class: "tick", x: kPad.left - 6, y: y(value) + 3.5, "text-anchor": "end" }, this.axis(value)));
    }
    for (let ago = 0; ago <= this.shown; ago += this.shown > 60 ? 30 : 10) {
      const anchor = ago === 0 ? "end" : ago === this.shown ? "start" : "middle";
      const words = ago === 0 ? t("dash.now") : t("dash.ago", { n: ago });
      parts.push(s("text", { class: "tick", x: x(now - ago), y: this.height - 6, "text-anchor": anchor }, words));
    }
    return parts;
  }

  line(key, color, x, y) {
    let path = "";
    let last = null;
    const left = this.points.length > 0 ? this.points.at(-1).time - this.shown : 0;
    for (const point of this.points) {
      // Where the page was not looking there is no line.
      const known = Number.isFinite(point[key]) && point.time >= left;
      const joined = last !== null && point.time - last < kGap;
      // A point alone is a dot: a line without length, with round ends.
      if (known) path += `${joined ? "L" : "M"}${x(point.time).toFixed(1)} ${y(point[key]).toFixed(1)}${joined ? "" : "h0.01"}`;
      last = known ? point.time : null;
    }
    return path === "" ? [] : [s("path", { class: "line", d: path, style: { stroke: `var(${color})` } })];
  }

  // Of the newest point, or of the one under the pointer.
  showValues(x, y, now) {
    const time = this.pointer === null ? now : now - (1 - (this.pointer - kPad.left) / (this.width - kPad.left - kPad.right)) * this.shown;
    const near = this.points.reduce((best, point) => (best && Math.abs(best.time - time) <= Math.abs(point.time - time) ? best : point), null);
    const texts = this.series.map(({ key }) => (near && Number.isFinite(near[key]) ? this.format(near[key]) : "–"));
    texts.forEach((text, i) => (this.values[i].textContent = text));
    this.svg.setAttribute("aria-label", `${this.title}: ${this.series.map(({ label }, i) => `${label} ${texts[i]}`).join(", ")}`);
    if (this.pointer === null || !near) return [];
    const cross = s("line", { class: "cross", x1: x(near.time), x2: x(near.time), y1: kPad.top, y2: this.height - kPad.bottom });
    const dots = this.series.filter(({ key }) => Number.isFinite(near[key])).map(({ key, color }) =>
      s("circle", { cx: x(near.time), cy: y(near[key]), r: 3.5, style: { fill: `var(${color})` } }));
    return [cross, ...dots];
  }
}
