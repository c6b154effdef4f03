// Asks for the key, fetches the page's files with it, and runs them from memory: a browser on its own would ask for
// them without the key. Imports are rewritten to where the files lie then.
const kKey = "autoglm.key";
const field = document.getElementById("key");
const wrong = document.getElementById("wrong");

if (navigator.language.toLowerCase().startsWith("zh")) {
  document.documentElement.lang = "zh-CN";
  for (const element of document.querySelectorAll("[data-zh]")) element.textContent = element.dataset.zh;
}

async function fetched(name, key) {
  const response = await fetch(new URL(`page/${name}`, document.baseURI), { headers: { Authorization: `Bearer ${key}` }, cache: "no-store" });
  if (!response.ok) throw new Error(String(response.status));
  return response.text();
}

const inMemory = (text, type) => URL.createObjectURL(new Blob([text], { type }));

const modules = new Map();
function loaded(name, key) {
  if (!modules.has(name)) modules.set(name, load(name, key));
  return modules.get(name);
}
async function load(name, key) {
  let text = await fetched(name, key);
  for (const [, other] of text.matchAll(/^import .* from "\.\/([\w.]+)";$/gm)) {
    text = text.replace(`"./${other}"`, `"${await loaded(other, key)}"`);
  }
  return inMemory(text, "text/javascript");
}

async function style(name, key) {
  const link = document.createElement("link");
  link.rel = "stylesheet";
  link.href = inMemory(await fetched(name, key), "text/css");
  document.head.append(link);
}

async function open(key) {
  const main = await loaded("main.js", key);
  await Promise.all([style("app.css", key), style("views.css", key)]);
  sessionStorage.setItem(kKey, key);
  document.querySelector("style").remove();
  const { start } = await import(main);
  await start();
}

async function tryKey(key) {
  try {
    await open(key);
  } catch {
    modules.clear();
    sessionStorage.removeItem(kKey);
    wrong.hidden = false;
    field.select();
    field.focus();
  }
}

document.getElementById("form").addEventListener("submit", (event) => {
  event.preventDefault();
  wrong.hidden = true;
  tryKey(field.value.trim());
});
const kept = sessionStorage.getItem(kKey);
if (kept !== null) tryKey(kept);
