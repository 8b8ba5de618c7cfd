// The console: asks for the state every ten seconds and for graphs every minute.

import { draw, missing, prepare } from "./charts.js";
import { wear } from "./theme.js";
import { element, show } from "./view.js";

const STATE_SECONDS = 10;
const GRAPH_SECONDS = 60;
const HOURS = { 1: "1 h", 6: "6 h", 24: "1 day", 168: "1 week" };

const part = (id) => document.getElementById(id);
let panels = [];
let hours = Number(localStorage.getItem("hours")) || 6;
let state = null;
let timers = [];

class LoggedOut extends Error {}

async function asked(path, options) {
  const answer = await fetch(`/ops/api/${path}`, { signal: AbortSignal.timeout(20000), ...options });
  if (answer.status === 401) throw new LoggedOut();
  if (answer.status === 204) return null;
  const told = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(told.detail ?? `the console answers ${answer.status}`);
  return told;
}

async function refresh() {
  try {
    state = await asked("state");
    show(state);
  } catch (error) {
    if (error instanceof LoggedOut) return leave();
    part("missing").textContent = `The console does not answer (${error.message}); what is below is of ${
      state ? new Date(1000 * state.at).toLocaleTimeString() : "no time at all"}.`;
  }
}

async function graphs() {
  for (const panel of panels) {
    try {
      draw(panel, await asked(`series?panel=${panel.name}&hours=${hours}`), state?.releases ?? []);
    } catch (error) {
      if (error instanceof LoggedOut) return leave();
      missing(panel, error.message);
    }
  }
}

function choose(chosen) {
  hours = chosen;
  localStorage.setItem("hours", chosen);
  for (const button of part("hours").children) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.hours) === chosen));
  }
  graphs();
}

function leave() {
  timers.forEach(clearInterval);
  timers = [];
  part("console").hidden = true;
  part("login").hidden = false;
  part("password").focus();
}

async function enter() {
  const told = await asked("panels");
  panels = told.panels;
  part("login").hidden = true;
  part("console").hidden = false;
  prepare(panels);
  part("hours").replaceChildren(...told.hours.map((each) => {
    const button = element("button", { type: "button", "data-hours": each }, HOURS[each] ?? `${each} h`);
    button.addEventListener("click", () => choose(each));
    return button;
  }));
  await refresh();
  choose(told.hours.includes(hours) ? hours : told.hours[0]);
  timers = [setInterval(refresh, 1000 * STATE_SECONDS), setInterval(graphs, 1000 * GRAPH_SECONDS)];
}

async function login(event) {
  event.preventDefault();
  const body = JSON.stringify({ password: part("password").value });
  const headers = { "content-type": "application/json" };
  const answer = await fetch("/ops/api/login", { method: "POST", headers, body }).catch(() => null);
  if (answer?.ok) {
    part("password").value = "";
    part("refusal").textContent = "";
    await enter();
    return;
  }
  const told = await answer?.json().catch(() => null);
  part("refusal").textContent = told?.detail ?? "The console does not answer.";
}

function theme() {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  const now = document.documentElement.dataset.theme ?? (dark ? "dark" : "light");
  wear(now === "dark" ? "light" : "dark");
  graphs();
}

function key(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input")) return;
  if (part("console").hidden) return;
  if (event.key === "r") { refresh(); graphs(); }
  else if (event.key === "l") location.assign("/ops/logs");
  else if (event.key === "d") location.assign("/ops/releases");
  else if (event.key === "t") theme();
  else if (event.key === "?") part("keys").showModal();
  else {
    const chosen = part("hours").children[Number(event.key) - 1];
    if (chosen) choose(Number(chosen.dataset.hours));
  }
}

part("login").addEventListener("submit", login);
part("logout").addEventListener("click", async () => { await asked("logout", { method: "POST" }); leave(); });
part("theme").addEventListener("click", theme);
part("help").addEventListener("click", () => part("keys").showModal());
document.addEventListener("keydown", key);
let resized;
addEventListener("resize", () => { clearTimeout(resized); resized = setTimeout(graphs, 300); });
part("starting").remove();
enter().catch(leave);
