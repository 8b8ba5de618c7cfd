// The state as elements. Text is set as text: nothing that was measured is ever read as markup.

import { UNKNOWN, bytes, count, duration, moment, number, seconds, share } from "./format.js";

export function element(name, properties = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key === "class") made.className = value;
    else made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const said = (text, mood = "") => element("span", { class: mood }, text);
const nothing = (text) => element("p", { class: "quiet" }, text);
const unknown = () => element("p", { class: "unknown" }, UNKNOWN);

function table(titles, rows) {
  const head = element("tr", {}, ...titles.map((each) => element("th", { scope: "col" }, each)));
  const body = rows.map((row) =>
    element("tr", {}, ...row.map((cell, place) =>
      place === 0 ? element("th", { scope: "row" }, cell) : element("td", {}, cell))));
  const made = element("table", {}, element("thead", {}, head), element("tbody", {}, ...body));
  const name = titles.filter((each) => each).join(", ");
  return element("div", { class: "scrolls", tabindex: "0", role: "group", "aria-label": name }, made);
}

// Good, bad or not known, in words and not by colour alone.
function judged(value, good, bad) {
  if (value === null) return said(UNKNOWN, "unknown");
  return value ? said(good, "good") : said(bad, "bad");
}

function alerts(state) {
  if (state.alerts === null) return unknown();
  if (!state.alerts.length) return nothing("Nothing fires.");
  const items = state.alerts.map((each) =>
    element("li", { class: each.quiet ? "quiet" : each.severity },
      element("strong", {}, `${each.severity}: ${each.name}`),
      ` for ${duration(state.at - each.since)}`,
      each.quiet ? ` (${each.quiet})` : "",
      element("br"), each.summary,
      element("br"), element("code", {}, each.runbook)));
  return element("ul", { class: "alerts" }, ...items);
}

function objectives(state) {
  if (state.objectives === null) return unknown();
  if (!state.objectives.length) return nothing("Nothing was measured yet.");
  return table(["objective", "budget left", "missed in the last hour"], state.objectives.map((each) => [
    each.name.replaceAll("_", " "),
    said(share(each.left), each.left > 0.25 ? "good" : each.left > 0 ? "warn" : "bad"),
    share(each.missed_1h),
  ]));
}

function services(state) {
  if (state.services === null) return unknown();
  // Not every service has each of these: a database answers in no time of its own.
  const of = (part, say) => (each) =>
    each[part] === null && state.services.some((other) => other[part] !== null) ? "" : say(each[part]);
  const full = (value) => said(share(value), value !== null && value > 0.9 ? "bad" : "");
  return table(["service", "requests/s", "failed/s", "p95", "memory", "processor"],
    state.services.map((each) => [
      each.service, of("requests", number)(each),
      said(of("errors", number)(each), each.errors > 0 ? "warn" : ""),
      of("duration", seconds)(each), of("memory", full)(each), of("cpu", full)(each),
    ]));
}

function pipeline(state) {
  const { stages, documents, jobs, oldest_seconds: oldest, found } = state.pipeline;
  const rows = [];
  for (const [name, value] of Object.entries(stages ?? {})) rows.push([`${name}, p95`, seconds(value)]);
  rows.push(["questions that found something", share(found)]);
  for (const [name, value] of Object.entries(documents ?? {})) rows.push([`documents ${name}`, count(value)]);
  for (const [name, value] of Object.entries(jobs ?? {})) rows.push([`jobs ${name}`, count(value)]);
  rows.push(["oldest job that waits", seconds(oldest)]);
  return stages === null && documents === null ? unknown() : table(["what", "now"], rows);
}

function instances(state) {
  if (state.instances === null) return unknown();
  return table(["instance", "generation", "runs", "healthy", "restarts", "for"],
    state.instances.map((each) => [
      each.instance,
      each.generation ? `${each.generation}${each.serves ? " (serves)" : ""}` : "platform",
      judged(each.running, "runs", "STOPPED"),
      each.running ? judged(each.healthy, "healthy", "NOT HEALTHY") : "",
      said(count(each.restarts), each.restarts > 0 ? "warn" : ""),
      each.started === null ? UNKNOWN : duration(state.at - each.started),
    ]));
}

function database(state) {
  if (state.database === null) return unknown();
  return table(["member", "answers", "role", "behind"], state.database.map((each) => [
    each.member, judged(each.up, "yes", "NO"), each.role ?? UNKNOWN,
    each.role === "replica" ? seconds(each.lag_seconds) : "",
  ]));
}

function keeping(state) {
  const { backups, certificate_seconds: certificate, disk } = state;
  const rows = [];
  if (backups === null) rows.push(["backups", said("none, or not known", "unknown")]);
  else {
    rows.push(["newest recovery point", duration(backups.point_age_seconds)]);
    rows.push(["archive behind", duration(backups.behind_seconds)]);
    const proof = backups.drill_ok === null ? UNKNOWN : `${duration(backups.drill_age_seconds)} ago`;
    rows.push(["last drill", said(proof, backups.drill_ok === false ? "bad" : "good")]);
    rows.push(["problems of the backups", said(count(backups.problems), backups.problems ? "bad" : "good")]);
  }
  rows.push(["certificate ends in",
    said(duration(certificate), certificate !== null && certificate < 14 * 86400 ? "bad" : "")]);
  rows.push(["free on disk", disk === null ? UNKNOWN : `${bytes(disk.free_bytes)} (${share(disk.free_share)})`]);
  if (disk !== null) {
    const when = disk.full_in_days === null ? "not as it goes now" : `in ${number(disk.full_in_days)} days`;
    rows.push(["disk full", said(when, disk.full_in_days !== null && disk.full_in_days < 4 ? "bad" : "")]);
  }
  return table(["what", "now"], rows);
}

function releases(state) {
  if (state.releases === null) return unknown();
  if (!state.releases.length) return nothing("None runs.");
  return table(["generation", "release", "since"],
    state.releases.map((each) => [each.generation, each.release, moment(each.at)]));
}

const PARTS = { alerts, objectives, services, pipeline, instances, database, keeping, releases };

export function show(state) {
  document.title = `${titles[state.serving.state]} ${state.environment} - Slipway`;
  document.getElementById("environment").textContent = state.environment;
  const serving = document.getElementById("serving");
  serving.className = state.serving.state;
  const text = sentence(state);
  // Said aloud when it changes, not every ten seconds.
  if (serving.textContent !== text) serving.textContent = text;
  document.getElementById("fresh").textContent = `as of ${new Date(1000 * state.at).toLocaleTimeString()}, monitoring ${state.level}`;
  document.getElementById("missing").textContent = state.missing.length
    ? `No answer from ${state.missing.join(" and ")}: what is missing below is not known, and not zero.` : "";
  for (const [name, make] of Object.entries(PARTS)) {
    document.querySelector(`[data-part="${name}"]`).replaceChildren(make(state));
  }
}

const titles = { up: "up", down: "DOWN", unknown: "?" };

function sentence(state) {
  const { state: how, since } = state.serving;
  const maintenance = state.maintenance ? " Under maintenance: callers are turned away." : "";
  if (how === "unknown") return `Whether users are served is not known.${maintenance}`;
  const when = since === null ? "for more than a day" : `since ${moment(since)}`;
  return (how === "up" ? `Users are served, ${when}.` : `Users are NOT served, ${when}.`) + maintenance;
}
