"use strict";
// A leaderboard: search, filters, columns, the question of the comparison, details of an entry, and figures.
// All text is set as text, never as markup: names come from anybody.
const data = JSON.parse(document.getElementById("board").textContent);
const table = document.getElementById("table");
const SVG = "http://www.w3.org/2000/svg";
const find = (id) => document.getElementById(id);

function make(name, attributes = {}, ...children) {
  const one = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  one.append(...children);
  return one;
}

function draw(parent, name, attributes, text) {
  const one = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) one.setAttribute(key, value);
  if (text !== undefined) one.textContent = text;
  parent.append(one);
  return one;
}

function grid(heads, rows, title) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  const body = rows.map((cells) =>
    make("tr", {}, ...cells.map((text, i) => (i ? make("td", {}, text) : make("th", { scope: "row" }, text)))));
  const caption = title ? [make("caption", {}, make("span", {}, title))] : [];
  return make("table", {}, ...caption, make("thead", {}, head), make("tbody", {}, ...body));
}

// ------------------------------------------------------------------------------- the table

const rows = table ? Array.from(table.tBodies[0].rows) : [];
let shown = rows.map((row) => Number(row.dataset.entry));

function filter() {
  const words = find("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  const outcome = find("outcome")?.value ?? "";
  const searched = find("searched").checked;
  shown = [];
  for (const row of rows) {
    const said = row.querySelector('[data-field="outcome"]')?.textContent ?? "";
    const fits = words.every((word) => row.dataset.words.includes(word)) &&
      (!outcome || said === outcome) && (!searched || row.dataset.searched !== "no");
    row.hidden = !fits;
    if (fits) shown.push(Number(row.dataset.entry));
  }
  find("count").textContent = `${shown.length} of ${rows.length} entries`;
  figures();
}

function compareOn(question) {
  const fields = ["rank", "group", "delta", "outcome"];
  const compared = data.questions[question] ?? {};
  for (const row of rows) {
    const cells = compared[data.entries[row.dataset.entry].label] ?? ["–", "–", "–", "–", ""];
    fields.forEach((field, i) => {
      const cell = row.querySelector(`[data-field="${field}"]`);
      if (!cell) return;
      cell.textContent = cells[i];
      if (field === "delta") {
        cell.classList.toggle("better", cells[4] === "better");
        cell.classList.toggle("worse", cells[4] === "worse");
      }
    });
  }
  filter();
}

function column(field, on) {
  for (const cell of table.querySelectorAll(`[data-field="${CSS.escape(field)}"]`)) cell.hidden = !on;
}

// ------------------------------------------------------------------------ details of an entry

function details(place) {
  const entry = data.entries[place];
  const close = make("button", { type: "button", class: "close", "aria-label": "Close" }, "×");
  const dialog = find("entry");
  close.addEventListener("click", () => dialog.close());
  const facts = make("dl", { class: "facts" });
  for (const [name, value] of entry.facts) facts.append(make("dt", {}, name), make("dd", {}, value));
  if (entry.rows) {
    const [path, count, digest] = entry.rows;
    // A path below the board, or below an address that whoever made the page named.
    const link = /^[a-z+.-]*script:/i.test(path) ? make("span", {}, path) : make("a", { href: path }, path);
    facts.append(make("dt", {}, "Rows"), make("dd", {}, link, ` (${count}; SHA-256 ${digest})`));
  }
  const tables = entry.tables.map((one, index) => {
    const box = make("details", {}, make("summary", {}, one.title));
    box.append(make("div", { class: "wide", tabindex: "0", role: "region", "aria-label": one.title }, grid(one.heads, one.rows)));
    box.open = index === 0;
    return box;
  });
  find("entry-body").replaceChildren(
    close,
    make("h2", { id: "entry-title" }, entry.label),
    make("ul", { class: "verdicts" }, ...entry.sentences.map((text) => make("li", {}, text))),
    ...tables,
    make("h3", {}, "How it was made"),
    facts,
  );
  dialog.showModal();
  dialog.scrollTop = 0;
}

// -------------------------------------------------------------------------------- figures

const short = (text, most) => (text.length > most ? `${text.slice(0, most - 1)}…` : text);
const baseline = rows.find((row) => row.classList.contains("baseline"))?.dataset.entry;

function ticks(low, high) {
  const rough = (high - low) / 5 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = unit * [1, 2, 5, 10].find((factor) => factor * unit >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-6; at += step) found.push(at);
  return found.map((at) => Number(at.toPrecision(8)));
}

function scale(values, from, to, pad = 0.06) {
  let [low, high] = [Math.min(...values), Math.max(...values)];
  const space = (high - low || Math.abs(high) || 1) * pad;
  [low, high] = [low - space, high + space];
  return { low, high, at: (value) => from + ((value - low) / (high - low)) * (to - from) };
}

function canvas(name, height) {
  const place = find(`${name}-plot`);
  const width = Math.max(300, Math.min(place.clientWidth || 800, 900));
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("aria-hidden", "true");
  place.replaceChildren(svg);
  return { svg, width };
}

function scatter(name) {
  const figure = data.figures[name];
  const points = figure ? figure.points.filter(([entry]) => shown.includes(entry)) : [];
  find(name).hidden = points.length < 2;
  if (points.length < 2) return;
  const height = 360;
  const { svg, width } = canvas(name, height);
  const x = scale(points.map((one) => one[1]), 52, width - 14);
  const y = scale(points.map((one) => one[2]), height - 44, 14);
  for (const at of ticks(x.low, x.high)) {
    draw(svg, "line", { x1: x.at(at), x2: x.at(at), y1: 10, y2: height - 44, class: "grid" });
    draw(svg, "text", { x: x.at(at), y: height - 28, class: "tick middle" }, String(at));
  }
  for (const at of ticks(y.low, y.high)) {
    draw(svg, "line", { x1: 52, x2: width - 10, y1: y.at(at), y2: y.at(at), class: "grid" });
    draw(svg, "text", { x: 46, y: y.at(at) + 4, class: "tick end" }, String(at));
  }
  draw(svg, "text", { x: (52 + width) / 2, y: height - 8, class: "axis middle" }, figure.axes[0]);
  draw(svg, "text", { x: -(height - 44) / 2, y: 13, transform: "rotate(-90)", class: "axis middle" }, figure.axes[1]);
  const front = front_of(points, figure);
  if (front.length) {
    const steps = front.map(([, a, b], i) => `${i ? `H${x.at(a)}` : `M${x.at(a)} ${y.at(b)}`}V${y.at(b)}`);
    draw(svg, "path", { d: steps.join(""), class: "front" });
  }
  const onFront = new Set(front.map(([entry]) => entry));
  const taken = points.map(([, a, b]) => [x.at(a) - 5, y.at(b) - 5, x.at(a) + 5, y.at(b) + 5]);
  const order = [...points].sort(([a], [b]) => onFront.has(b) - onFront.has(a));
  for (const [entry, a, b] of order) {
    const kinds = ["point", ...(onFront.has(entry) ? ["best"] : []), ...(String(entry) === baseline ? ["base"] : [])];
    const dot = draw(svg, "circle", { cx: x.at(a), cy: y.at(b), r: onFront.has(entry) ? 5.5 : 4.5, class: kinds.join(" ") });
    const text = figure.texts[figure.points.findIndex((one) => one[0] === entry)];
    draw(dot, "title", {}, `${data.entries[entry].label}: ${text.join(", ")}`);
    dot.addEventListener("click", () => details(entry));
    label(svg, data.entries[entry].label, x.at(a), y.at(b), width, taken, kinds.length > 1 || points.length <= 40);
  }
  const named = front.map(([entry]) => data.entries[entry].label).join(", ");
  find(`${name}-caption`).textContent = name === "pareto"
    ? `The line joins the entries that no other one beats in both (the Pareto front): ${named}. Ring: the baseline. A point opens its entry.`
    : "Left: no conflict. Low: what was learned carries over to unseen tasks. Ring: the baseline. A point opens its entry.";
  const numbers = figure.points
    .map(([entry], i) => [entry, data.entries[entry].label, ...figure.texts[i], onFront.has(entry) ? "yes" : "no"])
    .filter(([entry]) => shown.includes(entry))
    .map((row) => row.slice(1, name === "pareto" ? 5 : 4));
  find(`${name}-numbers`).replaceChildren(grid(["Entry", ...figure.axes, ...(name === "pareto" ? ["On the front"] : [])], numbers));
}

// Of the shown entries those that none beats in cost and score.
function front_of(points, figure) {
  if (!figure.front) return [];
  const order = [...points].sort((a, b) => a[1] - b[1] || b[2] - a[2]);
  const front = [];
  for (const one of order) {
    const last = front.at(-1);
    if (!last || one[2] > last[2] || (one[1] === last[1] && one[2] === last[2])) front.push(one);
  }
  return front;
}

function label(svg, text, x, y, width, taken, wanted) {
  if (!wanted) return;
  const size = short(text, 26).length * 6.1 + 4;
  for (const [dx, dy, anchor] of [[8, 4, "start"], [-8, 4, "end"], [0, -9, "middle"], [0, 17, "middle"]]) {
    const left = x + dx - (anchor === "end" ? size : anchor === "middle" ? size / 2 : 0);
    const box = [left, y + dy - 11, left + size, y + dy + 3];
    if (box[0] < 54 || box[2] > width || box[1] < 2) continue;
    if (taken.some((one) => one[0] < box[2] && box[0] < one[2] && one[1] < box[3] && box[1] < one[3])) continue;
    taken.push(box);
    draw(svg, "text", { x: x + dx, y: y + dy, class: `name ${anchor}` }, short(text, 26));
    return;
  }
}

function boxes() {
  const figure = data.figures.boxes;
  const choice = find("boxes-choice");
  const all = figure ? figure.choices[choice.value] ?? [] : [];
  const mine = all.filter(([entry]) => shown.includes(entry)).sort((a, b) => b[3] - a[3]);
  const most = mine.slice(0, 40);
  find("boxes").hidden = !most.length;
  if (!most.length) return;
  const height = 34 + 24 * most.length;
  const { svg, width } = canvas("boxes", height);
  const left = Math.min(190, width * 0.38);
  const x = scale(most.flatMap((one) => [one[1], one[5], one[6]]), left + 6, width - 12, 0.03);
  for (const at of ticks(x.low, x.high)) {
    draw(svg, "line", { x1: x.at(at), x2: x.at(at), y1: 4, y2: height - 28, class: "grid" });
    draw(svg, "text", { x: x.at(at), y: height - 14, class: "tick middle" }, String(at));
  }
  most.forEach(([entry, low, first, median, third, high, mean, n], i) => {
    const y = 16 + 24 * i;
    const kinds = `box${String(entry) === baseline ? " base" : ""}`;
    draw(svg, "text", { x: left, y: y + 4, class: "name end" }, short(data.entries[entry].label, Math.floor(left / 6.4)));
    draw(svg, "line", { x1: x.at(low), x2: x.at(high), y1: y, y2: y, class: "whisker" });
    const rect = draw(svg, "rect", { x: x.at(first), y: y - 7, width: Math.max(1, x.at(third) - x.at(first)), height: 14, class: kinds });
    draw(rect, "title", {}, `${data.entries[entry].label}: median ${median}, quartiles ${first} to ${third}, mean ${mean}, ${n} streams`);
    rect.addEventListener("click", () => details(entry));
    draw(svg, "line", { x1: x.at(median), x2: x.at(median), y1: y - 7, y2: y + 7, class: "median" });
    const m = x.at(mean);
    draw(svg, "path", { d: `M${m - 4} ${y}L${m} ${y - 4}L${m + 4} ${y}L${m} ${y + 4}Z`, class: "mean" });
  });
  const more = mine.length > most.length ? ` The first ${most.length} of ${mine.length} by their median.` : "";
  find("boxes-caption").textContent = `${figure.axes[0]}, over streams and seeds. Box: quartiles and median; whiskers: the ` +
    `last stream within 1.5 interquartile ranges; diamond: mean.${more}`;
  find("boxes-numbers").replaceChildren(grid(
    ["Entry", "Low", "First quartile", "Median", "Third quartile", "High", "Mean", "Streams"],
    mine.map(([entry, ...numbers]) => [data.entries[entry].label, ...numbers.map(String)])));
}

function figures() {
  scatter("pareto");
  scatter("conflict");
  boxes();
}

// ---------------------------------------------------------------------------------- start

for (const name of Object.keys(data.figures.boxes?.choices ?? {})) find("boxes-choice").append(make("option", { value: name }, name));
find("boxes-choice").addEventListener("change", boxes);
if (table) {
  find("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const id of ["search", "outcome", "searched"]) find(id)?.addEventListener("input", filter);
  find("question")?.addEventListener("input", () => compareOn(find("question").value));
  for (const box of find("columns").querySelectorAll("input")) {
    box.addEventListener("input", () => column(box.value, box.checked));
    if (!box.checked) column(box.value, false);
  }
  table.tBodies[0].addEventListener("click", (event) => {
    const button = event.target.closest("button.open");
    if (button) details(button.dataset.entry);
  });
  filter();
} else {
  figures();
}
let wait = 0;
addEventListener("resize", () => {
  clearTimeout(wait);
  wait = setTimeout(figures, 150);
});
