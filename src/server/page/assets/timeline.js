// The last requests, each as a bar of its stages. Read from /debug/requests each second while somebody looks.

import { getJson } from "./api.js";
import { Watch } from "./dashboard.js";
import { h } from "./dom.js";
import { duration, t } from "./texts.js";

const kShown = 60;
const kStages = ["network", "prepare", "queue", "prefill", "decode", "serialization"];

const ending = (one) => (one.running ? "live" : one.finish_reason ?? (one.status === 499 ? "cancelled" : null));

// "POST /v1/chat/completions" is known by its last words.
const routeName = (route) => route.replace(/^\/(v1|api)\//, "");

export class Timeline {
  constructor() {
    this.byClock = false;
    this.watch = new Watch(() => this.read());
    const choice = (byClock, label) => {
      const input = h("input", { type: "radio", name: "align", id: byClock ? "by-clock" : "by-start", onchange: () => {
        this.byClock = byClock;
        this.show();
      } });
      input.checked = byClock === this.byClock;
      return h("span", {}, input, h("label", { for: input.id }, label));
    };
    this.axis = h("div", { class: "time-axis", "aria-hidden": "true" });
    this.rows = h("tbody");
    this.error = h("p", { class: "note error", role: "alert", hidden: true });
    this.empty = h("p", { class: "muted empty-note" }, t("time.empty"));
    this.table = h("table", { class: "requests", hidden: true },
      h("thead", {}, h("tr", {}, h("th", { scope: "col" }, t("time.request")),
        h("th", { scope: "col", class: "bars-column" }, h("span", { class: "unseen" }, t("time.stages")), this.axis),
        h("th", { scope: "col", class: "right" }, t("time.whole")), h("th", { scope: "col" }, t("time.tokens")), h("th", { scope: "col" }, t("time.end")))),
      this.rows);
    this.element = h("section", { class: "panel timeline", id: "view-timeline", tabindex: "-1" },
      h("div", { class: "card" },
        h("div", { class: "time-head" }, h("h2", {}, t("time.title")),
          h("fieldset", { class: "choice" }, h("legend", { class: "unseen" }, t("time.align")), choice(false, t("time.byStart")), choice(true, t("time.byClock")))),
        h("div", { class: "legend" }, kStages.map((name) => h("span", {}, h("span", { class: `swatch stage ${name}` }), t(`time.${name}`)))),
        this.error, this.empty, this.table));
    this.requests = [];
  }

  enter() {
    this.watch.start();
  }
  leave() {
    this.watch.stop();
  }

  async read() {
    try {
      this.requests = (await getJson(`debug/requests?limit=${kShown}`)).requests;
      this.error.hidden = true;
      this.show();
    } catch (error) {
      this.error.textContent = `${t("app.offline")} ${error.message}`;
      this.error.hidden = false;
    }
  }

  show() {
    const { requests } = this;
    this.empty.hidden = requests.length > 0;
    this.table.hidden = requests.length === 0;
    if (requests.length === 0) return;
    const origin = this.byClock ? Math.min(...requests.map((one) => one.received)) : 0;
    const start = (one) => (this.byClock ? 1e3 * (one.received - origin) : 0);
    const span = Math.max(1, ...requests.map((one) => start(one) + one.ms));
    this.axis.replaceChildren(...[0, 0.25, 0.5, 0.75, 1].map((share) =>
      h("span", { style: { left: `${100 * share}%` } }, share === 0 ? "0" : duration((share * span) / 1e3))));
    // Rows stay the same elements, so that focus and hints do.
    const old = new Map([...this.rows.children].map((row) => [row.dataset.number, row]));
    this.rows.replaceChildren(...requests.map((one) => {
      const row = old.get(String(one.number)) ?? h("tr", { "data-number": one.number });
      const shape = JSON.stringify([one, this.byClock, Math.round(span), Math.round(start(one))]);
      if (row.shape !== shape) row.replaceChildren(...this.cells(one, start(one), span));
      row.shape = shape;
      return row;
    }));
  }

  cells(one, start, span) {
    let at = start;
    const parts = [];
    const words = [];
    for (const name of kStages) {
      const ms = one.stages_ms[name];
      if (ms > 0) {
        const label = `${t(`time.${name}`)}: ${duration(ms / 1e3)}`;
        words.push(label);
        parts.push(h("span", { class: `stage ${name}`, title: label, style: { left: `${(100 * at) / span}%`, width: `${(100 * ms) / span}%` } }));
      }
      at += ms;
    }
    const end = ending(one);
    // Of a request that runs, or whose client left, only what came is known.
    const tokens = one.prompt_tokens === 0 ? one.completion_tokens > 0 && t("time.tokensOut", { out: one.completion_tokens }) :
      t("time.tokensOf", { prompt: one.prompt_tokens, cached: one.cached_tokens, out: one.completion_tokens });
    const clock = new Date(1e3 * one.received).toLocaleTimeString(document.documentElement.lang, { hour12: false });
    const bad = end === "error" || (one.status >= 400 && one.status !== 499);
    return [
      h("th", { scope: "row" }, h("span", { class: "route", title: `${one.route} · ${one.id}` }, routeName(one.route)), h("span", { class: "muted number" }, clock)),
      h("td", { class: "bars-column" }, h("div", { class: "track", tabindex: "0", role: "img", "aria-label": words.join(", ") }, parts),
        h("div", { class: "stage-words" }, words.join(" · "))),
      h("td", { class: "number right" }, duration(one.ms / 1e3)),
      h("td", { class: "number" }, tokens || ""),
      h("td", {}, h("span", { class: `badge ${bad ? "bad" : end ?? ""}` }, bad ? `${t("time.error")} ${one.status >= 400 ? one.status : ""}` : end ? t(`time.${end}`) : one.status)),
    ];
  }
}
