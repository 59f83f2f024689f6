// The supervision trees: nested lists that fold. What somebody has folded stays folded.

import { element, many, number } from "./format.js";

export class Tree {
  constructor(id) {
    this.element = document.getElementById(id);
    this.folded = new Set();
    this.drawn = "";
  }

  show(rows, more) {
    const said = JSON.stringify([more, rows.map((r) => [r.pid, r.depth, r.name, r.known_as, r.class, r.state, r.restarts, r.hidden, r.mailbox > 0 ? r.mailbox : 0])]);
    if (said === this.drawn) return;
    this.drawn = said;
    const focused = document.activeElement?.closest?.("#tree-view [data-pid]")?.dataset.pid;
    const root = element("ul", { class: "tree" });
    const open = [root]; // the lists of the ancestors, by depth
    rows.forEach((row, index) => {
      const parent = rows[index + 1]?.depth > row.depth || row.hidden > 0;
      open.length = row.depth + 1;
      open[row.depth].append(this.entry(row, parent, open));
    });
    this.rests(root);
    if (rows.length === 0) root.append(element("li", { class: "empty" }, "Nothing is supervised."));
    if (more > 0) root.append(element("li", { class: "empty" }, `… and ${many(more, "more")}`));
    this.element.replaceChildren(root);
    if (focused) root.querySelector(`[data-pid="${CSS.escape(focused)}"] > details > summary`)?.focus();
  }

  entry(row, parent, open) {
    const line = element("span", { class: "entry" },
      element("b", {}, row.class),
      row.known_as || row.name ? element("span", { class: "name" }, row.known_as || row.name) : null,
      element("code", {}, row.pid),
      row.restarts ? element("span", { class: "badge", "data-kind": "warn" }, many(row.restarts, "restart")) : null,
      row.mailbox ? element("span", { class: "badge", "data-kind": "info" }, `${number(row.mailbox)} in mailbox`) : null,
    );
    const item = element("li", { "data-pid": row.pid, "data-kind": row.kind });
    if (!parent) {
      item.append(line);
      return item;
    }
    const below = element("ul", { "data-hidden": row.hidden || null });
    const details = element("details", { open: !this.folded.has(row.pid) }, element("summary", {}, line), below);
    details.addEventListener("toggle", () => {
      if (details.open) this.folded.delete(row.pid);
      else this.folded.add(row.pid);
    });
    item.append(details);
    open.push(below);
    return item;
  }

  rests(root) {
    for (const list of root.querySelectorAll("ul[data-hidden]")) {
      const count = Number(list.dataset.hidden);
      list.append(element("li", { class: "empty" }, `… ${many(count, "more child", "more children")}`));
    }
  }

  fold(all) {
    for (const details of this.element.querySelectorAll("details")) details.open = !all;
  }
}
