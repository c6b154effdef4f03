// What the page asks of its server, and of nobody else. The key lives in the tab's sessionStorage and travels in a
// header, never in an address.

const kKey = "autoglm.key";

export class ApiError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export function hasKey() {
  return sessionStorage.getItem(kKey) !== null;
}

export function forgetKey() {
  sessionStorage.removeItem(kKey);
  location.reload();
}

async function failure(response) {
  let message = `${response.status}`;
  try {
    const { error } = await response.json();
    message = error.message ?? String(error);
  } catch {
    // No JSON: the status says what is known.
  }
  return new ApiError(response.status, message);
}

/** `path` is relative to the page, so that a proxy may put the server under a prefix. */
export async function request(path, options = {}) {
  const key = sessionStorage.getItem(kKey);
  const headers = { ...options.headers };
  if (key !== null) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(new URL(path, document.baseURI), { ...options, headers, cache: "no-store" });
  if (response.status === 401) forgetKey();
  if (!response.ok) throw await failure(response);
  return response;
}

export async function getJson(path) {
  return (await request(path)).json();
}

/** The chunks of a streamed chat completion. */
export async function* streamChat(body, signal) {
  const response = await request("v1/chat/completions", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...body, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) throw new ApiError(0, "the stream ended early");
    const events = (held + value).split("\n\n");
    held = events.pop();
    for (const event of events) {
      if (!event.startsWith("data: ")) continue;
      const data = event.slice("data: ".length);
      if (data === "[DONE]") return;
      const chunk = JSON.parse(data);
      if (chunk.error) throw new ApiError(0, chunk.error.message);
      yield chunk;
    }
  }
}
