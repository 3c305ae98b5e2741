// Requests to the service.

let token = "";

export function setToken(value) {
  token = value.trim();
}

function headers(more = {}) {
  return token ? { Authorization: `Bearer ${token}`, ...more } : more;
}

async function read(response) {
  if (response.ok) return response.json();
  let detail = `status ${response.status}`;
  try {
    detail = (await response.json()).detail;
  } catch { /* an answer of another program, such as a proxy */ }
  const error = new Error(detail);
  error.status = response.status;
  error.retryAfter = Number(response.headers.get("Retry-After")) || null;
  throw error;
}

export async function getJson(path) {
  return read(await fetch(path, { headers: headers() }));
}

/** The people of one image file; waits and tries again while the service is busy. */
export async function findPeople(file, options) {
  const query = new URLSearchParams(Object.entries(options).filter(([, value]) => value !== ""));
  for (let attempt = 0; ; attempt++) {
    const request = { method: "POST", body: file, headers: headers({ "Content-Type": "application/octet-stream" }) };
    try {
      return await read(await fetch(`v1/poses?${query}`, request));
    } catch (error) {
      if (!error.retryAfter || attempt === 10) throw error;
      await new Promise((resolve) => setTimeout(resolve, 1000 * error.retryAfter));
    }
  }
}

/** A stream of frames: `ask(blob)` gives the answer to one frame. */
export async function openStream(options) {
  const url = new URL("v1/stream", location.href);
  url.protocol = url.protocol.replace("http", "ws");
  const socket = new WebSocket(url);
  const answers = [];
  socket.onmessage = (event) => answers.shift()?.resolve(JSON.parse(event.data));
  const fail = (event) => {
    for (const waiting of answers.splice(0)) waiting.reject(new Error(event.reason || "the connection was closed"));
  };
  socket.onclose = fail;
  const next = () => new Promise((resolve, reject) => answers.push({ resolve, reject }));
  const opened = next();
  const given = Object.fromEntries(Object.entries({ ...options, token }).filter(([, value]) => value !== ""));
  socket.onopen = () => socket.send(JSON.stringify(given));
  await opened;
  return {
    ask(blob) {
      if (socket.readyState !== WebSocket.OPEN) return Promise.reject(new Error("the connection was closed"));
      const answer = next();
      socket.send(blob);
      return answer;
    },
    close: () => socket.close(),
  };
}
