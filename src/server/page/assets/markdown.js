// A small, safe part of Markdown: code, headings, lists, quotes, tables, bold, italic, links. Built from text nodes;
// anything that is not understood stays as it was written.

import { h, iconButton } from "./dom.js";
import { t } from "./texts.js";

// Code first: nothing inside it means anything. A link must say http or https.
const kInline =
  /(`{1,3})(?!`)(.+?)\1(?!`)|\*\*(?=\S)(.+?)(?<=\S)\*\*|(?<![\w*])\*(?=[^\s*])(.+?)(?<=[^\s*])\*(?![\w*])|\[([^\]\n]+)\]\((https?:\/\/[^\s()<>]+)\)/s;

export function inline(text) {
  const parts = [];
  for (let rest = text; rest !== ""; ) {
    const found = kInline.exec(rest);
    if (!found) {
      parts.push(rest);
      break;
    }
    const [whole, , code, bold, italic, label, address] = found;
    if (found.index > 0) parts.push(rest.slice(0, found.index));
    if (code !== undefined) parts.push(h("code", {}, code.replace(/^ (.*) $/s, "$1")));
    else if (bold !== undefined) parts.push(h("strong", {}, inline(bold)));
    else if (italic !== undefined) parts.push(h("em", {}, inline(italic)));
    else parts.push(h("a", { href: address, target: "_blank", rel: "noopener noreferrer", title: address }, label));
    rest = rest.slice(found.index + whole.length);
  }
  return parts;
}

const kFence = /^ {0,3}(`{3,}|~{3,})\s*([\w+#.-]*)/;
const kItem = /^(\s*)([-*+]|\d{1,9}[.)])\s+(.*)$/;
const kHeading = /^ {0,3}(#{1,6})\s+(.*?)\s*#*$/;
const kRule = /^ {0,3}([-*_])(\s*\1){2,}\s*$/;
const kTableRule = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;

const isTable = (lines, i) =>
  lines[i].includes("|") && i + 1 < lines.length && lines[i + 1].includes("-") && kTableRule.test(lines[i + 1]);

const startsBlock = (lines, i) =>
  kFence.test(lines[i]) || kItem.test(lines[i]) || kHeading.test(lines[i]) || kRule.test(lines[i]) ||
  lines[i].startsWith(">") || isTable(lines, i);

/** Sources of the blocks, in order. Text that grows changes only the last ones. */
export function blocks(text) {
  const lines = text.split("\n");
  const found = [];
  let i = 0;
  const take = (end) => {
    found.push(lines.slice(i, end).join("\n"));
    i = end;
  };
  while (i < lines.length) {
    const fence = kFence.exec(lines[i]);
    let end = i + 1;
    if (lines[i].trim() === "") {
      i = end;
    } else if (fence) {
      const close = new RegExp(`^ {0,3}${fence[1][0]}{${fence[1].length},}\\s*$`);
      while (end < lines.length && !close.test(lines[end])) ++end;
      take(Math.min(end + 1, lines.length));
    } else if (kItem.test(lines[i])) {
      const inside = (line, next) =>
        kItem.test(line) || /^\s+\S/.test(line) || (line.trim() === "" && next !== undefined && /^(\s+\S|[-*+]\s|\d+[.)]\s)/.test(next));
      while (end < lines.length && inside(lines[end], lines[end + 1])) ++end;
      take(end);
    } else if (lines[i].startsWith(">")) {
      while (end < lines.length && lines[end].startsWith(">")) ++end;
      take(end);
    } else if (isTable(lines, i)) {
      while (end < lines.length && lines[end].includes("|")) ++end;
      take(end);
    } else if (kHeading.test(lines[i]) || kRule.test(lines[i])) {
      take(end);
    } else {
      while (end < lines.length && lines[end].trim() !== "" && !startsBlock(lines, end)) ++end;
      take(end);
    }
  }
  return found;
}

export async function copyText(text, button) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Browsers keep the clipboard from pages that are not served securely; the old way works there.
    const area = h("textarea", { class: "unseen", value: text });
    (button.closest("dialog") ?? document.body).append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    button.focus();
  }
  button.classList.add("done");
  setTimeout(() => button.classList.remove("done"), 1500);
}

function codeBlock(source) {
  const lines = source.split("\n");
  const [, mark, language] = kFence.exec(lines[0]);
  const closed = lines.length > 1 && lines.at(-1).trim().startsWith(mark);
  const code = lines.slice(1, closed ? -1 : undefined).join("\n");
  const copy = iconButton("copy", t("chat.copy"), () => copyText(code, copy));
  return h("div", { class: "code" }, h("div", { class: "code-head" }, h("span", {}, language), copy),
    h("pre", { tabindex: "0" }, h("code", {}, code)));
}

// Items by indentation: what is deeper belongs to the item before.
function list(lines, from, depth) {
  const first = kItem.exec(lines[from]);
  const ordered = /\d/.test(first[2]);
  const element = h(ordered ? "ol" : "ul", ordered && parseInt(first[2], 10) !== 1 ? { start: parseInt(first[2], 10) } : {});
  let i = from;
  while (i < lines.length) {
    const item = kItem.exec(lines[i]);
    const indent = item ? item[1].length : Infinity;
    if (item && indent < depth) break;
    if (item && indent < depth + 2) {
      if (/\d/.test(item[2]) !== ordered) break;
      element.append(h("li", {}, inline(item[3])));
      ++i;
    } else if (item) {
      const inner = list(lines, i, indent);
      element.lastChild.append(inner.element);
      i = inner.end;
    } else {
      if (lines[i].trim() !== "") element.lastChild.append(" ", ...inline(lines[i].trim()));
      ++i;
    }
  }
  return { element, end: i };
}

function lists(source) {
  const lines = source.split("\n");
  const parts = [];
  for (let i = 0; i < lines.length; ) {
    const found = list(lines, i, kItem.exec(lines[i])[1].length);
    parts.push(found.element);
    i = found.end;
  }
  return parts.length === 1 ? parts[0] : h("div", {}, parts);
}

function table(source) {
  const cells = (line) => line.trim().replace(/^\||\|$/g, "").split("|").map((cell) => cell.trim());
  const [head, , ...rows] = source.split("\n");
  return h("div", { class: "table", tabindex: "0" }, h("table", {},
    h("thead", {}, h("tr", {}, cells(head).map((cell) => h("th", { scope: "col" }, inline(cell))))),
    h("tbody", {}, rows.map((row) => h("tr", {}, cells(row).map((cell) => h("td", {}, inline(cell))))))));
}

function lineBreaks(text) {
  return text.split("\n").flatMap((line, i) => (i > 0 ? [h("br"), ...inline(line)] : inline(line)));
}

const kDeepest = 6;  // quotes in quotes

function block(source, depth) {
  const first = source.split("\n", 1)[0];
  const heading = kHeading.exec(first);
  if (kFence.test(first)) return codeBlock(source);
  if (heading) return h(`h${Math.min(6, heading[1].length + 2)}`, {}, inline(heading[2]));
  if (kRule.test(first)) return h("hr");
  if (kItem.test(first)) return lists(source);
  if (first.startsWith(">") && depth < kDeepest) {
    const quote = h("blockquote");
    showMarkdown(quote, source.replace(/^>\s?/gm, ""), depth + 1);
    return quote;
  }
  if (isTable(source.split("\n"), 0)) return table(source);
  return h("p", {}, lineBreaks(source));
}

/** Shows `text` in `element`; blocks that are there already stay, so that selections and scrolling do. */
export function showMarkdown(element, text, depth = 0) {
  const sources = blocks(text);
  sources.forEach((source, i) => {
    const old = element.children[i];
    if (old?.markdownSource === source) return;
    const fresh = block(source, depth);
    fresh.markdownSource = source;
    if (old) old.replaceWith(fresh);
    else element.append(fresh);
  });
  while (element.children.length > sources.length) element.lastChild.remove();
}
