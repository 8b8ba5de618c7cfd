// The log page: what was searched for is in the address, so that it can be sent to somebody else.

import "./theme.js";
import { asked } from "./ask.js";
import { element } from "./view.js";

const FOLLOW_SECONDS = 2;
// A line may come so much later than it was written.
const LATE_SECONDS = 15;
const MOST = 500;
const LEVELS = ["error", "warning", "info", "debug"];
const CLOCK = { hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3 };
const FIELDS = ["text", "request", "service", "level"];
// What says most of a line, in the order it is read in; the store tells fields in any order.
const TELLING = ["method", "route", "path", "status", "seconds", "cause", "reason", "error"];
const FEW = 6;

const part = (id) => document.getElementById(id);
// From and to in seconds, where a part of the time was chosen.
let chosen = null;
let shown = new Map();
let following = null;
let turn = 0;

function words() {
  const found = new URLSearchParams();
  for (const name of FIELDS) if (part(name).value) found.set(name, part(name).value);
  if (chosen) {
    found.set("from", chosen.from);
    found.set("to", chosen.to);
  } else found.set("seconds", part("time").value);
  return found;
}

function read() {
  const told = new URLSearchParams(location.search);
  for (const name of FIELDS) {
    const value = told.get(name) ?? "";
    if (name === "service" && value && !part("service").querySelector(`option[value="${CSS.escape(value)}"]`)) {
      part("service").append(element("option", { value }, value));
    }
    part(name).value = value;
  }
  chosen = told.has("from") && told.has("to") ? { from: told.get("from"), to: told.get("to") } : null;
  part("time").value = chosen ? "chosen" : (told.get("seconds") ?? "3600");
  if (!part("time").value) part("time").value = "3600";
}

async function search() {
  const mine = ++turn;
  const told = words();
  history.replaceState(null, "", `/ops/logs?${told}`);
  part("fresh").textContent = "Searching.";
  try {
    const [lines, counts] = await Promise.all([asked("logs", told), asked("logs/counts", told)]);
    if (mine !== turn) return;
    part("missing").textContent = "";
    offer(counts.services);
    drawCounts(counts);
    show(lines.lines, lines.whole);
    part("fresh").textContent = `Searched at ${new Date().toLocaleTimeString()}.`;
  } catch (error) {
    if (mine !== turn) return;
    // What was found before is of another search: nothing is shown for what is not known.
    part("missing").textContent = `Not known: ${error.message}.`;
    part("counts").replaceChildren(element("p", { class: "unknown" }, "not known"));
    part("lines").replaceChildren();
    part("said").textContent = "";
    part("fresh").textContent = "";
    shown = new Map();
  }
}

function offer(services) {
  const select = part("service");
  const now = select.value;
  const names = [...new Set([...services, now])].filter(Boolean).sort();
  select.replaceChildren(element("option", { value: "" }, "all"), ...names.map((each) => element("option", { value: each }, each)));
  select.value = now;
}

const key = (line) => `${line.time} ${line.instance} ${line.event} ${JSON.stringify(line.fields)}`;

function show(lines, whole) {
  shown = new Map(lines.map((line) => [key(line), line]));
  part("lines").replaceChildren(...lines.map(row));
  part("said").textContent = !lines.length ? "No line is like that."
    : whole ? `${lines.length} lines, the newest first.`
      : `The newest ${lines.length} lines of more: search for less, or choose a part of the time.`;
}

function row(line) {
  const time = new Date(line.time);
  const clock = `${time.toLocaleDateString()} ${time.toLocaleTimeString(undefined, CLOCK)}`;
  const mood = line.level === "error" ? "bad" : line.level === "warning" ? "warn" : "quiet";
  const others = Object.keys(line.fields).filter((name) => ![...TELLING, "request_id", "generation"].includes(name)).sort();
  const few = [...TELLING.filter((name) => name in line.fields), ...others].slice(0, FEW);
  const details = element("details", {},
    element("summary", {}, element("span", { class: "of" }, clock), " ", element("span", { class: mood }, line.level), " ",
      element("span", { class: "of" }, line.instance), " ", line.event, " ",
      element("span", { class: "of" }, few.map((name) => `${name}=${line.fields[name]}`).join(" "))));
  // Hundreds of lines have thousands of fields: those of one are made when somebody looks.
  details.addEventListener("toggle", () => { if (details.open && details.children.length === 1) details.append(fields(line)); });
  return element("li", {}, details);
}

function fields(line) {
  const rows = Object.entries({ time: line.time, service: line.service, ...line.fields });
  return element("dl", {}, ...rows.flatMap(([name, value]) => [element("dt", {}, name), value_of(name, String(value))]));
}

function value_of(name, value) {
  if (name !== "request_id") return element("dd", {}, value);
  const link = element("a", { href: `/ops/logs?request=${encodeURIComponent(value)}&seconds=86400` }, value);
  return element("dd", {}, link, " (all of it)");
}

function drawCounts({ times, step, levels }) {
  const of = (level, place) => levels[level]?.[place] ?? 0;
  const totals = times.map((_, place) => LEVELS.reduce((sum, level) => sum + of(level, place), 0));
  const all = totals.reduce((sum, each) => sum + each, 0);
  const most = Math.max(1, ...totals);
  const drawing = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const said = LEVELS.map((level) => `${(levels[level] ?? []).reduce((sum, each) => sum + each, 0)} ${level}`).join(", ");
  for (const [name, value] of Object.entries({ viewBox: `0 0 ${times.length} 100`, preserveAspectRatio: "none", role: "img", "aria-label": said })) {
    drawing.setAttribute(name, value);
  }
  times.forEach((at, place) => {
    let top = 100;
    for (const level of LEVELS) {
      const height = (100 * of(level, place)) / most;
      if (!height) continue;
      top -= height;
      const bar = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      const where = { x: place + 0.08, y: top, width: 0.84, height, class: level };
      for (const [name, value] of Object.entries(where)) bar.setAttribute(name, value);
      const title = document.createElementNS("http://www.w3.org/2000/svg", "title");
      title.textContent = `${new Date(1000 * at).toLocaleString()}: ${of(level, place)} ${level}`;
      bar.append(title);
      bar.addEventListener("click", () => choose(at, at + step));
      drawing.append(bar);
    }
  });
  part("counts").replaceChildren(drawing, element("p", { class: "quiet" }, all ? `${said}; a bar is ${step} s` : "no line in this time"));
}

function choose(from, to) {
  chosen = { from, to };
  part("time").value = "chosen";
  search();
}

async function come() {
  const now = Date.now() / 1000;
  const told = words();
  told.delete("seconds");
  told.set("from", now - FOLLOW_SECONDS - LATE_SECONDS);
  told.set("to", now);
  try {
    const { lines } = await asked("logs", told);
    if (!following) return;
    const more = lines.filter((line) => !shown.has(key(line)));
    for (const line of more) shown.set(key(line), line);
    part("lines").prepend(...more.map(row));
    while (part("lines").children.length > MOST) part("lines").lastElementChild.remove();
    if (shown.size > 4 * MOST) shown = new Map([...shown].slice(-2 * MOST));
    part("missing").textContent = "";
    part("fresh").textContent = `Following; ${new Date().toLocaleTimeString()}.`;
  } catch (error) {
    part("missing").textContent = `What comes is not known: ${error.message}.`;
  }
  if (following) following = setTimeout(come, 1000 * FOLLOW_SECONDS);
}

function follow() {
  clearTimeout(following);
  const on = !following;
  following = on ? setTimeout(come, 0) : null;
  part("follow").setAttribute("aria-pressed", String(on));
  if (on && chosen) {
    chosen = null;
    part("time").value = "900";
    search();
  }
}

part("search").addEventListener("submit", (event) => { event.preventDefault(); search(); });
for (const name of ["service", "level"]) part(name).addEventListener("change", search);
part("time").addEventListener("change", () => { if (part("time").value !== "chosen") { chosen = null; search(); } });
part("follow").addEventListener("click", follow);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, select")) return;
  if (event.key === "/") { event.preventDefault(); part("text").focus(); }
  else if (event.key === "f") follow();
  else if (event.key === "r") search();
});
part("starting").remove();
read();
search();
