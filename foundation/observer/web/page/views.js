// What each section shows of a picture.

import { duration, element, many, number, pairs, percent, rate, size } from "./format.js";
import { spark } from "./spark.js";
import { Table } from "./table.js";
import { Tree } from "./tree.js";

const $ = (id) => document.getElementById(id);
const PAGE = 100; // processes shown at first, and more with each "Show more"

const GOOD = ["up", "running", "healthy", "idle", "channel"];
const BAD = ["no answer", "quarantined", "critical", "unhealthy", "open"];
const WARN = ["suspect", "degraded", "draining", "waiting for a node", "starting", "moving", "joining", "half open"];

function badge(text, kind) {
  const found = kind ?? (GOOD.includes(text) ? "good" : BAD.includes(text) ? "bad" : WARN.includes(text) ? "warn" : "plain");
  return element("span", { class: "badge", "data-kind": found }, text);
}

function tags(texts) {
  return texts.length ? element("span", { class: "tags" }, ...texts.map((text) => element("span", { class: "tag" }, text))) : "–";
}

function code(text) {
  return text ? element("code", {}, text) : "–";
}

function list(id, texts) {
  const said = JSON.stringify(texts);
  const target = $(id);
  if (target.dataset.said === said) return;
  target.dataset.said = said;
  target.replaceChildren(...texts.map((text) => element("li", {}, text)));
}

const OF_LIVE = "Counted by the hosts that live now, since each began";
const lostOf = (row) => `${row.name} is down: ${row.reason}, ${duration(row.seconds_ago)} ago`;
const stateOf = (node) => (node.answered ? node.state : "no answer");
const statusOf = (line) => (line.status === "waiting" ? "waiting for a node" : line.status);
const nameOf = (process) => process.known_as ?? process.name ?? "";

const text = (title, value, more = {}) => ({ title, value, show: (row) => String(value(row) ?? "–") || "–", ...more });
const count = (title, value, show = number, more = {}) => ({ title, value, show: (row) => show(value(row)), right: true, ...more });

export class Views {
  constructor() {
    this.picture = null;
    this.limit = PAGE;
    this.node = "";
    this.tree = new Tree("tree-view");
    this.tables = this.makeTables();
    this.nodeSparks = new Map();
    $("filter-node").addEventListener("change", (event) => {
      this.node = event.target.value;
      this.limit = PAGE;
      this.processes();
    });
    $("more").addEventListener("click", () => {
      this.limit += PAGE;
      this.processes();
    });
    $("unfold").addEventListener("click", () => this.tree.fold(false));
    $("fold").addEventListener("click", () => this.tree.fold(true));
  }

  makeTables() {
    const nodeSpark = (metric, label, show) => (node) => {
      const points = this.picture.node_series[node.name]?.[metric] ?? [];
      return [element("span", { class: "figure" }, show(node[metric])), spark(points, { label: `${label} of ${node.name}`, show, width: 72, height: 18, floor: metric === "cpu_percent" ? 0 : null })];
    };
    return {
      nodes: new Table("nodes-table", {
        caption: "Nodes of the cluster", empty: "No node.", key: (node) => node.name,
        tone: (node) => (node.answered ? null : "bad"),
        columns: [
          { title: "Node", value: (n) => n.name, show: (n) => [element("b", {}, n.name), n.asked ? element("span", { class: "tag", title: "The node that is asked" }, "asked") : ""] },
          { title: "State", value: stateOf, show: (n) => badge(stateOf(n)) },
          { title: "CPU", value: (n) => n.cpu_percent, show: nodeSpark("cpu_percent", "CPU", percent), right: true, hint: "Processor time of its hosts; 100 % is one core" },
          { title: "Memory", value: (n) => n.rss_bytes, show: nodeSpark("rss_bytes", "Memory", size), right: true },
          { title: "Processes", value: (n) => n.process_count, show: nodeSpark("process_count", "Processes", number), right: true },
          { title: "In mailboxes", value: (n) => n.mailboxes, show: nodeSpark("mailboxes", "Messages in mailboxes", number), right: true },
          count("Hosts", (n) => n.hosts),
          { title: "Load", value: (n) => n.load, show: (n) => (n.load === null ? "–" : `${n.load.toFixed(2)} / ${n.cpus}`), right: true, hint: "Load average of its machine, and its cores" },
          count("Up", (n) => n.up_seconds, duration),
          text("Address", (n) => n.address),
          { title: "Labels", value: (n) => pairs(n.labels).join(" "), show: (n) => tags(pairs(n.labels)) },
        ],
      }),
      hosts: new Table("hosts-table", {
        caption: "Hosts of all nodes", empty: "No host.", key: (host) => host.host,
        tone: (host) => (host.answered ? null : "bad"),
        columns: [
          { title: "Host", value: (h) => h.host, show: (h) => element("b", {}, h.host) },
          { title: "State", value: (h) => (h.answered ? "up" : "no answer"), show: (h) => badge(h.answered ? "up" : "no answer") },
          count("OS pid", (h) => h.os_pid, (pid) => String(pid ?? "–")),
          count("CPU", (h) => h.cpu_percent, percent),
          count("Memory", (h) => h.rss_bytes, size),
          count("Processes", (h) => h.process_count),
          count("In mailboxes", (h) => h.mailboxes),
          count("Slices", (h) => h.slices_per_second, rate, { hint: "How often its scheduler lets a process run" }),
          count("Frames sent", (h) => h.frames_per_second, rate),
          count("Up", (h) => h.up_seconds, duration),
        ],
      }),
      processes: new Table("processes-table", {
        caption: "Processes, the fullest mailboxes first", empty: "No process fits.", key: (p) => p.pid,
        tone: (p) => (p.mailbox >= 1000 ? "warn" : null),
        columns: [
          { title: "Pid", value: (p) => p.pid, show: (p) => code(p.pid) },
          { title: "Name", value: nameOf, show: (p) => nameOf(p) || "–", kind: "long" },
          { title: "Class", value: (p) => p.class, show: (p) => p.class, kind: "long" },
          { title: "State", value: (p) => p.state, show: (p) => p.state },
          count("Mailbox", (p) => p.mailbox),
          count("Links", (p) => p.links),
          count("Monitors", (p) => p.monitored_by, number, { hint: "How many processes monitor it" }),
          count("Restarts", (p) => p.restarts, (n) => (n ? number(n) : "–"), { hint: "Restarts of its children" }),
        ],
      }),
      distributed: new Table("distributed-table", {
        caption: "Singletons, replicas and partitions", empty: "Nothing is distributed: see foundation.process_manager.",
        key: (line) => `${line.supervisor}/${line.name}`,
        tone: (line) => (line.status === "quarantined" ? "bad" : line.status === "running" ? null : "warn"),
        columns: [
          { title: "Name", value: (l) => l.name, show: (l) => element("b", {}, l.name), kind: "long" },
          text("Pattern", (l) => l.pattern),
          { title: "Status", value: statusOf, show: (l) => badge(statusOf(l)) },
          { title: "Running", value: (l) => l.running, show: (l) => `${number(l.running)} of ${number(l.wanted)}`, right: true },
          { title: "Where", value: (l) => l.nodes.join(" "), show: (l) => tags(l.instances.map((i) => (i.part === null ? i.node : `${i.part}: ${i.node}`))) },
          text("Restart", (l) => l.restart),
          text("In a minority", (l) => l.on_minority),
          text("Supervisor", (l) => l.supervisor),
          text("Why", (l) => l.instances.map((i) => i.reason).find(Boolean) ?? (l.status === "running" ? "" : l.why), { kind: "text" }),
        ],
      }),
      registries: new Table("registries-table", {
        caption: "Distributed registries", empty: "No distributed registry.", key: (r) => r.name,
        columns: [
          { title: "Registry", value: (r) => r.name, show: (r) => element("b", {}, r.name) },
          text("Keys", (r) => r.keys), count("Entries", (r) => r.count),
          { title: "First entries", value: (r) => r.count, show: (r) => tags(r.entries.slice(0, 12).map((e) => `${e.key} → ${e.pid}`)) },
        ],
      }),
      services: new Table("services-table", {
        caption: "Instances of services", empty: "No service is registered.", key: (s) => `${s.name}/${s.pid}/${s.instance}`,
        tone: (s) => (s.healthy ? null : "bad"),
        columns: [
          { title: "Service", value: (s) => s.name, show: (s) => element("b", {}, s.name), kind: "long" },
          text("Instance", (s) => (s.instance === s.pid ? "–" : s.instance), { kind: "long", hint: "Its own name, if it was given one" }),
          { title: "Health", value: (s) => String(s.healthy), show: (s) => badge(s.healthy ? "healthy" : "unhealthy") },
          { title: "Breaker", value: (s) => s.breaker, show: (s) => (s.breaker && s.breaker !== "closed" ? badge(s.breaker.replace("_", " ")) : "closed"), hint: "Circuit breaker of the host that the note above names" },
          text("Node", (s) => s.node),
          { title: "Process", value: (s) => s.pid, show: (s) => code(s.pid) },
          { title: "Capabilities", value: (s) => s.capabilities.join(" "), show: (s) => tags(s.capabilities) },
          { title: "Metadata", value: (s) => pairs(s.metadata).join(" "), show: (s) => tags(pairs(s.metadata)) },
        ],
      }),
      channels: new Table("channels-table", {
        caption: "Channels, topics and patterns with subscribers", empty: "Nobody subscribes to anything.",
        key: (c) => `${c.name}/${c.topic}/${c.pattern}`,
        columns: [
          { title: "Name", value: (c) => c.channel ?? c.topic, show: (c) => element("b", {}, c.channel ?? c.topic), kind: "long" },
          { title: "Kind", value: (c) => (c.channel ? "channel" : c.pattern ? "pattern" : "topic"), show: (c) => (c.channel ? "channel" : c.pattern ? "pattern" : "topic") },
          text("Way", (c) => (c.bulk === null ? null : c.bulk ? "bulk" : `${c.priority} priority`)),
          count("Subscribers", (c) => c.subscribers), count("Published", (c) => c.published, number, { hint: OF_LIVE }), count("Received", (c) => c.received, number, { hint: OF_LIVE }),
          { title: "Nodes", value: (c) => c.nodes.join(" "), show: (c) => tags(c.nodes) },
        ],
      }),
      advice: new Table("advice-table", {
        caption: "Advice of the optimizer", empty: "No advice.", key: (a) => `${a.rule}/${a.reason}`,
        columns: [
          { title: "Rule", value: (a) => a.rule, show: (a) => element("b", {}, String(a.rule ?? "–")) },
          { title: "State", value: (a) => String(a.applied), show: (a) => badge(a.reverted ? "taken back" : a.applied ? "applied" : a.safe ? "safe" : "for you to do", a.applied && !a.reverted ? "good" : "info") },
          text("Now", (a) => shown(a.current), { right: true }), text("Better", (a) => shown(a.proposed), { right: true }),
          text("Reason", (a) => a.reason, { kind: "text" }), text("Outcome", (a) => a.outcome, { kind: "text" }),
        ],
      }),
    };
  }

  show(picture) {
    this.picture = picture;
    this.head();
    this.cards();
    for (const name of ["nodes", "hosts", "distributed", "registries", "services", "channels", "advice"]) {
      this.tables[name].show(picture[name]);
    }
    this.nodeChoice();
    this.processes();
    $("breakers-of").textContent = picture.breakers_of ? `Circuit breakers are those of host ${picture.breakers_of}; each host has its own.` : "";
    this.tree.show(picture.tree, picture.tree_more);
    this.health();
  }

  head() {
    const { cluster, health, asked, totals } = this.picture;
    const name = cluster?.cluster ?? asked;
    $("cluster-name").textContent = name;
    $("cluster-kind").textContent = cluster ? `cluster of ${many(cluster.size, "node")}${cluster.settled ? "" : ", not all agree yet"}` : "a node alone";
    $("status").textContent = health.status;
    $("status").dataset.kind = health.status === "healthy" ? "good" : health.status === "critical" ? "bad" : "warn";
    $("asked").textContent = `As node ${asked} sees it; ${many(totals.processes, "process", "processes")} on ${many(totals.hosts, "host")}.`;
    document.title = `${health.status === "healthy" ? "" : "⚠ "}${name} – foundation`;
  }

  cards() {
    const { totals, series } = this.picture;
    const cards = [
      ["CPU", percent, "cpu_percent", totals.cpu_percent, 0], ["Memory", size, "rss_bytes", totals.rss_bytes, null],
      ["Processes", number, "processes", totals.processes, null], ["In mailboxes", number, "mailboxes", totals.mailboxes, 0],
      ["Scheduler slices", rate, "slices_per_second", totals.slices_per_second, 0], ["Frames between hosts", rate, "frames_per_second", totals.frames_per_second, 0],
    ];
    $("cards").replaceChildren(...cards.map(([title, show, metric, value, floor]) => element("li", { class: "card" },
      element("span", { class: "title" }, title),
      element("span", { class: "value", "data-metric": metric }, show(value)),
      spark(series[metric], { label: title, show, width: 200, height: 36, floor }),
    )));
  }

  nodeChoice() {
    const names = this.picture.nodes.map((node) => node.name);
    const select = $("filter-node");
    const there = [...select.options].slice(1).map((option) => option.value);
    if (JSON.stringify(names) === JSON.stringify(there)) return;
    select.replaceChildren(element("option", { value: "" }, "all"), ...names.map((name) => element("option", { value: name }, name)));
    if (!names.includes(this.node)) this.node = "";
    select.value = this.node;
  }

  processes() {
    if (this.picture === null) return;
    const words = $("filter").value.trim().toLowerCase();
    const fits = (p) => (!this.node || p.node === this.node) && (!words || `${nameOf(p)}\n${p.name ?? ""}\n${p.class}\n${p.pid}`.toLowerCase().includes(words));
    const rows = this.picture.processes.filter(fits);
    const table = this.tables.processes;
    table.most = this.limit;
    table.show(rows);
    const all = this.node ? this.picture.nodes.find((n) => n.name === this.node)?.process_count ?? 0 : this.picture.totals.processes;
    const matching = words && this.picture.matches !== null && !this.node ? Math.max(this.picture.matches, rows.length) : words ? rows.length : all;
    const shown = Math.min(rows.length, this.limit);
    $("process-count").textContent = shown < matching ? `${number(shown)} of ${many(matching, "process", "processes")}` : many(matching, "process", "processes");
    $("more").hidden = rows.length <= this.limit;
  }

  health() {
    const { health, notes, advice, parts, cluster } = this.picture;
    const down = (cluster?.lost ?? []).map(lostOf);
    $("lost-nodes").textContent = down.join("; ");
    $("lost-nodes").hidden = down.length === 0;
    $("health-status").replaceChildren(badge(health.status));
    $("health-source").textContent = health.source === "health_monitor" ? "By the health monitor; who did not answer just now is added." : "From what this picture shows; no health monitor runs here.";
    list("reasons", [...health.reasons, ...notes].length ? [...health.reasons, ...notes] : ["Nothing is wrong."]);
    list("recommendations", health.recommendations);
    $("recommendations-title").hidden = health.recommendations.length === 0;
    list("alert-list", [...health.reasons, ...down, ...notes]);
    $("alerts").hidden = health.reasons.length + down.length + notes.length === 0;
    const open = health.reasons.length + advice.filter((line) => !line.applied).length;
    $("health-count").textContent = number(open);
    $("health-count").hidden = open === 0;
    const numbers = Object.entries(health.report?.metrics ?? {});
    $("numbers-panel").hidden = numbers.length === 0;
    $("numbers").replaceChildren(...numbers.map(([name, value]) => element("div", {}, element("dt", {}, label(name)), element("dd", {}, measured(name, value)))));
    const said = JSON.stringify(parts);
    if ($("parts").dataset.said !== said) {
      $("parts").dataset.said = said;
      $("parts").replaceChildren(...Object.entries(parts).map(([name, part]) => element("div", { class: "panel" }, element("h3", {}, name), element("pre", { tabindex: "0" }, JSON.stringify(part, null, 2)))));
    }
  }
}

function label(name) {
  return name.replace(/_(p50|p99|average)?_?us$/, " $1 (µs)").replace(/_ms$/, " (ms)").replace(/_bytes$/, "").replaceAll("_", " ");
}

function measured(name, value) {
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (typeof value !== "number") return shown(value);
  if (name.endsWith("_bytes")) return size(value);
  if (name === "checked_at") return new Date(value * 1000).toLocaleTimeString();
  return Number.isInteger(value) || value >= 100 ? number(value) : value.toFixed(value < 10 ? 2 : 1);
}

function shown(value) {
  return value === null || value === undefined ? "–" : typeof value === "object" ? JSON.stringify(value) : String(value);
}
