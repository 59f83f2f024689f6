// The connection: pictures come as server-sent events, and what is lost is said.

import { Views } from "./views.js";

const $ = (id) => document.getElementById(id);
const LATE = 5000; // milliseconds without a picture after which the page says so

const views = new Views();
let source = null;
let match = "";
let paused = false;
let last = 0;
let trouble = "";

function connect() {
  source?.close();
  source = new EventSource(match ? `events?match=${encodeURIComponent(match)}` : "events");
  source.addEventListener("picture", (event) => {
    last = Date.now();
    trouble = "";
    if (!paused) views.show(JSON.parse(event.data));
    look();
  });
  source.addEventListener("trouble", (event) => {
    trouble = JSON.parse(event.data).text;
    look();
  });
  source.addEventListener("error", () => {
    trouble = "The dashboard does not answer.";
    look();
    // A refused connection is tried again by the browser; one that was answered wrongly is not.
    if (source.readyState === EventSource.CLOSED) setTimeout(connect, 2000);
  });
}

function look() {
  const age = last ? Math.round((Date.now() - last) / 1000) : null;
  const late = last && Date.now() - last > LATE;
  const lost = trouble !== "" || late;
  $("live").dataset.live = lost ? "no" : paused ? "paused" : last ? "yes" : "no";
  const said = lost ? "lost" : paused ? "paused" : last ? "live" : "connecting…";
  if ($("live").textContent !== said) $("live").textContent = said;
  document.body.classList.toggle("stale", Boolean(lost && last));
  $("lost").hidden = !lost;
  if (lost) {
    const reason = trouble || "No news from the dashboard.";
    const shown = age === null ? "" : ` What is shown is ${age} s old.`;
    const text = `Connection lost. ${reason} Trying again…${shown}`;
    if ($("lost").textContent !== text) $("lost").textContent = text;
  }
}

function section() {
  const name = location.hash.slice(1);
  const known = document.querySelector(`main > section[id="${CSS.escape(name)}"]`) ? name : "overview";
  for (const each of document.querySelectorAll("main > section")) each.hidden = each.id !== known;
  for (const link of document.querySelectorAll("nav a")) {
    if (link.hash === `#${known}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
}

let typing = 0;
$("filter").addEventListener("input", () => {
  views.limit = 100;
  views.processes();
  clearTimeout(typing);
  typing = setTimeout(() => { // the hosts look through all their processes, not only those here
    match = $("filter").value.trim();
    connect();
  }, 400);
});
document.querySelector("form.tools").addEventListener("submit", (event) => event.preventDefault());

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", String(paused));
  $("pause").textContent = paused ? "Go on" : "Pause";
  look();
});

function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
}
try {
  theme(localStorage.getItem("theme"));
} catch { /* storage is forbidden: the system's choice stays */ }
$("theme").addEventListener("click", () => {
  const dark = getComputedStyle(document.documentElement).getPropertyValue("--dark").trim() === "1";
  theme(dark ? "light" : "dark");
  try {
    localStorage.setItem("theme", dark ? "light" : "dark");
  } catch { /* it holds until the page is left */ }
});

addEventListener("hashchange", () => {
  section();
  scrollTo(0, 0);
});
setInterval(look, 1000);
section();
connect();
