// The status page: asks the daemon every second and draws what it says. No build step, no network
// but the daemon itself.

const EVERY_MS = 1000;
const TOPICS_EVERY_MS = 5000;
const CURVE = { width: 300, height: 56, samples: 180 };
const STATE_OF_PHASE = {
  starting: "starting", waiting: "healthy", snapshot: "healthy", streaming: "healthy",
  delivering: "healthy", retrying: "degraded", stopping: "stopping", stopped: "stopping",
  failed: "failed", paused: "degraded",
};
const byId = (id) => document.getElementById(id);

// --- words and numbers ---------------------------------------------------------------------------

const count = (n) => (n === null || n === undefined ? "–" : Math.round(n).toLocaleString("en"));

function short(n) {
  if (n === null || n === undefined) return "–";
  for (const [size, unit] of [[1e9, "G"], [1e6, "M"], [1e4, "k"]]) {
    if (n >= size) return (n / (unit === "k" ? 1e3 : size)).toFixed(1) + " " + unit;
  }
  return n >= 10 || Number.isInteger(n) ? count(n) : n.toFixed(1);
}

function bytes(n) {
  if (n === null || n === undefined) return "–";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let step = 0;
  while (n >= 1024 && step < units.length - 1) { n /= 1024; step += 1; }
  return (step && n < 100 ? n.toFixed(1) : Math.round(n)) + " " + units[step];
}

function seconds(s) {
  if (s === null || s === undefined) return "–";
  if (s < 0.001) return "0 s";
  if (s < 1) return Math.round(s * 1000) + " ms";
  if (s < 90) return s.toFixed(s < 10 ? 1 : 0) + " s";
  if (s < 5400) return Math.round(s / 60) + " min";
  return (s / 3600).toFixed(1) + " h";
}

const ago = (us, now) => seconds(Math.max(0, (now - us) / 1e6)) + " ago";

// --- cards ---------------------------------------------------------------------------------------

function figures(list, pairs) {
  list.replaceChildren(...pairs.map(([label, value]) => {
    const pair = document.createElement("div");
    const term = document.createElement("dt");
    const text = document.createElement("dd");
    term.textContent = label;
    text.textContent = value;
    pair.append(term, text);
    return pair;
  }));
}

function sourceFigures(progress, worker) {
  return [
    ["changes / s", short(worker.rate_per_s)],
    ["lag", seconds(progress.lag_s)],
    ["lag in bytes", bytes(progress.lag_bytes)],
    ["changes", short(progress.events)],
  ];
}

function sinkFigures(progress, worker) {
  return [
    ["writes / s", short(worker.rate_per_s)],
    ["lag", seconds(progress.lag_s)],
    ["lag in records", short(progress.lag_records)],
    ["written", short(progress.applied)],
    ...(progress.dead_letters_kept ? [["dead letters", count(progress.dead_letters_kept)]] : []),
  ];
}

function more(worker, progress) {
  const parts = [];
  if (worker.reads.length) parts.push("reads " + worker.reads.join(", "));
  if (progress && progress.position) parts.push("at " + progress.position);
  if (worker.restarts) parts.push(`restarted ${worker.restarts} ×`);
  return parts.join(" · ");
}

function drawCard(card, worker, now, curve) {
  const state = STATE_OF_PHASE[worker.phase] ?? "starting";
  card.dataset.state = state;
  card.dataset.phase = worker.phase;
  card.querySelector(".name").textContent = worker.name;
  card.querySelector(".type").textContent = worker.type;
  const phase = card.querySelector(".phase");
  phase.textContent = worker.phase;
  phase.dataset.state = state;
  phase.title = "since " + new Date(worker.since_us / 1000).toLocaleString();
  const progress = worker.progress;
  const pairs = progress && (worker.kind === "source" ? sourceFigures : sinkFigures)(progress, worker);
  figures(card.querySelector(".figures"), pairs || []);
  drawCurve(card, curve);
  drawProblem(card.querySelector(".problem"), worker, now, state);
  drawNotes(card.querySelector(".notes"), (progress && progress.notes) || []);
  card.querySelector(".more").textContent = more(worker, progress);
}

function drawProblem(box, worker, now, state) {
  const problem = worker.last_error;
  box.hidden = !problem;
  if (!problem) return;
  box.classList.toggle("past", state !== "failed");
  box.querySelector("strong").textContent = problem.message;
  box.querySelector(".hint").textContent = problem.hint;
  const over = state === "healthy" ? "; it has passed" : "";
  box.querySelector(".when").textContent = ago(problem.at_us, now) + over;
}

function drawNotes(list, notes) {
  list.replaceChildren(...notes.map((note) => {
    const [item, message, hint] = ["li", "strong", "p"].map((name) => document.createElement(name));
    item.dataset.severity = note.severity;
    message.textContent = note.message;
    hint.textContent = note.hint;
    item.append(message, hint);
    return item;
  }));
}

function drawCurve(card, curve) {
  const svg = card.querySelector(".curve");
  const [left, right] = spans(card.querySelector("figcaption"));
  const rates = (curve ? curve.rate_per_s : []).slice(-CURVE.samples);
  if (rates.length < 2) { svg.replaceChildren(); left.textContent = ""; right.textContent = ""; return; }
  const top = Math.max(1, ...rates);
  const step = CURVE.width / (rates.length - 1);
  const y = (rate) => CURVE.height - 2 - (rate / top) * (CURVE.height - 6);
  const points = rates.map((rate, i) => `${(i * step).toFixed(1)},${y(rate).toFixed(1)}`).join(" L");
  svg.replaceChildren(
    shape("area", `M0,${CURVE.height} L${points} L${CURVE.width},${CURVE.height} Z`),
    shape("line", `M${points}`),
  );
  svg.setAttribute("aria-label", `rate over the last ${rates.length} seconds, at most ${short(top)} a second`);
  left.textContent = `last ${seconds(rates.length)}`;
  right.textContent = `peak ${short(top)} / s`;
}

function spans(parent) {
  while (parent.children.length < 2) parent.append(document.createElement("span"));
  return parent.children;
}

function shape(kind, d) {
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("class", kind);
  path.setAttribute("d", d);
  return path;
}

function cards(holder, workers, now, history) {
  const known = new Map([...holder.children].map((card) => [card.dataset.name, card]));
  const wanted = workers.map((worker) => {
    const card = known.get(worker.name) ?? byId("worker-card").content.firstElementChild.cloneNode(true);
    card.dataset.name = worker.name;
    drawCard(card, worker, now, history.workers[worker.name]);
    return card;
  });
  if (wanted.some((card, i) => holder.children[i] !== card) || holder.children.length !== wanted.length) {
    holder.replaceChildren(...wanted);
  }
}

function logCard(status, topics) {
  const holder = byId("log");
  let card = holder.firstElementChild;
  if (!card) {
    card = document.createElement("article");
    card.className = "card";
    card.innerHTML = "<h3><span class='name'></span></h3><dl class='figures'></dl><p class='more quiet'></p>";
    holder.append(card);
  }
  card.querySelector(".name").textContent = status.log_type;
  const own = topics.list.filter((topic) => !topic.name.startsWith("__"));
  const size = topics.list.reduce((sum, topic) => sum + (topic.size_bytes ?? 0), 0);
  figures(card.querySelector(".figures"), [
    ["topics", count(own.length)],
    ["records", short(own.reduce((sum, topic) => sum + topic.records, 0))],
    ...(size ? [["size", bytes(size)]] : []),
  ]);
  card.querySelector(".more").textContent = topics.problem;
}

// --- the path ------------------------------------------------------------------------------------

function wire(from, to, worker, frame) {
  const [a, b] = [from.getBoundingClientRect(), to.getBoundingClientRect()];
  const [x1, y1] = [a.right - frame.left, a.top + a.height / 2 - frame.top];
  const [x2, y2] = [b.left - frame.left, b.top + b.height / 2 - frame.top];
  const middle = (x1 + x2) / 2;
  const broken = worker.phase === "failed" || worker.phase === "retrying";
  const kind = broken ? "broken" : worker.rate_per_s > 0 ? "flow" : "";
  return shape(kind, `M${x1},${y1} C${middle},${y1} ${middle},${y2} ${x2},${y2}`);
}

function wires(status) {
  const frame = byId("path").getBoundingClientRect();
  const log = byId("log").firstElementChild;
  const card = (worker) => document.querySelector(`[data-name="${CSS.escape(worker.name)}"]`);
  byId("wires").replaceChildren(...status.workers.map((worker) => (
    worker.kind === "source" ? wire(card(worker), log, worker, frame) : wire(log, card(worker), worker, frame)
  )));
}

function snapshots(status) {
  const rows = status.workers
    .filter((worker) => worker.kind === "source" && worker.phase === "snapshot" && worker.progress)
    .flatMap((worker) => worker.progress.tables);
  byId("snapshots").hidden = rows.length === 0;
  byId("tables").replaceChildren(...rows.map((table) => {
    const row = document.createElement("div");
    row.className = "table-row";
    const [name, figure] = [document.createElement("span"), document.createElement("span")];
    const bar = document.createElement("progress");
    // The estimate may be wrong: never show a full bar before the table is done.
    const whole = table.done ? table.rows_done : Math.max(table.rows_estimated ?? 0, table.rows_done + 1);
    bar.max = Math.max(1, whole);
    bar.value = table.done ? bar.max : table.rows_done;
    name.textContent = table.table;
    figure.textContent = table.done
      ? `${count(table.rows_done)} rows, done`
      : `${count(table.rows_done)} ${table.rows_estimated === null ? "" : `of about ${count(table.rows_estimated)} `}rows`;
    row.append(name, bar, figure);
    return row;
  }));
}

function topicTable(topics) {
  byId("topics-section").hidden = topics.list.length === 0;
  byId("topics").replaceChildren(...topics.list.map((topic) => {
    const row = document.createElement("tr");
    const cells = [
      [topic.name], [count(topic.records), "number"], [count(topic.partitions), "number"],
      [bytes(topic.size_bytes), "number"], [topic.compacted ? "compact" : "delete"],
    ];
    row.append(...cells.map(([text, kind]) => {
      const cell = document.createElement("td");
      cell.textContent = text;
      if (kind) cell.className = kind;
      return cell;
    }));
    return row;
  }));
}

// --- search --------------------------------------------------------------------------------------

function marked(text, words) {
  const fragment = document.createDocumentFragment();
  const pattern = new RegExp(`(${words.map((w) => w.replace(/[.*+?^${}()|[\]\\]/g, "\\$&")).join("|")})`, "ig");
  for (const part of text.split(pattern)) {
    if (!part) continue;
    if (words.some((word) => word.toLowerCase() === part.toLowerCase())) {
      const mark = document.createElement("mark");
      mark.textContent = part;
      fragment.append(mark);
    } else {
      fragment.append(part);
    }
  }
  return fragment;
}

function hit(found, words) {
  const item = document.createElement("li");
  const title = document.createElement("strong");
  const fields = Object.entries(found.document).filter(([, value]) => value !== null);
  const first = fields.find(([, value]) => typeof value === "string" && words.some((w) => value.toLowerCase().includes(w.toLowerCase())));
  title.append(marked(String((first ?? fields[0] ?? ["", found.id])[1]), words));
  const rest = document.createElement("div");
  rest.className = "quiet";
  rest.textContent = `${found.target} ${found.id} · ` + fields
    .filter((field) => field !== first)
    .slice(0, 5)
    .map(([name, value]) => `${name} ${typeof value === "object" ? JSON.stringify(value) : value}`)
    .join(" · ");
  item.append(title, rest);
  return item;
}

let asked = 0;
async function search() {
  const text = byId("search-words").value.trim();
  const words = text.split(/\s+/).filter(Boolean);
  const mine = ++asked;
  if (!words.length) { byId("hits").replaceChildren(); byId("search-count").textContent = ""; return; }
  const query = new URLSearchParams({ sink: byId("search-sink").value, words: text });
  const found = await get(`/api/search?${query}`).catch((error) => ({ error: error.message }));
  if (mine !== asked) return;
  if (found.error) { byId("search-count").textContent = found.error; return; }
  byId("search-count").textContent = found.length === 1 ? "1 hit" : `${found.length} hits`;
  byId("hits").replaceChildren(...found.map((document_) => hit(document_, words)));
}

function searchable(names) {
  byId("search").hidden = names.length === 0;
  const select = byId("search-sink");
  if ([...select.options].map((option) => option.value).join() === names.join()) return;
  select.replaceChildren(...names.map((name) => new Option(name, name)));
}

// --- the loop ------------------------------------------------------------------------------------

async function get(path) {
  const answer = await fetch(path, { headers: { Accept: "application/json" } });
  if (answer.status === 401) { location.assign("/login"); }
  return answer.json();
}

const topics = { list: [], problem: "", at: -Infinity };
let heard = performance.now();

async function askTopics() {
  if (performance.now() - topics.at < TOPICS_EVERY_MS) return;
  topics.at = performance.now();
  const answer = await get("/api/topics");
  if (answer.error) { topics.problem = answer.error; return; }
  [topics.list, topics.problem] = [answer, ""];
}

let last = null;
function draw(status, history) {
  last = status;
  document.title = `${status.pipeline}: ${status.state}`;
  byId("pipeline").textContent = status.pipeline;
  byId("state").textContent = status.state;
  byId("state").dataset.state = status.state;
  byId("about").textContent = `Tidewire ${status.version}, ${status.implementation} · up ${seconds((status.now_us - status.started_at_us) / 1e6)}`;
  cards(byId("sources"), status.workers.filter((w) => w.kind === "source"), status.now_us, history);
  cards(byId("sinks"), status.workers.filter((w) => w.kind === "sink"), status.now_us, history);
  logCard(status, topics);
  snapshots(status);
  topicTable(topics);
  searchable(status.searches);
  wires(status);
}

async function tick() {
  try {
    const [status, history] = await Promise.all([get("/api/status"), get("/api/history"), askTopics()]);
    heard = performance.now();
    draw(status, history);
  } catch (error) {
    if (!(error instanceof TypeError)) console.error(error);
  }
  const silence = (performance.now() - heard) / 1000;
  byId("offline").hidden = silence < 3;
  byId("offline-age").textContent = seconds(silence);
  setTimeout(tick, EVERY_MS);
}

byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = dark ? "light" : "dark";
  localStorage.setItem("theme", root.dataset.theme);
});
addEventListener("resize", () => { if (last) wires(last); });
document.documentElement.dataset.theme = localStorage.getItem("theme") ?? "";
byId("search-form").addEventListener("submit", (event) => { event.preventDefault(); search(); });
byId("search-words").addEventListener("input", search);
byId("search-sink").addEventListener("change", search);
tick();
