"use strict";
// Tables sort on a click on a heading: as numbers where the column has them, missing values last, rows that are equal
// in the order they had. A second click turns the order round.
const UNITS = { s: 1, min: 60, h: 3600, MiB: 1, GiB: 1024, "%": 1 };

function value(text, numeric) {
  if (text === "–" || text === "") return null;
  if (!numeric) return text.toLowerCase();
  if (/^-?∞/.test(text)) return text[0] === "-" ? -Infinity : Infinity;
  const found = /^(<?)([+-]?[\d,]*\.?\d+)\s*(min|MiB|GiB|s\b|h\b|%)?/.exec(text);
  if (!found) return null;
  const number = Number(found[2].replaceAll(",", "")) * (UNITS[found[3]] ?? 1);
  return found[1] ? number - 1e-9 : number;
}

function compare(a, b) {
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a - b;
}

function sort(table, head, index) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  const numeric = head.classList.contains("number");
  const rows = Array.from(table.tBodies[0].rows, (row) => [value(row.cells[index].textContent.trim(), numeric), row]);
  rows.sort(([a], [b]) => (a === null || b === null ? (a === null) - (b === null) : up ? compare(a, b) : compare(b, a)));
  for (const other of table.tHead.rows[0].cells) other.setAttribute("aria-sort", "none");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  table.tBodies[0].append(...rows.map(([, row]) => row));
}

for (const table of document.querySelectorAll("table.sortable")) {
  Array.from(table.tHead.rows[0].cells).forEach((head, index) => {
    head.querySelector("button").addEventListener("click", () => sort(table, head, index));
  });
}
