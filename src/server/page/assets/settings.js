// How answers are asked for. An empty field leaves it to the model's makers; what the server would do is shown in it.

import { h, iconButton } from "./dom.js";
import { emptySettings, modelSettings, saveSettings } from "./store.js";
import { t } from "./texts.js";

const tidy = (value) => String(Number(value.toFixed(4)));

/** A dialog. `app`: settings, about. */
export function settingsDialog(app) {
  const { settings, about } = app;
  const change = (name, value) => {
    settings[name] = value;
    saveSettings(settings);
  };
  const row = (name, label, hint, control) => {
    control.id = `set-${name}`;
    if (hint) control.setAttribute("aria-describedby", `hint-${name}`);
    return h("div", { class: "field" }, h("label", { for: control.id }, label), control,
      hint && h("div", { class: "hint", id: `hint-${name}` }, hint));
  };
  const number = (name, label, hint, limits, own) => {
    const input = h("input", { type: "number", inputmode: "decimal", ...limits, value: settings[name],
      placeholder: own === undefined ? "" : t("set.default", { value: tidy(own) }) });
    // What is out of range is not kept: the server would refuse it.
    input.addEventListener("input", () => {
      const good = input.validity.valid;
      input.setAttribute("aria-invalid", String(!good));
      if (good) change(name, input.value);
    });
    return row(name, label, hint, input);
  };
  const select = (name, label, hint, options) => {
    const chosen = options.some(([value]) => value === settings[name]) ? settings[name] : options[0][0];
    const control = h("select", { onchange: () => change(name, control.value) },
      options.map(([value, text]) => h("option", { value, selected: value === chosen }, text)));
    return row(name, label, hint, control);
  };
  const system = h("textarea", { rows: "3", placeholder: t("set.systemHint"), value: settings.system,
    oninput: () => change("system", system.value) });
  const scores = h("input", { type: "checkbox", checked: settings.scores, onchange: () => change("scores", scores.checked) });
  scores.checked = settings.scores;

  const dialog = h("dialog", { class: "drawer settings", "aria-labelledby": "settings-title", onclose: () => dialog.remove(),
    onclick: (event) => event.target === dialog && dialog.close() });
  const reset = () => {
    for (const name of modelSettings) change(name, emptySettings[name]);
    dialog.replaceChildren(...settingsDialog(app).children);
    dialog.querySelector(".reset").focus();
  };
  dialog.append(
    h("header", {}, h("h2", { id: "settings-title" }, t("set.title")), iconButton("close", t("app.close"), (event) => event.target.closest("dialog").close())),
    h("div", { class: "fields" },
      select("model", t("set.model"), null, about.names.map((name) => [name === about.model ? "" : name, name])),
      row("system", t("set.system"), null, system),
      number("temperature", t("set.temperature"), t("set.temperatureHint"), { min: 0, max: 100, step: "any" }, about.defaults.temperature),
      number("top_p", t("set.topP"), t("set.topPHint"), { min: 0, max: 1, step: "any" }, about.defaults.top_p),
      number("max_tokens", t("set.maxTokens"), t("set.maxTokensHint", { context: about.context }), { min: 1, max: about.context, step: 1 }),
      number("seed", t("set.seed"), t("set.seedHint"), { min: 0, max: Number.MAX_SAFE_INTEGER, step: 1 }),
      about.thinks && select("thinking", t("set.thinking"), null,
        [["auto", t("set.thinkingAuto")], ["on", t("set.thinkingOn")], ["off", t("set.thinkingOff")]]),
      h("div", { class: "field switch" }, (scores.id = "set-scores", scores), h("label", { for: "set-scores" }, t("set.scores")),
        h("div", { class: "hint" }, t("set.scoresHint"))),
      h("button", { type: "button", class: "reset", onclick: reset }, t("set.reset"))));
  return dialog;
}
