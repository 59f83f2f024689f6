// A table that is filled again and again: rows are kept by key, so that focus, selection and
// scrolling stay where they are, and sorted stably by the column that was chosen.

import { compare, element } from "./format.js";

export class Table {
  // columns: { title, value(row), show(row) -> text, node or list, right, sort: "up"|"down", hint }
  constructor(id, { caption, columns, key, empty, most = Infinity, tone = () => null }) {
    this.columns = columns;
    this.key = key;
    this.empty = empty;
    this.most = most;
    this.tone = tone;
    this.order = null; // null: as the picture has them
    this.rows = [];
    this.body = element("tbody");
    this.kept = new Map();
    this.element = document.getElementById(id);
    this.heads = columns.map((column, index) => this.head(column, index));
    this.element.append(
      element("caption", { class: "hidden" }, caption),
      element("thead", {}, element("tr", {}, ...this.heads)),
      this.body,
    );
  }

  head(column, index) {
    const button = element("button", { type: "button", title: column.hint ?? `Sort by ${column.title.toLowerCase()}` }, column.title);
    button.addEventListener("click", () => this.sort(index));
    return element("th", { scope: "col", class: column.right ? "right" : null }, button);
  }

  sort(index) {
    const first = this.columns[index].right ? -1 : 1; // of numbers the largest come first
    const same = this.order?.index === index;
    if (same && this.order.way !== first) this.order = null;
    else this.order = { index, way: same ? -first : first };
    this.heads.forEach((head, at) => {
      if (this.order?.index === at) head.setAttribute("aria-sort", this.order.way > 0 ? "ascending" : "descending");
      else head.removeAttribute("aria-sort");
    });
    this.show(this.rows);
  }

  ordered() {
    if (this.order === null) return this.rows;
    const { index, way } = this.order;
    const value = this.columns[index].value;
    return [...this.rows].sort((a, b) => way * compare(value(a), value(b)) || compare(this.key(a), this.key(b)));
  }

  show(rows) {
    this.rows = rows;
    const shown = this.ordered().slice(0, this.most);
    const kept = new Map();
    let at = this.body.firstChild;
    for (const row of shown) {
      const key = this.key(row);
      const line = this.kept.get(key) ?? { element: element("tr", { "data-key": key }), cells: [] };
      this.fill(line, row);
      kept.set(key, line);
      if (line.element === at) at = at.nextSibling;
      else this.body.insertBefore(line.element, at);
    }
    this.kept = kept;
    while (at !== null) {
      const next = at.nextSibling;
      at.remove();
      at = next;
    }
    if (shown.length === 0) {
      this.body.append(element("tr", { class: "empty" }, element("td", { colspan: this.columns.length }, this.empty)));
    }
  }

  fill(line, row) {
    const tone = this.tone(row);
    if (line.tone !== tone) {
      if (tone) line.element.dataset.tone = tone;
      else delete line.element.dataset.tone;
      line.tone = tone;
    }
    this.columns.forEach((column, index) => {
      const found = column.show(row);
      const said = typeof found === "string" ? found : null;
      if (said !== null && line.cells[index]?.said === said) return; // what stays is not touched
      let cell = line.cells[index];
      if (cell === undefined) {
        const name = index === 0 ? "th" : "td";
        cell = { element: element(name, { scope: index === 0 ? "row" : null, class: column.right ? "right" : column.kind ?? null }) };
        line.cells[index] = cell;
        line.element.append(cell.element);
      }
      cell.said = said;
      cell.element.replaceChildren(...(Array.isArray(found) ? found : [found]));
    });
  }
}
