// An answer as its tokens, each tinted by how likely it was, with what it could have been instead.

import { h } from "./dom.js";
import { t } from "./texts.js";

const decoder = new TextDecoder("utf-8", { fatal: true });

/** A row of `logprobs.content`, as it is kept: [text, logprob, [[other, logprob], ...], bytes]. */
export function keptScore(token) {
  return [token.token, token.logprob, token.top_logprobs.map((other) => [other.token, other.logprob]), token.bytes];
}

// Tokens that are pieces of one character are shown together: alone they are no text.
function whole(scores) {
  const rows = [];
  let held = null;
  for (const [text, logprob, others, bytes] of scores) {
    const joined = held ? [...held.bytes, ...bytes] : bytes;
    let shown = null;
    try {
      shown = decoder.decode(new Uint8Array(joined));
    } catch {
      // Not a whole character yet, or never one.
    }
    const row = { text: shown ?? text, logprob: (held?.logprob ?? 0) + logprob, others: held?.others ?? others, bytes: joined };
    if (shown === null && joined.length < 4) {
      held = row;
      continue;
    }
    held = null;
    rows.push(row);
  }
  return held ? [...rows, held] : rows;
}

const percent = (logprob) => {
  const p = 100 * Math.exp(logprob);
  return p >= 99.95 ? "100 %" : p >= 10 ? `${p.toFixed(0)} %` : p >= 0.1 ? `${p.toFixed(1)} %` : "< 0.1 %";
};

const visible = (text) => text.replaceAll(" ", "␣").replaceAll("\n", "⏎").replaceAll("\t", "⇥") || "∅";

// 1 is untinted; 1 % and less are as red as it gets.
const tint = (logprob) => `${Math.round(Math.min(1, Math.max(0, -logprob / Math.log(100))) * 62)}%`;

function details(panel, row) {
  panel.replaceChildren(
    h("div", { class: "score-token" }, h("code", {}, visible(row.text)), h("strong", {}, percent(row.logprob))),
    h("div", { class: "score-title" }, t("scores.others")),
    ...row.others.map(([text, logprob]) =>
      h("div", { class: "score-other" }, h("code", {}, visible(text)),
        h("span", { class: "score-bar" }, h("span", { style: { width: `${100 * Math.exp(logprob)}%` } })),
        h("span", { class: "number" }, percent(logprob)))),
  );
}

/** One tab stop; arrow keys go from token to token. */
export function scoreView(scores) {
  const rows = whole(scores);
  const panel = h("div", { class: "score-panel", role: "status" });
  const tokens = rows.map((row, i) =>
    h("span", {
      class: "token", role: "button", tabindex: i === 0 ? "0" : "-1", style: { "--tint": tint(row.logprob) },
      "aria-label": t("scores.token", { token: visible(row.text), percent: percent(row.logprob) }),
      onmouseenter: () => show(i), onfocus: () => show(i), onclick: () => tokens[i].focus(),
    }, row.text));
  const show = (i) => {
    for (const token of tokens) token.classList.remove("chosen");
    tokens[i].classList.add("chosen");
    details(panel, rows[i]);
  };
  const text = h("div", { class: "tokens", onkeydown: (event) => {
    const at = tokens.indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tokens.length - 1 }[event.key];
    if (at < 0 || tokens[to] === undefined) return;
    event.preventDefault();
    tokens[at].tabIndex = -1;
    tokens[to].tabIndex = 0;
    tokens[to].focus();
  } }, tokens);
  if (rows.length > 0) show(0);
  const legend = h("div", { class: "score-legend" }, t("scores.sure"), h("span", { class: "score-scale", "aria-hidden": "true" }),
    t("scores.unsure"), h("span", { class: "muted" }, `· ${t("scores.legend")}`));
  return h("div", { class: "scores" }, legend, text, panel);
}
