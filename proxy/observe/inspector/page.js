"use strict";

// Everything that comes over the wire is somebody else's text: it is shown by textContent, and never becomes markup.

const HERE = location.origin + "/-/"; // without the user and password that the address may hold
const MOST = 500; // rows
const AGAIN = 2000; // milliseconds until the next try when the proxy is away
const LOOK = 5000; // milliseconds between two looks at the proxy's state

const $ = (id) => document.getElementById(id);
const requests = new Map(); // by id, the oldest first
const rows = new Map(); // by id
let chosen = null; // the id of the request whose details are shown
let paused = false;
let waiting = new Map(); // what came while paused, by id
let dropped = 0;
let fresh = false; // the feed has just begun, and is about to tell all that is under way
let status = null; // the last that the proxy said of itself, and when
let away = "connecting";

// Making elements.

function element(name, classes, ...content) {
  const made = document.createElement(name);
  if (classes) made.className = classes;
  made.append(...content.filter((item) => item !== null && item !== "").map(asNode));
  return made;
}

function asNode(item) {
  return item instanceof Node ? item : document.createTextNode(String(item));
}

function button(text, act) {
  const made = element("button", "", text);
  made.type = "button";
  made.addEventListener("click", act);
  return made;
}

// Numbers for people.

function duration(ms) {
  if (ms < 1) return ms.toFixed(2) + " ms";
  if (ms < 100) return ms.toFixed(1) + " ms";
  if (ms < 10000) return Math.round(ms) + " ms";
  return span(ms / 1000);
}

function span(seconds) {
  const s = Math.max(0, Math.round(seconds));
  if (s < 120) return s + " s";
  const m = Math.floor(s / 60);
  if (m < 120) return m + " min";
  const h = Math.floor(m / 60);
  return h < 48 ? h + " h " + (m % 60) + " min" : Math.floor(h / 24) + " days";
}

function bytes(count) {
  if (count < 1024) return count + " B";
  if (count < 1048576) return (count / 1024).toFixed(1) + " KiB";
  if (count < 1073741824) return (count / 1048576).toFixed(1) + " MiB";
  return (count / 1073741824).toFixed(2) + " GiB";
}

function clock(ms) {
  const t = new Date(ms);
  const two = (n) => String(n).padStart(2, "0");
  return `${two(t.getHours())}:${two(t.getMinutes())}:${two(t.getSeconds())}.${String(t.getMilliseconds()).padStart(3, "0")}`;
}

// The list.

const isError = (request) => request.level === "error" || request.level === "warning" || request.status >= 400;

function isWanted(request) {
  if ($("errors").checked && !isError(request)) return false;
  const words = $("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return true;
  const { method, target, status, source, route, profile, code, operation, detail, hint, request_id } = request;
  const text = [method, target, status, source, route, profile, code, operation, detail, hint, request_id].join(" ").toLowerCase();
  return words.every((word) => text.includes(word));
}

function rowOf(request) {
  const ended = request.status !== undefined;
  const shown = ended ? (request.status === 499 ? "left" : request.status) : "…";
  const row = element(
    "tr",
    `s${ended ? Math.floor(request.status / 100) : 0} ${request.level ?? (request.lost ? "lost" : "under")}`,
    element("td", "time", clock(request.time)),
    element("td", "method", request.method),
    pathOf(request),
    element("td", "status", shown),
    element("td", request.source && request.source !== "upstream" ? "mine" : "quiet", request.source ?? ""),
    element("td", "quiet", request.route ?? ""),
    element("td", "quiet", request.profile ?? ""),
    durationOf(request),
    bytesOf(request),
  );
  row.tabIndex = -1;
  row.dataset.id = request.id;
  row.setAttribute("aria-selected", request.id === chosen);
  row.hidden = !isWanted(request);
  return row;
}

function pathOf(request) {
  const cell = element("td", "path", request.target);
  cell.title = request.target;
  if (request.operation) cell.append(" ", element("span", "operation", request.operation));
  if (request.code) cell.append(element("span", "code", element("b", "", request.code), " ", request.hint ?? request.detail ?? ""));
  return cell;
}

function durationOf(request) {
  if (request.ms === undefined) return element("td", "number quiet", request.lost ? "lost" : "under way");
  const cell = element("td", "number", duration(request.ms));
  if (request.upstream_ms !== undefined) {
    const filled = element("i");
    filled.style.width = `${Math.min(100, (100 * request.upstream_ms) / Math.max(request.ms, 0.01))}%`;
    cell.append(element("span", "part", filled));
    cell.title = `${duration(request.upstream_ms)} waiting for the upstream, ${duration(request.overhead_ms)} in the proxy`;
  }
  return cell;
}

function bytesOf(request) {
  if (request.sent === undefined) return element("td", "number quiet");
  const cell = element("td", "number quiet", bytes(request.sent));
  cell.title = `${bytes(request.received)} sent, ${bytes(request.sent)} received`;
  return cell;
}

function show(request) {
  const row = rowOf(request);
  const before = rows.get(request.id);
  if (before) {
    const focused = before === document.activeElement;
    row.tabIndex = before.tabIndex;
    before.replaceWith(row);
    if (focused) row.focus({ preventScroll: true });
  } else {
    $("rows").prepend(row);
  }
  rows.set(request.id, row);
  requests.set(request.id, request);
  if (request.id === chosen && request.status !== undefined) choose(request.id, { focus: false });
}

function take(told) {
  if (told.try) {
    $("try").textContent = told.try;
    return;
  }
  dropped += told.dropped;
  if (fresh) lose(new Set(told.requests.map((request) => request.id)));
  fresh = false;
  for (const request of told.requests) {
    const known = requests.get(request.id) ?? waiting.get(request.id);
    if (known && known.status !== undefined) continue; // it was told before the connection broke
    if (paused) waiting.set(request.id, request);
    else show(request);
  }
  trim(requests);
  trim(waiting);
  settle();
}

// What was under way is so no more, and nobody knows how it ended: the proxy has been another one since.
function lose(here) {
  for (const request of requests.values()) {
    if (request.status === undefined && !here.has(request.id)) show({ ...request, lost: true });
  }
}

function trim(kept) {
  for (const id of kept.keys()) {
    if (kept.size <= MOST) break;
    if (id === chosen) continue;
    kept.delete(id);
    if (kept === requests) {
      rows.get(id).remove();
      rows.delete(id);
    }
  }
}

function settle() {
  const visible = visibleRows();
  const words = [];
  if (paused) words.push(`${waiting.size} waiting`);
  if (dropped) words.push(`${dropped} not shown`);
  const all = requests.size === 1 ? "1 request" : `${requests.size} requests`;
  words.push(visible.length === requests.size ? all : `${visible.length} of ${all}`);
  $("count").textContent = words.join(", ");
  $("empty").hidden = requests.size > 0;
  // One row is in the tab order: the arrow keys lead to the others.
  if (!visible.some((row) => row.tabIndex === 0) && visible.length) visible[0].tabIndex = 0;
}

const visibleRows = () => [...$("rows").children].filter((row) => !row.hidden);

function filter() {
  for (const [id, row] of rows) row.hidden = !isWanted(requests.get(id));
  settle();
}

function pause() {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Go on" : "Pause";
  if (!paused) {
    for (const request of waiting.values()) show(request);
    waiting = new Map();
    trim(requests);
  }
  settle();
}

function clear() {
  requests.clear();
  rows.clear();
  waiting.clear();
  dropped = 0;
  $("rows").replaceChildren();
  close();
  settle();
}

// The details.

async function choose(id, { focus = true } = {}) {
  mark(id);
  const request = requests.get(id);
  const panel = $("details");
  panel.hidden = false;
  document.body.classList.add("split");
  const moved = panel.dataset.id !== id;
  panel.dataset.id = id;
  panel.ariaBusy = "true";
  let told = null;
  let missing = request.lost
    ? "The proxy or this page was away when it ended."
    : "It is under way: what goes over the wire is shown once it has ended.";
  if (request.kept) {
    try {
      const answer = await fetch(`${HERE}inspector/requests/${encodeURIComponent(id)}`);
      const document = await answer.json();
      if (answer.ok) told = document;
      else missing = `${document.detail}. ${document.hint}`;
    } catch {
      missing = "The proxy cannot be reached.";
    }
  } else if (request.status !== undefined) {
    missing = "It ended before this page looked on: what went over the wire was not kept.";
  }
  if (chosen !== id) return; // another one was chosen meanwhile
  panel.replaceChildren(...detailsOf(request, told, missing));
  panel.ariaBusy = "false";
  if (moved) panel.scrollTop = 0;
  if (focus) rows.get(id)?.scrollIntoView({ block: "nearest" });
}

function mark(id) {
  rows.get(chosen)?.setAttribute("aria-selected", "false");
  chosen = id;
  rows.get(id)?.setAttribute("aria-selected", "true");
}

function close() {
  const row = rows.get(chosen);
  mark(null);
  $("details").hidden = true;
  document.body.classList.remove("split");
  row?.focus();
}

function detailsOf(request, told, missing) {
  const bar = element("div", "bar", element("h2", "", `${request.method} ${request.target}`));
  if (told) bar.append(button("Copy as curl", (event) => copy(event.target, told.curl)));
  const end = button("✕", close);
  end.setAttribute("aria-label", "Close");
  bar.append(end);
  const parts = [bar, ...errorOf(request), ...timesOf(request), factsOf(request)];
  if (!told) return [...parts, element("p", "quiet", missing)];
  const { request: asked, answer } = told;
  parts.push(element("h3", "", "Request", element("small", "", asked.content.note)));
  parts.push(wire(asked.asked ? [["-", asked.line], ["+", asked.asked]] : [[" ", asked.line]], asked.fields));
  if (asked.refusals.length) {
    parts.push(element("p", "marks", `Sent again with a new token: the upstream had refused the one before (${asked.refusals.join(", ")}).`));
  }
  parts.push(...contentOf(asked.content));
  parts.push(element("h3", "", "Answer", element("small", "", answer.content.note)));
  parts.push(answer.line ? wire([[" ", answer.line]], answer.fields) : element("p", "quiet", "The caller left before there was one."));
  parts.push(...contentOf(answer.content));
  parts.push(element("p", "marks", "− stayed at the proxy, + was added by it, ••• is hidden"));
  return parts;
}

function errorOf(request) {
  if (!request.code) return [];
  const facts = element("div", `error ${request.level}`, element("b", "", request.code), ": ", request.detail ?? "");
  if (request.hint) facts.append(element("p", "", request.hint));
  return [facts];
}

function timesOf(request) {
  if (request.ms === undefined) return [];
  const parts = [["proxy", "in the proxy", request.overhead_ms]];
  if (request.upstream_ms !== undefined) {
    parts.push(["upstream", "waiting for the upstream", request.upstream_ms]);
    parts.push(["content", "content on its way", Math.max(0, request.ms - request.overhead_ms - request.upstream_ms)]);
  }
  const share = element("div", "share");
  const key = element("div", "key");
  for (const [kind, name, ms] of parts.filter(([, , ms]) => ms >= 0.01)) {
    const piece = element("i", kind);
    piece.style.flexGrow = 1000 * Math.max(ms, request.ms / 1000);
    share.append(piece);
    key.append(element("span", "", element("i", kind), `${duration(ms)} ${name}`));
  }
  return [share, key];
}

function factsOf(request) {
  const list = element("dl", "");
  const facts = {
    Source: request.source,
    Route: request.route,
    Profile: request.profile,
    Operation: request.operation,
    "Request id": request.request_id,
  };
  for (const [name, value] of Object.entries(facts)) {
    if (value) list.append(element("dt", "", name), element("dd", "", value));
  }
  const made = element("div", "", list);
  list.style.marginTop = "10px";
  return made;
}

const MARKS = { "-": ["stayed", "−"], "+": ["added", "+"], " ": ["", " "] };

function wire(first, fields) {
  const made = element("div", "wire");
  for (const [sign, text] of first) {
    const line = element("div", "first " + MARKS[sign][0], text);
    line.dataset.mark = MARKS[sign][1];
    made.append(line);
  }
  for (const [sign, name, value] of fields) {
    const line = element("div", MARKS[sign][0], element("span", "", name + ": "), value);
    line.dataset.mark = MARKS[sign][1];
    made.append(line);
  }
  return made;
}

function contentOf(content) {
  return content.text ? [element("pre", "body", content.text)] : [];
}

async function copy(at, text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without HTTPS a page has the clipboard on loopback alone.
    const area = element("textarea", "", text);
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
  at.textContent = "Copied";
  setTimeout(() => (at.textContent = "Copy as curl"), 1500);
}

// The state of the proxy.

async function look() {
  if (document.hidden) return;
  try {
    const said = await (await fetch(HERE + "status")).json();
    if (!said.ready) said.reason = await (await fetch(HERE + "ready")).json();
    status = { said, at: Date.now() };
  } catch {
    // The feed says that nobody is there.
  }
  tell();
}

function tell() {
  const state = $("state");
  if (away) {
    state.className = "away";
    say(state, away);
    return;
  }
  if (!status?.said.version) return;
  const { said, at } = status;
  const age = (Date.now() - at) / 1000;
  $("version").textContent = said.version;
  document.title = said.ready ? "ul-proxy" : "ul-proxy: not ready";
  state.className = said.ready ? "ready" : "unready";
  const reason = !said.ready && said.reason?.detail ? `: ${said.reason.detail}. ${said.reason.hint ?? ""}` : "";
  say(state, said.draining ? "draining" : said.ready ? "ready" : "not ready", reason && element("small", "", reason));
  $("profiles").replaceChildren(...Object.entries(said.profiles).map(([name, profile]) => profileOf(name, profile, age)));
}

// What a screen reader reads out is not written again where it stays the same.
function say(at, ...content) {
  const made = element("p", "", ...content);
  if (made.textContent !== at.textContent) at.replaceChildren(...made.childNodes);
}

function profileOf(name, profile, age) {
  const made = element("li", "", element("b", "", profile.email ?? profile.username ?? name));
  if (name !== "default") made.prepend(`@${name} `);
  const left = (seconds) => span(Math.max(0, seconds - age));
  if (profile.expires_in === null) {
    made.append(` ${profile.credentials.join(", ").replaceAll("_", " ") || "no credential"}`);
  } else {
    made.append(` token good for ${left(profile.expires_in)}`);
    if (profile.next_refresh_in !== null) made.append(`, renewed in ${left(profile.next_refresh_in)}`);
  }
  if (profile.error) made.append(" ", element("span", "bad", profile.error.detail));
  return made;
}

// The feed.

async function* eventsOf(stream) {
  let text = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    text += value;
    const events = text.split("\n\n");
    text = events.pop();
    for (const event of events) if (event.startsWith("data: ")) yield JSON.parse(event.slice(6));
  }
}

async function follow() {
  for (;;) {
    try {
      const answer = await fetch(HERE + "inspector/events");
      if (answer.ok) {
        away = "";
        fresh = true;
        look();
        for await (const told of eventsOf(answer.body)) take(told);
        away = "the proxy has ended, or lost this page";
      } else {
        const problem = await answer.json();
        away = `${problem.detail}. ${problem.hint}`;
      }
    } catch {
      away = "no proxy answers here";
    }
    tell();
    await new Promise((resolve) => setTimeout(resolve, AGAIN));
  }
}

// Hands.

$("rows").addEventListener("click", (event) => {
  const row = event.target.closest("tr");
  if (row && String(getSelection()) === "") {
    enter(row);
    choose(row.dataset.id);
  }
});

function enter(row) {
  for (const other of rows.values()) other.tabIndex = -1;
  row.tabIndex = 0;
  row.focus();
}

function step(by) {
  const visible = visibleRows();
  if (!visible.length) return;
  const at = visible.findIndex((row) => row === document.activeElement || row.dataset.id === chosen);
  const row = visible[Math.min(visible.length - 1, Math.max(0, at + by))];
  enter(row);
  if (!$("details").hidden) choose(row.dataset.id);
}

const KEYS = {
  ArrowDown: () => step(1),
  ArrowUp: () => step(-1),
  j: () => step(1),
  k: () => step(-1),
  "/": () => $("filter").focus(),
  e: () => $("errors").click(),
  p: pause,
  Escape: close,
  Enter: () => {
    const row = document.activeElement.closest("tr[data-id]");
    if (row) choose(row.dataset.id);
  },
};

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const writing = event.target === $("filter");
  if (event.key === "Escape" && writing) $("filter").blur();
  if ((writing && event.key !== "ArrowDown") || !(event.key in KEYS)) return;
  if (event.key === "Enter" && !event.target.closest("tr[data-id]")) return;
  if (event.key.startsWith("Arrow") && $("details").contains(event.target)) return;
  event.preventDefault();
  KEYS[event.key]();
});

$("tools").addEventListener("submit", (event) => event.preventDefault());
$("filter").addEventListener("input", filter);
$("errors").addEventListener("change", filter);
$("pause").addEventListener("click", pause);
$("clear").addEventListener("click", clear);
document.addEventListener("visibilitychange", look);
settle();
follow();
setInterval(look, LOOK);
setInterval(tell, 1000);
