// One message of a conversation, as it is seen.

import { h, iconButton } from "./dom.js";
import { copyText, showMarkdown } from "./markdown.js";
import { scoreView } from "./scores.js";
import { siblings } from "./store.js";
import { duration, t } from "./texts.js";

function statistics(node) {
  const { usage, times } = node;
  if (!usage || !times) return "";
  const seconds = (times.last - times.first) / 1e3;
  const rate = usage.completion_tokens > 1 && seconds > 0 ? ((usage.completion_tokens - 1) / seconds).toFixed(1) : "–";
  const cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
  const parts = [t("chat.stats", { tokens: usage.completion_tokens, rate, first: duration((times.first - times.sent) / 1e3) })];
  if (cached > 0) parts.push(t("chat.cached", { cached, prompt: usage.prompt_tokens }));
  return parts.join(" · ");
}

/** `actions`: edit(node, text), retry(node), choose(node). */
export class MessageView {
  constructor(conversation, node, actions) {
    this.conversation = conversation;
    this.node = node;
    this.actions = actions;
    this.showsScores = false;
    this.body = h("div", { class: "body" });
    this.foot = h("div", { class: "message-foot" });
    this.element = h("article", { class: `message ${node.role}`, "data-id": node.id, "aria-label": node.role === "user" ? t("chat.you") : node.model ?? "" },
      h("div", { class: "bubble" }, this.body), this.foot);
    this.update();
  }

  /** After any change of the node; `live` while it is being written. */
  update(live = false) {
    this.element.classList.toggle("live", live);
    this.element.setAttribute("aria-busy", String(live));
    if (this.node.role === "user") {
      this.body.replaceChildren(h("div", { class: "plain" }, this.node.content));
    } else {
      this.updateAnswer(live);
    }
    if (!live || this.foot.childElementCount > 0) this.foot.replaceChildren(...(live ? [] : this.footer()));
  }

  updateAnswer(live) {
    const { node } = this;
    if (!this.answer) {
      this.thoughtText = h("div", { class: "markdown" });
      this.thoughtTitle = h("summary");
      this.thought = h("details", { class: "thought" }, this.thoughtTitle, this.thoughtText);
      this.answer = h("div", { class: "markdown answer" });
      this.scores = h("div");
      this.note = h("div", { class: "note" });
      this.body.append(this.thought, this.answer, this.scores, this.note);
    }
    const thinks = live && !node.content && Boolean(node.reasoning);
    this.thought.hidden = !node.reasoning;
    this.thoughtTitle.textContent = thinks ? t("chat.thinking") : t("chat.thought");
    if (node.reasoning) showMarkdown(this.thoughtText, node.reasoning);
    const scored = this.showsScores && node.scores?.length > 0;
    this.answer.hidden = scored;
    showMarkdown(this.answer, node.content);
    this.scores.replaceChildren(...(scored ? [scoreView(node.scores)] : []));
    this.updateNote(live);
  }

  updateNote(live) {
    const { node } = this;
    const waits = live && !node.content && !node.reasoning;
    this.note.className = node.error ? "note error" : waits ? "note waits" : "note";
    this.note.textContent = waits ? t("chat.waiting") : node.error ? t(node.busy ? "chat.busy" : "chat.failed", { why: node.error }) : "";
    this.note.hidden = this.note.textContent === "";
    this.note.toggleAttribute("role", false);
    if (node.error) this.note.setAttribute("role", "alert");
  }

  footer() {
    const { node, actions } = this;
    const all = siblings(this.conversation, node);
    const at = all.indexOf(node);
    const parts = [];
    if (all.length > 1) {
      const step = (name, label, to) => iconButton(name, label, () => actions.choose(all[to]), { disabled: !all[to] });
      parts.push(h("span", { class: "versions" }, step("left", t("chat.earlier"), at - 1),
        h("span", { class: "number" }, t("chat.version", { n: at + 1, of: all.length })), step("right", t("chat.later"), at + 1)));
    }
    const copy = iconButton("copy", t("chat.copy"), () => copyText(node.content, copy));
    const tools = h("span", { class: "tools" });
    if (node.content) tools.append(copy);
    if (node.role === "user") {
      tools.append(iconButton("edit", t("chat.edit"), () => this.edit()));
    } else {
      tools.append(iconButton("again", t("chat.retry"), () => actions.retry(node)));
      tools.append(iconButton("bars", node.scores?.length ? t("scores.show") : t("scores.off"), () => this.toggleScores(),
        { class: "icon-button scores-button", "aria-pressed": String(this.showsScores), disabled: !node.scores?.length }));
    }
    parts.push(tools);
    if (node.role === "assistant") {
      const ended = { stopped: t("chat.stopped"), length: t("chat.cut") }[node.finish];
      parts.push(h("span", { class: "stats" }, [statistics(node), ended].filter(Boolean).join(" · ")));
    }
    return parts;
  }

  toggleScores() {
    this.showsScores = !this.showsScores;
    this.update();
    this.foot.querySelector(".scores-button").focus();
  }

  edit() {
    const send = () => {
      const text = area.value.trim();
      if (text !== "") this.actions.edit(this.node, text);
    };
    const cancel = () => {
      this.update();
      this.foot.querySelector(".tools button:last-child").focus();
    };
    const area = h("textarea", {
      class: "edit", "aria-label": t("chat.edit"), value: this.node.content,
      rows: Math.min(12, this.node.content.split("\n").length + 1),
      onkeydown: (event) => {
        if (event.isComposing) return;
        if (event.key === "Escape") {
          event.stopPropagation();
          cancel();
        } else if (event.key === "Enter" && !event.shiftKey) {
          event.preventDefault();
          send();
        }
      },
    });
    this.body.replaceChildren(area, h("div", { class: "edit-buttons" },
      h("button", { type: "button", onclick: cancel }, t("chat.cancel")),
      h("button", { type: "button", class: "primary", onclick: send }, t("chat.editSend"))));
    this.foot.replaceChildren();
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }
}
