// The server in numbers, read from /metrics each second while somebody looks.

import { hasKey, request } from "./api.js";
import { h } from "./dom.js";
import { histogramSince, parseMetrics, quantile } from "./metrics.js";
import { Plot } from "./plot.js";
import { saveFile } from "./store.js";
import { duration, t } from "./texts.js";

const kSpan = 120;    // seconds that plots show
const kWindow = 60;   // seconds that percentiles are of
const kGapWindow = 10;
const kGap = "vllm:inter_token_latency_seconds";
const kLatencies = [["dash.first", "vllm:time_to_first_token_seconds"], ["dash.gap", kGap], ["dash.whole", "vllm:e2e_request_latency_seconds"]];

/** Calls `look` each second while the view is there and the page is visible. */
export class Watch {
  constructor(look) {
    this.look = look;
    this.on = false;
    document.addEventListener("visibilitychange", () => this.on && this.turn());
  }
  start() {
    this.on = true;
    this.turn();
  }
  stop() {
    this.on = false;
    clearTimeout(this.timer);
  }
  async turn() {
    clearTimeout(this.timer);
    const began = performance.now();
    if (document.visibilityState === "visible") await this.look();
    clearTimeout(this.timer);
    if (this.on) this.timer = setTimeout(() => this.turn(), Math.max(100, 1000 - (performance.now() - began)));
  }
}

const percent = (share) => `${(100 * share).toFixed(share < 0.1 && share > 0 ? 1 : 0)} %`;
const plain = (value) => (value >= 1000 ? `${(value / 1000).toFixed(1)}k` : value >= 10 || value === 0 ? value.toFixed(0) : value.toFixed(1));

const tick = (value) => (value >= 1000 ? `${Number((value / 1000).toFixed(2))}k` : String(Number(value.toFixed(2))));

export class Dashboard {
  constructor() {
    this.readings = [];  // {time, metrics}, the oldest first
    this.points = [];
    this.watch = new Watch(() => this.read());
    const common = { span: kSpan };
    this.plots = [
      new Plot({ ...common, title: t("dash.throughput"), format: (value) => `${plain(value)} ${t("dash.tokensUnit")}`, axis: tick, least: 10,
        series: [{ key: "written", label: t("dash.generated"), color: "--blue" }, { key: "read", label: t("dash.read"), color: "--orange" }] }),
      new Plot({ ...common, title: t("dash.requests"), format: (value) => value.toFixed(0), axis: tick, least: 4, finest: 1,
        series: [{ key: "running", label: t("dash.running"), color: "--blue" }, { key: "waiting", label: t("dash.waiting"), color: "--orange" }] }),
      new Plot({ ...common, title: t("dash.memory"), format: percent, top: 1,
        series: [{ key: "kv", label: t("dash.kv"), color: "--violet" }, { key: "hits", label: t("dash.hits"), color: "--green" }] }),
      new Plot({ ...common, title: t("dash.gapPlot"), format: duration, axis: (value) => (value === 0 ? "0" : duration(value)), least: 0.004,
        series: [{ key: "p50", label: "p50", color: "--blue" }, { key: "p99", label: "p99", color: "--red" }] }),
    ];
    this.tiles = h("div", { class: "tiles" });
    this.total = h("p", { class: "muted total" });
    this.error = h("p", { class: "note error", role: "alert", hidden: true });
    this.element = h("section", { class: "panel dashboard", id: "view-dashboard", tabindex: "-1" },
      this.error, this.tiles, h("div", { class: "plots" }, this.plots.map((plot) => plot.element)), this.total,
      h("p", { class: "muted total" }, `${t("dash.time")} `,
        this.link("dash.flames", "debug/flamegraph?seconds=5", "flamegraph.html", true), " · ",
        this.link("dash.trace", "debug/trace?seconds=5", "trace.json", false)));
  }

  // A page of its own; or a file, where it is one or where a key must travel with the request.
  link(label, path, name, page) {
    const fetched = async (event) => {
      if (page && !hasKey()) return;
      event.preventDefault();
      link.setAttribute("aria-busy", "true");
      link.textContent = t("dash.making");
      try {
        saveFile(name, await (await request(path)).blob());
        this.error.hidden = true;
      } catch (error) {
        this.error.textContent = error.message;
        this.error.hidden = false;
      }
      link.textContent = t(label);
      link.removeAttribute("aria-busy");
    };
    const link = h("a", { href: path, target: "_blank", rel: "noopener", onclick: fetched }, t(label));
    return link;
  }

  enter() {
    this.watch.start();
  }
  leave() {
    this.watch.stop();
  }

  async read() {
    try {
      const text = await (await request("metrics")).text();
      this.add({ time: performance.now() / 1e3, metrics: parseMetrics(text) });
      this.error.hidden = true;
    } catch (error) {
      this.error.textContent = `${t("app.offline")} ${error.message}`;
      this.error.hidden = false;
    }
  }

  // The reading of at least `seconds` ago; the oldest there is, or null.
  before(now, seconds) {
    return this.readings.findLast(({ time }) => time <= now.time - seconds) ?? this.readings[0] ?? null;
  }

  add(now) {
    const last = this.readings.at(-1);
    const value = (name) => now.metrics.values.get(name) ?? 0;
    const restarted = last && value("vllm:prefix_cache_queries_total") < (last.metrics.values.get("vllm:prefix_cache_queries_total") ?? 0);
    if (restarted) this.readings = [];
    const known = last && !restarted;
    const rate = (name) => (known ? Math.max(0, value(name) - (last.metrics.values.get(name) ?? 0)) / (now.time - last.time) : NaN);
    const minute = this.before(now, kWindow);
    const since = (name) => value(name) - (minute?.metrics.values.get(name) ?? 0);
    const queries = since("vllm:prefix_cache_queries_total");
    const gaps = histogramSince(now.metrics, this.before(now, kGapWindow)?.metrics, kGap);
    this.points.push({
      time: now.time,
      written: rate("vllm:generation_tokens_total"),
      read: rate("autoglm:computed_prompt_tokens_total"),
      running: value("vllm:num_requests_running"),
      waiting: value("vllm:num_requests_waiting"),
      kv: value("vllm:kv_cache_usage_perc"),
      hits: queries > 0 ? since("vllm:prefix_cache_hits_total") / queries : NaN,
      p50: this.readings.length > 0 ? quantile(gaps, 0.5) : NaN,
      p99: this.readings.length > 0 ? quantile(gaps, 0.99) : NaN,
    });
    this.readings.push(now);
    while (this.readings.length > kSpan + 10) this.readings.shift();
    while (this.points[0].time < now.time - kSpan - 5) this.points.shift();
    this.show(now, minute);
  }

  show(now, minute) {
    for (const plot of this.plots) plot.update(this.points);
    this.tiles.replaceChildren(...kLatencies.map(([title, name]) => this.tile(t(title), name, now, minute)));
    const value = (name) => now.metrics.values.get(name) ?? 0;
    this.total.textContent = t("dash.total", { n: value("vllm:request_success_total"),
      refused: value("autoglm:requests_refused_total"), cancelled: value("autoglm:requests_cancelled_total") });
  }

  // Percentiles of the last minute, or of all there was if that had none.
  tile(title, name, now, minute) {
    const recent = histogramSince(now.metrics, minute?.metrics ?? now.metrics, name);
    const fresh = (recent.at(-1)?.[1] ?? 0) > 0;
    const buckets = fresh ? recent : histogramSince(now.metrics, null, name);
    const any = (buckets.at(-1)?.[1] ?? 0) > 0;
    const one = (q, label) => h("div", {}, h("dt", {}, label), h("dd", { class: "number" }, duration(quantile(buckets, q))));
    return h("section", { class: "card tile" }, h("h3", {}, title),
      h("dl", {}, one(0.5, "p50"), one(0.95, "p95"), one(0.99, "p99")),
      h("p", { class: "muted" }, !any ? t("dash.none") : fresh ? t("dash.lastMinute") : t("dash.sinceStart")));
  }
}
