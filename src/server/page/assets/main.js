// The frame: conversations at the side, views in tabs, language and colours.

import { forgetKey, getJson, hasKey } from "./api.js";
import { ChatView } from "./chat.js";
import { Dashboard } from "./dashboard.js";
import { h, icon, iconButton } from "./dom.js";
import { settingsDialog } from "./settings.js";
import { download, exported, loadConversations, loadSettings, newConversation, remove, save, saveSettings } from "./store.js";
import { currentLanguage, setLanguage, t } from "./texts.js";
import { Timeline } from "./timeline.js";

const kThemes = ["auto", "light", "dark"];
const kThemeIcons = { auto: "auto", light: "sun", dark: "moon" };

class App {
  constructor(about) {
    this.about = about;
    this.settings = loadSettings();
    if (!about.names.includes(this.settings.model)) this.settings.model = "";
    this.conversations = loadConversations();
    this.current = newConversation();
    this.tab = "chat";
    setLanguage(this.settings.language);
    this.applyTheme();
    this.chat = new ChatView(this);
    this.build();
    this.chat.show(this.current);
    this.select("chat");
  }

  // --- what views call ---
  changed(conversation) {
    if (!this.conversations.includes(conversation)) this.conversations.unshift(conversation);
    this.conversations.sort((a, b) => b.updated - a.updated);
    if (!save(conversation)) this.announce(t("list.full"), true);
    this.fillList();
  }

  /** For those who hear the page; `shown`: for everybody, for a while, with something to do about it. */
  announce(text, shown = false, action = null) {
    this.status.textContent = text;
    if (!shown) return;
    this.toast.replaceChildren(h("span", {}, text), ...(action ? [action] : []));
    this.toast.hidden = false;
    clearTimeout(this.toastTimer);
    this.toastTimer = setTimeout(() => (this.toast.hidden = true), 6000);
  }

  // --- frame ---
  build() {
    this.views = { chat: this.chat, dashboard: new Dashboard(), timeline: new Timeline() };
    this.status = h("div", { class: "unseen", role: "status", id: "status" });
    this.toast = h("div", { class: "toast", hidden: true });
    this.main = h("main", { id: "main" });
    document.body.replaceChildren(
      h("a", { class: "skip", href: "#message-box", onclick: (event) => {
        event.preventDefault();
        this.select("chat");
        this.chat.input.focus();
      } }, t("app.skip")),
      h("div", { class: "frame" }, this.buildSide(), h("div", { class: "shade", onclick: () => this.toggleSide(false) }),
        h("div", { class: "content" }, this.buildBar(), this.main)),
      this.toast, this.status);
    this.fillList();
  }

  buildBar() {
    const names = { chat: "app.chat", dashboard: "app.dashboard", timeline: "app.timeline" };
    this.tabs = Object.fromEntries(Object.entries(names).map(([name, key]) => [name,
      h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `view-${name}`, onclick: () => this.select(name) }, t(key))]));
    const order = Object.keys(names);
    const list = h("div", { class: "tabs", role: "tablist", "aria-label": t("app.tabs"), onkeydown: (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!step) return;
      this.select(order[(order.indexOf(this.tab) + step + order.length) % order.length]);
      this.tabs[this.tab].focus();
    } }, Object.values(this.tabs));
    this.themeButton = iconButton(kThemeIcons[this.settings.theme], t(`app.theme.${this.settings.theme}`), () => this.nextTheme(), { id: "theme" });
    return h("header", { class: "bar" },
      iconButton("menu", t("app.menu"), () => this.toggleSide(), { class: "icon-button menu", id: "menu", "aria-expanded": "false" }), list,
      h("div", { class: "bar-end" },
        h("span", { class: "model", title: this.about.model }, this.about.model),
        hasKey() && iconButton("lock", t("app.forgetKey"), forgetKey, { id: "forget" }),
        h("button", { type: "button", class: "icon-button", id: "language", lang: currentLanguage() === "en" ? "zh-CN" : "en",
          "aria-label": t("app.language"), title: t("app.language"), onclick: () => this.nextLanguage() }, currentLanguage() === "en" ? "中" : "EN"),
        this.themeButton,
        iconButton("settings", t("set.title"), () => this.openSettings(), { id: "settings" })));
  }

  buildSide() {
    this.list = h("ul", { class: "conversations" });
    this.side = h("nav", { class: "side", "aria-label": t("app.menu"), onkeydown: (event) => event.key === "Escape" && this.toggleSide(false) },
      h("div", { class: "brand" }, h("span", { class: "logo", "aria-hidden": "true" }, "A"), "AutoGLM"),
      h("button", { type: "button", class: "new", id: "new-chat", onclick: () => this.open(newConversation()) }, icon("plus"), t("list.new")),
      this.list,
      h("div", { class: "side-end" },
        h("button", { type: "button", class: "quiet", id: "export-one", onclick: () => this.chat.exportCurrent() }, icon("save"), t("list.exportOne")),
        h("button", { type: "button", class: "quiet", id: "export", onclick: () => download("conversations.json", exported(this.conversations)) }, icon("save"), t("list.export"))));
    return this.side;
  }

  fillList() {
    const item = (conversation) => {
      const title = conversation.title || t("list.untitled");
      return h("li", {},
        h("button", { type: "button", class: "conversation", "aria-current": conversation === this.current ? "true" : null,
          onclick: () => this.open(conversation) }, title),
        iconButton("trash", t("list.delete", { title }), () => this.delete(conversation)));
    };
    this.list.replaceChildren(...(this.conversations.length > 0 ? this.conversations.map(item)
      : [h("li", { class: "muted none" }, t("list.empty"))]));
  }

  open(conversation) {
    this.current = conversation;
    this.chat.show(conversation);
    this.fillList();
    this.toggleSide(false);
    this.select("chat");
    this.chat.input.focus();
  }

  delete(conversation) {
    this.chat.runs.get(conversation)?.controller.abort();
    remove(conversation);
    this.conversations = this.conversations.filter((other) => other !== conversation);
    if (this.current === conversation) {
      this.current = newConversation();
      this.chat.show(this.current);
    }
    this.fillList();
    const undo = h("button", { type: "button", onclick: () => {
      this.toast.hidden = true;
      this.changed(conversation);
      this.open(conversation);
    } }, t("list.undo"));
    this.announce(t("list.deleted"), true, undo);
    document.getElementById("new-chat").focus();
  }

  toggleSide(open = !document.body.classList.contains("side-open")) {
    document.body.classList.toggle("side-open", open);
    document.getElementById("menu").setAttribute("aria-expanded", String(open));
    if (open) document.getElementById("new-chat").focus();
  }

  select(name) {
    this.tab = name;
    for (const [other, tab] of Object.entries(this.tabs)) {
      tab.setAttribute("aria-selected", String(other === name));
      tab.tabIndex = other === name ? 0 : -1;
      if (other !== name) this.views[other].leave?.();
    }
    const { element } = this.views[name];
    element.setAttribute("role", "tabpanel");
    element.setAttribute("aria-labelledby", `tab-${name}`);
    this.main.replaceChildren(element);
    this.views[name].enter?.();
  }

  openSettings() {
    const dialog = settingsDialog(this);
    document.body.append(dialog);
    dialog.showModal();
  }

  applyTheme() {
    const { theme } = this.settings;
    if (theme === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
  }

  nextTheme() {
    this.settings.theme = kThemes[(kThemes.indexOf(this.settings.theme) + 1) % kThemes.length];
    saveSettings(this.settings);
    this.applyTheme();
    const label = t(`app.theme.${this.settings.theme}`);
    this.themeButton.replaceChildren(icon(kThemeIcons[this.settings.theme]));
    this.themeButton.setAttribute("aria-label", label);
    this.themeButton.title = label;
    this.announce(label);
  }

  nextLanguage() {
    this.settings.language = currentLanguage() === "en" ? "zh" : "en";
    saveSettings(this.settings);
    setLanguage(this.settings.language);
    const { tab } = this;
    for (const view of Object.values(this.views)) view.leave?.();
    this.chat.rebuild();
    this.build();
    this.select(tab);
    document.getElementById("language").focus();
  }
}

/** Asks the server what it serves, and shows the page. */
export async function start() {
  setLanguage(loadSettings().language);
  try {
    const app = new App(await getJson("page/about"));
    app.chat.input.focus();
  } catch (error) {
    document.body.replaceChildren(h("p", { class: "dead", role: "alert" }, t("app.offline"), " ", error.message));
  }
}
