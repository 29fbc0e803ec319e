"use strict";
// What all viewers use: the page's data, making elements, marking text; and the figures in light and dark.
// Text of a model reaches the page only as text nodes, never as markup.

const report = JSON.parse(document.getElementById("report-data").textContent);
const byId = (id) => document.getElementById(id);

/** An element with attributes (`on...` are listeners; false and null are left out) and children. */
function make(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** Fill a select with [value, text] pairs. */
function offer(select, pairs) {
  select.replaceChildren(...pairs.map(([value, text]) => make("option", {value}, text)));
}

const write = (value, digits = 2) => (value === null || value === undefined ? "–" : value.toFixed(digits));
const signed = (value) => (value === null ? "–" : (value < 0 ? "−" : "+") + Math.abs(value).toFixed(2));
const percent = (value) => (value === null ? "–" : (100 * value).toFixed(1) + " %");

// --- marked text -----------------------------------------------------------------------------------------------

const literal = (text) => text.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
// whole words in Latin letters, anywhere in other scripts: as stages/evaluation/behaviour.py counts them
const whole = (phrase) => (/^[\x00-\x7f]*$/.test(phrase) ? `(?<![A-Za-z])${literal(phrase)}(?![A-Za-z])` : literal(phrase));
const longestFirst = [...report.phrases].sort((one, other) => other.length - one.length);
const REFLECTIVE = longestFirst.map(whole).join("|");

/** `text` as nodes, with tags, reflective words and what was searched for marked. */
function marked(text, searched = "") {
  const kinds = [["found", searched && literal(searched)], ["tags", "</?(?:think|answer)>"], ["word", REFLECTIVE]];
  const present = kinds.filter(([, pattern]) => pattern);
  const pattern = new RegExp(present.map(([, one]) => `(${one})`).join("|"), "gi");
  const nodes = [];
  let done = 0;
  for (const match of text.matchAll(pattern)) {
    const kind = present[match.slice(1).findIndex((one) => one !== undefined)][0];
    nodes.push(text.slice(done, match.index), make("mark", {class: kind}, match[0]));
    done = match.index + match[0].length;
  }
  return [...nodes, text.slice(done)];
}

const verdictMark = (right) => (right === null ? "·" : right ? "✓" : "✗");
const verdictTone = (right) => (right === null ? "unsure" : right ? "good" : "bad");

// --- figures ---------------------------------------------------------------------------------------------------

// Figures come without colours: they are taken from the page's own variables, again whenever light turns to dark.
const probe = document.body.appendChild(make("span", {hidden: ""}));
function colour(name) {
  probe.style.color = `var(${name})`;
  return getComputedStyle(probe).color;
}

function draw(host) {
  const figure = structuredClone(report.plots[host.dataset.plot]);
  const ink = colour("--soft"), rule = colour("--rule");
  for (const trace of figure.data) {
    const own = colour("--series-" + trace.meta.colour);
    trace.line = {...trace.line, color: own};
    trace.marker = {...trace.marker, color: own};
    if (trace.error_x) trace.error_x.color = own;
  }
  const axis = {gridcolor: rule, linecolor: rule, zerolinecolor: rule, automargin: true, fixedrange: true};
  const layout = {...figure.layout, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
    font: {color: ink, size: 12, family: getComputedStyle(document.body).fontFamily},
    xaxis: {...figure.layout.xaxis, ...axis}, yaxis: {...figure.layout.yaxis, ...axis}};
  Plotly.react(host, figure.data, layout, {displayModeBar: false, responsive: true});
  host.dataset.drawn = "yes";
}

// A figure is drawn when it comes near the window, so that a long page opens at once.
const near = new IntersectionObserver((entries) => {
  for (const entry of entries) if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
}, {rootMargin: "600px"});
document.querySelectorAll(".plot").forEach((host) => near.observe(host));
const redraw = () => document.querySelectorAll(".plot[data-drawn]").forEach(draw);

// --- light and dark --------------------------------------------------------------------------------------------

const prefersDark = matchMedia("(prefers-color-scheme: dark)");
prefersDark.addEventListener("change", redraw);
byId("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const now = root.dataset.theme || (prefersDark.matches ? "dark" : "light");
  root.dataset.theme = now === "dark" ? "light" : "dark";
  redraw();
});

// --- links into folded parts -----------------------------------------------------------------------------------

/** Unfold what the address points at, and everything around it. */
function reveal() {
  const target = location.hash && byId(decodeURIComponent(location.hash.slice(1)));
  if (!target) return;
  for (let one = target.closest("details"); one; one = one.parentElement.closest("details")) one.open = true;
  target.scrollIntoView();
}
addEventListener("hashchange", reveal);
addEventListener("load", reveal);
