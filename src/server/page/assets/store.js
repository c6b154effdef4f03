// Conversations and settings, kept in this browser. A conversation is a tree: editing a message or answering again adds
// a sibling, so that nothing is lost; `leaf` says which branch is shown.

const kPrefix = "autoglm.chat.";
const kSettings = "autoglm.settings";

const storage = (() => {
  try {
    localStorage.setItem("autoglm.probe", "1");
    localStorage.removeItem("autoglm.probe");
    return localStorage;
  } catch {
    // Cookies are blocked: everything lives as long as the page.
    const map = new Map();
    return {
      get length() { return map.size; },
      key: (i) => [...map.keys()][i],
      getItem: (key) => map.get(key) ?? null,
      setItem: (key, value) => map.set(key, value),
      removeItem: (key) => map.delete(key),
    };
  }
})();

const kEmptySettings = {
  model: "", system: "", temperature: "", top_p: "", max_tokens: "", seed: "", thinking: "auto", scores: false,
  theme: "auto", language: null,
};

function parsed(text) {
  try {
    const value = JSON.parse(text);
    return value !== null && typeof value === "object" ? value : null;
  } catch {
    return null;
  }
}

export function loadSettings() {
  return { ...kEmptySettings, ...parsed(storage.getItem(kSettings)) };
}

export function saveSettings(settings) {
  try {
    storage.setItem(kSettings, JSON.stringify(settings));
  } catch {
    // Full storage: settings last as long as the page, and saving a conversation says that it is full.
  }
}

export const modelSettings = ["model", "system", "temperature", "top_p", "max_tokens", "seed", "thinking", "scores"];
export const emptySettings = kEmptySettings;

/** The newest first. What cannot be read is left alone. */
export function loadConversations() {
  const found = [];
  for (let i = 0; i < storage.length; ++i) {
    const key = storage.key(i);
    const value = key.startsWith(kPrefix) ? parsed(storage.getItem(key)) : null;
    if (value?.nodes && typeof value.id === "string") found.push(value);
  }
  return found.sort((a, b) => b.updated - a.updated);
}

function written(conversation, withScores) {
  const plain = (key, value) => (key === "scores" && !withScores ? undefined : value);
  storage.setItem(kPrefix + conversation.id, JSON.stringify(conversation, plain));
}

/** False: there is no room. Probabilities, which are most of a conversation, are given up first. */
export function save(conversation) {
  for (const withScores of [true, false]) {
    try {
      written(conversation, withScores);
      return true;
    } catch {
      // Once more without them.
    }
  }
  return false;
}

export function remove(conversation) {
  storage.removeItem(kPrefix + conversation.id);
}

export function newConversation() {
  const id = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  return { id, title: "", created: Date.now(), updated: Date.now(), count: 0, leaf: null, nodes: {} };
}

export function addNode(conversation, parent, role, content) {
  const node = { id: `m${++conversation.count}`, parent, role, content };
  conversation.nodes[node.id] = node;
  conversation.leaf = node.id;
  conversation.updated = Date.now();
  if (conversation.title === "" && role === "user") conversation.title = content.trim().split("\n", 1)[0].slice(0, 60);
  return node;
}

/** From the first message to the leaf. */
export function path(conversation) {
  const nodes = [];
  for (let node = conversation.nodes[conversation.leaf]; node; node = conversation.nodes[node.parent]) nodes.unshift(node);
  return nodes;
}

export function siblings(conversation, node) {
  return Object.values(conversation.nodes).filter((other) => other.parent === node.parent);
}

/** Shows the branch through `node`: the newest one below it. */
export function choose(conversation, node) {
  let last = node;
  for (;;) {
    const next = Object.values(conversation.nodes).filter((other) => other.parent === last.id).at(-1);
    if (!next) break;
    last = next;
  }
  conversation.leaf = last.id;
}

/** As a file of messages that other programs can read. */
export function exported(conversations) {
  return conversations.map((conversation) => ({
    title: conversation.title,
    created: new Date(conversation.created).toISOString(),
    updated: new Date(conversation.updated).toISOString(),
    messages: path(conversation).map(({ role, content, reasoning, model, usage }) => ({
      role, content, ...(reasoning ? { reasoning_content: reasoning } : {}), ...(model ? { model } : {}), ...(usage ? { usage } : {}),
    })),
    tree: conversation.nodes,
  }));
}

export function download(name, value) {
  saveFile(name, new Blob([JSON.stringify(value, null, 2)], { type: "application/json" }));
}

export function saveFile(name, blob) {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000);
}
