// The release page: what was released, how it went, how long each part took, and what it cost users.

import "./theme.js";
import { asked } from "./ask.js";
import { duration, moment } from "./format.js";
import { element } from "./view.js";

const MOODS = { done: "good", failed: "bad" };
// Before its begin and after its end, where logs are looked for.
const AROUND_SECONDS = 30;

const part = (id) => document.getElementById(id);

async function load() {
  try {
    const { releases } = await asked("releases");
    part("lines").replaceChildren(...releases.toReversed().map(row));
    part("said").textContent = releases.length ? `${releases.length} lines of the record` : "Nothing was released yet.";
    open();
  } catch (error) {
    part("missing").textContent = `Not known: ${error.message}.`;
  }
}

// A line is in the address, so that it can be sent to somebody else.
function open() {
  const chosen = location.hash && part(location.hash.slice(1))?.querySelector("details");
  if (chosen) {
    chosen.open = true;
    chosen.scrollIntoView();
  }
}

function row(line) {
  const kind = line.kind ?? "release";
  const took = "seconds" in line ? ` in ${duration(line.seconds)}` : "";
  const details = element("details", {},
    element("summary", {},
      element("span", { class: "of" }, moment(line.time)), ` ${kind} `,
      element("strong", {}, line.version ?? ""), " ",
      element("span", { class: MOODS[line.result] ?? "" }, line.result ?? ""), took, " ",
      cost(line), line.reason ? element("span", { class: "of" }, ` ${line.reason}`) : ""));
  // A record has hundreds of lines: what is in one is made when somebody looks.
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(...inside(line));
  });
  return element("li", { id: `line-${line.number}` }, details);
}

function cost({ requests }) {
  if (!requests) return "";
  const mood = requests.failed ? "bad" : "good";
  return element("span", { class: mood }, `${requests.failed} of ${requests.served + requests.failed} requests lost`);
}

function inside(line) {
  const from = line.time - (line.seconds ?? 0) - AROUND_SECONDS;
  const logs = element("a", { href: `/ops/logs?from=${from}&to=${line.time + AROUND_SECONDS}` }, "logs of this time");
  const facts = {
    line: element("a", { href: `#line-${line.number}` }, String(line.number)),
    generation: line.generation, source: line.source, by: line.holder, reason: line.reason, fault: line.code,
    "recovery point": line.point, "error budget spent for": line.spend_budget, plan: line.plan,
    logs,
  };
  const told = Object.entries(facts).filter(([, value]) => value !== undefined && value !== "");
  const made = [element("dl", {}, ...told.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value instanceof Node ? value : String(value))]))];
  if (line.phases) made.push(timeline(Object.entries(line.phases).sort(([, one], [, other]) => other - one)));
  if (line.steps?.length) made.push(element("ol", { class: "steps", "aria-label": "Steps that were done" }, ...line.steps.map((step) => element("li", {}, step))));
  return made;
}

// The record keeps how long each took, and not when it began: the longest comes first.
function timeline(phases) {
  const longest = Math.max(...phases.map(([, taken]) => taken), 0.1);
  const rows = phases.map(([name, taken]) => element("tr", {},
    element("th", { scope: "row" }, name),
    element("td", {}, element("meter", { min: 0, max: longest, value: taken, "aria-hidden": "true" })),
    element("td", {}, duration(taken))));
  const head = element("tr", {}, ...["phase", "", "took"].map((each) => element("th", { scope: "col" }, each)));
  return element("table", { class: "phases" }, element("thead", {}, head), element("tbody", {}, ...rows));
}

addEventListener("hashchange", open);
document.getElementById("starting").remove();
load();
