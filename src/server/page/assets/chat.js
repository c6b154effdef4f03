// The conversation: what is sent, what comes, and where it is shown.

import { streamChat } from "./api.js";
import { h, icon, iconButton } from "./dom.js";
import { MessageView } from "./message.js";
import { keptScore } from "./scores.js";
import { addNode, choose, download, exported, path } from "./store.js";
import { t } from "./texts.js";

const kTopScores = 5;

/** A request's body: what the settings do not say is left to the server. */
export function requestBody(settings, about, messages) {
  const body = { model: settings.model || about.model, messages };
  if (settings.system.trim() !== "") body.messages = [{ role: "system", content: settings.system }, ...messages];
  for (const name of ["temperature", "top_p"]) if (settings[name] !== "") body[name] = Number(settings[name]);
  for (const name of ["max_tokens", "seed"]) if (settings[name] !== "") body[name] = Math.trunc(Number(settings[name]));
  if (settings.scores) Object.assign(body, { logprobs: true, top_logprobs: kTopScores });
  if (about.thinks && settings.thinking !== "auto") {
    body.thinking = { type: settings.thinking === "on" ? "enabled" : "disabled" };
  }
  return body;
}

// Adds a chunk to the message that is being written.
function take(node, chunk) {
  if (chunk.usage) node.usage = chunk.usage;
  const choice = chunk.choices[0];
  if (!choice) return;
  const { content = "", reasoning_content: reasoning = "" } = choice.delta;
  if (content || reasoning || choice.logprobs) {
    node.times.first ??= performance.now();
    node.times.last = performance.now();
  }
  node.content += content;
  if (reasoning) node.reasoning = (node.reasoning ?? "") + reasoning;
  // Of the answer, not of the thought before it.
  if (choice.logprobs?.content && !reasoning) (node.scores ??= []).push(...choice.logprobs.content.map(keptScore));
  if (choice.finish_reason) node.finish = choice.finish_reason;
}

/** `app`: settings, about, changed(conversation), announce(text). */
export class ChatView {
  constructor(app) {
    this.app = app;
    this.conversation = null;
    this.views = new Map();
    this.runs = new Map();  // by conversation, one answer at a time: {node, controller, frame}
    this.build();
  }

  get running() {
    return this.runs.get(this.conversation) ?? null;
  }

  build() {
    this.log = h("div", { class: "log", role: "log", "aria-label": t("chat.log"), "aria-live": "polite", tabindex: "-1" });
    this.scroller = h("div", { class: "scroller", onscroll: () => this.followScroll() }, this.log);
    this.latest = iconButton("down", t("chat.latest"), () => this.toLatest(), { class: "icon-button latest", hidden: true });
    this.input = h("textarea", {
      id: "message-box", rows: "1", placeholder: t("chat.placeholder"), "aria-label": t("chat.message"), "aria-describedby": "message-hint",
      oninput: () => this.grow(), onkeydown: (event) => this.key(event),
    });
    this.button = h("button", { type: "button", class: "send", onclick: () => (this.running ? this.stop() : this.sendInput()) });
    const bar = h("div", { class: "composer" }, this.input, this.button);
    const hint = h("div", { class: "hint", id: "message-hint" }, t("chat.hint"));
    this.follows = true;
    this.element = h("section", { class: "chat", id: "view-chat", "aria-label": t("app.chat"), onkeydown: (event) => {
      if (event.key === "Escape" && this.running) this.stop();
    } }, this.scroller, h("div", { class: "dock" }, this.latest, bar, hint));
    this.updateButton();
  }

  /** In another language: the same conversation, what is typed kept. */
  rebuild() {
    const typed = this.input.value;
    this.build();
    this.input.value = typed;
    this.show(this.conversation);
  }

  show(conversation) {
    this.conversation = conversation;
    this.views.clear();
    this.log.replaceChildren();
    const nodes = path(conversation);
    this.element.classList.toggle("empty", nodes.length === 0);
    if (nodes.length === 0) this.log.append(this.greeting());
    for (const node of nodes) this.addView(node);
    this.updateButton();
    this.toLatest();
    this.grow();
  }

  addView(node) {
    const view = new MessageView(this.conversation, node, {
      edit: (old, text) => this.send(text, old.parent),
      retry: (old) => this.answer(old.parent),
      choose: (other) => {
        choose(this.conversation, other);
        this.app.changed(this.conversation);
        this.show(this.conversation);
        this.views.get(other)?.element.querySelector(".versions button:not(:disabled)")?.focus();
      },
    });
    this.views.set(node, view);
    this.log.append(view.element);
    if (this.running?.node === node) view.update(true);
  }

  greeting() {
    const example = (text) => h("button", { type: "button", class: "example", onclick: () => {
      this.input.value = text;
      this.grow();
      this.input.focus();
    } }, text);
    return h("div", { class: "greeting" }, h("h1", {}, t("chat.hello")),
      h("p", { class: "muted" }, t("chat.local", { model: this.app.about.model })),
      h("div", { class: "examples" }, ["chat.example1", "chat.example2", "chat.example3"].map((key) => example(t(key)))));
  }

  key(event) {
    // Enter also ends the choice of a character in an input method: that sends nothing.
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    this.sendInput();
  }

  sendInput() {
    const text = this.input.value.trim();
    if (text === "" || this.running) return;
    this.input.value = "";
    this.grow();
    this.send(text, this.conversation.leaf);
  }

  send(text, parent) {
    if (this.running) this.stop();
    const node = addNode(this.conversation, parent, "user", text);
    this.answer(node.id);
  }

  stop() {
    this.running?.controller.abort();
  }

  /** A new answer to the message `parent`. */
  async answer(parent) {
    if (this.running) this.stop();
    const { app, conversation } = this;
    conversation.leaf = parent;
    const messages = path(conversation).map(({ role, content }) => ({ role, content }));
    const node = addNode(conversation, parent, "assistant", "");
    node.model = app.settings.model || app.about.model;
    node.times = { sent: performance.now() };
    const running = { node, controller: new AbortController(), frame: 0 };
    this.runs.set(conversation, running);
    app.changed(conversation);
    this.show(conversation);
    this.input.focus();
    try {
      const body = requestBody(app.settings, app.about, messages);
      for await (const chunk of streamChat(body, running.controller.signal)) {
        take(node, chunk);
        this.refresh(running);
      }
      app.announce(t("chat.done", { tokens: node.usage?.completion_tokens ?? 0 }));
    } catch (error) {
      this.failed(running, error);
    }
    if (this.runs.get(conversation) === running) this.runs.delete(conversation);
    cancelAnimationFrame(running.frame);
    if (app.conversations.includes(conversation)) app.changed(conversation);
    this.views.get(node)?.update();
    this.updateButton();
    this.keepAtEnd();
  }

  failed(running, error) {
    const { node } = running;
    if (running.controller.signal.aborted) {
      node.finish = "stopped";
      this.app.announce(t("chat.stopped"));
      return;
    }
    node.finish = "error";
    node.busy = error.status === 429 || error.status === 503;
    node.error = error instanceof TypeError ? t("app.offline") : error.message;
  }

  // At most once a frame, however fast tokens come.
  refresh(running) {
    if (running.frame) return;
    running.frame = requestAnimationFrame(() => {
      running.frame = 0;
      this.views.get(running.node)?.update(true);
      this.keepAtEnd();
    });
  }

  updateButton() {
    const busy = this.running !== null;
    const label = busy ? t("chat.stop") : t("chat.send");
    this.button.classList.toggle("busy", busy);
    this.button.setAttribute("aria-label", label);
    this.button.title = label;
    this.button.replaceChildren(icon(busy ? "stop" : "send"));
  }

  enter() {
    this.grow();
    this.toLatest();
  }

  grow() {
    if (!this.input.isConnected) return;
    this.input.style.height = "auto";
    this.input.style.height = `${Math.min(this.input.scrollHeight, 240)}px`;
  }

  followScroll() {
    const { scrollHeight, scrollTop, clientHeight } = this.scroller;
    this.follows = scrollHeight - scrollTop - clientHeight < 48;
    this.latest.hidden = this.follows;
  }

  keepAtEnd() {
    if (this.follows) this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  toLatest() {
    this.follows = true;
    this.latest.hidden = true;
    this.scroller.scrollTop = this.scroller.scrollHeight;
  }

  exportCurrent() {
    download("conversation.json", exported([this.conversation])[0]);
  }
}
