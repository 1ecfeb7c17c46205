"use strict";

/** Names of jobs and the like may hold anything: all cells are text. */
const asText = (cell) => document.createTextNode(String(cell.getValue() ?? ""));
const asSpan = (cell) => document.createTextNode(cell.getValue() === null ? "" : span(cell.getValue()));
const asCount = (cell) => document.createTextNode(count(cell.getValue()));

/** A table of rows that have a `key`; `choose` is told the key of one that is clicked, or entered. Rows are drawn as
 * they come into view, however many there are. */
class Table {
  constructor(id, label, columns, choose) {
    this.frame = document.getElementById(`${id}-table`);
    this.told = document.getElementById(`${id}-told`);
    this.columns = columns.map((column) => ({ formatter: asText, headerSortTristate: true, ...column }));
    Object.assign(this, { label, choose, rows: [], ready: null });
  }

  /** Show rows; `told` says what they are. */
  set(rows, told) {
    this.rows = rows;
    this.told.textContent = told;
    this.frame.setAttribute("aria-busy", "true");
    if (this.ready) this.ready = this.ready.then(() => this.table.setData(rows)).then(() => this.filled());
  }

  /** A table can be made only where it has a size: when its tab is opened. */
  show() {
    if (this.ready) return;
    this.table = new Tabulator(this.frame, {
      data: this.rows,
      index: "key",
      columns: this.columns,
      maxHeight: "65vh",
      layout: "fitColumns",
      placeholder: "nothing",
      columnDefaults: { headerHozAlign: "left", resizable: false },
    });
    this.table.on("rowClick", (_, row) => this.choose(row.getData().key));
    this.ready = new Promise((done) => this.table.on("tableBuilt", done)).then(() => {
      this.frame.setAttribute("aria-label", this.label);
      this.frame.addEventListener("keydown", (event) => this.key(event));
      // What can be scrolled can be focused, and a grid has nothing but groups of rows.
      for (const [part, role] of [["tableholder", "rowgroup"], ["table", "none"], ["header-contents", "none"]]) {
        this.frame.querySelector(`.tabulator-${part}`).setAttribute("role", role);
      }
      this.filled();
    });
  }

  /** Show only rows in which all words stand somewhere. */
  only(words) {
    const parts = words.toLowerCase().split(/\s+/).filter(Boolean);
    const text = (row) => Object.values(row).join("\n").toLowerCase();
    this.ready = this.ready?.then(() => this.table.setFilter((row) => parts.every((part) => text(row).includes(part))));
  }

  /** Make room for another table in the same place. */
  remove() {
    if (this.ready) this.table.destroy();
    this.frame.replaceChildren();
  }

  filled() {
    this.keys = new Set(this.rows.map((row) => row.key));
    this.mark(this.chosen);
    this.frame.setAttribute("aria-rowcount", this.rows.length + 1);
    this.frame.setAttribute("aria-busy", "false");
  }

  /** Arrows walk the rows, like a click on the next. */
  key(event) {
    if (event.key !== "ArrowDown" && event.key !== "ArrowUp") return;
    const shown = this.table.getRows("active");
    const now = shown.findIndex((row) => row.getData().key === this.chosen);
    const next = shown[Math.max(0, now + (event.key === "ArrowDown" ? 1 : -1))];
    if (!next) return;
    event.preventDefault();
    this.choose(next.getData().key);
    this.table.scrollToRow(next, "nearest", false);
  }

  mark(key) {
    const before = this.chosen;
    this.chosen = key;
    for (const one of [before, key]) {
      if (this.keys?.has(one)) this.table.getRow(one).getElement().classList.toggle("chosen", one === key);
    }
  }
}
