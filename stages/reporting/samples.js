"use strict";
// The browser of held-out completions: search, filter, and the same problem side by side.
{
  const A_PAGE = 8;  // rows shown at once
  const {checkpoints, chosen, problems} = report.samples;
  const search = byId("samples-search"), source = byId("samples-source"), verdict = byId("samples-verdict");
  // all first completions, then all second ones, so that the first rows are different problems
  const rows = problems.flatMap((problem) => problem.completions.map((cells, place) => ({problem, place, cells})))
    .sort((one, other) => one.place - other.place);
  const picked = new Set((chosen.length ? chosen : checkpoints.slice(0, 3)).map((label) => checkpoints.indexOf(label)));
  let page = 0;

  const [TEXT, SCORE, REASON, TOKENS, TRUNCATED] = [0, 1, 2, 3, 4];
  const right = (cell) => cell[SCORE] >= 1;
  const verdicts = {
    all: ["all", () => true],
    right: ["one is right", (cells) => cells.some(right)],
    wrong: ["one is wrong", (cells) => cells.some((cell) => !right(cell))],
    differ: ["one right, another wrong", (cells) => cells.some(right) && cells.some((cell) => !right(cell))],
    truncated: ["one is truncated", (cells) => cells.some((cell) => cell[TRUNCATED])],
  };
  const shownCells = (row) => [...picked].map((at) => row.cells[at]).filter((cell) => cell);

  function matching() {
    const words = search.value.trim().toLowerCase(), fits = verdicts[verdict.value][1];
    return rows.filter((row) => {
      const cells = shownCells(row);
      if (source.value && row.problem.source !== source.value) return false;
      if (!cells.length || !fits(cells)) return false;
      return !words || [row.problem.id, row.problem.prompt, row.problem.reference, ...cells.map((cell) => cell[TEXT])]
        .some((text) => text.toLowerCase().includes(words));
    });
  }

  function column(at, row) {
    const cell = row.cells[at], label = checkpoints[at];
    if (!cell) return make("div", {}, make("h4", {}, label), make("p", {class: "empty"}, "not asked"));
    return make("div", {},
      make("h4", {}, label + " ", make("span", {class: right(cell) ? "good" : "bad"}, `${right(cell) ? "✓" : "✗"} ${cell[REASON].replaceAll("_", " ")} `),
        make("small", {}, `${cell[TOKENS]} tokens${cell[TRUNCATED] ? ", truncated" : ""}`)),
      make("pre", {tabindex: "0", "aria-label": `Completion of ${label}`}, ...marked(cell[TEXT], search.value.trim())));
  }

  function article(row) {
    const {problem, place} = row, many = problem.completions.length > 1 ? `, completion ${place + 1}` : "";
    return make("article", {class: "problem"},
      make("h3", {}, problem.id, make("small", {}, ` ${problem.source}, ${problem.benchmark}, ${problem.language}${many}`)),
      make("pre", {tabindex: "0", "aria-label": "Prompt"}, ...marked(problem.prompt, search.value.trim())),
      ...(problem.reference ? [make("p", {class: "note"}, `Reference: ${problem.reference}`)] : []),
      make("div", {class: "beside"}, ...[...picked].sort((one, other) => one - other).map((at) => column(at, row))));
  }

  function show() {
    const found = matching(), pages = Math.max(1, Math.ceil(found.length / A_PAGE));
    page = Math.min(page, pages - 1);
    const from = page * A_PAGE, part = found.slice(from, from + A_PAGE);
    byId("samples-chosen").textContent = [...picked].sort((one, other) => one - other).map((at) => checkpoints[at]).join(", ") || "none";
    byId("samples-count").textContent = found.length
      ? `${from + 1} to ${from + part.length} of ${found.length} rows` : rows.length ? "Nothing fits these filters." : "No held-out completions.";
    byId("samples-list").replaceChildren(...part.map(article));
    byId("samples-previous").disabled = page === 0;
    byId("samples-next").disabled = page >= pages - 1;
  }

  function turn(by) {
    page += by;
    show();
    byId("samples-count").scrollIntoView({block: "start"});
  }

  const fresh = () => { page = 0; show(); };
  let waiting = null;
  search.addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(fresh, 150); });
  source.addEventListener("change", fresh);
  verdict.addEventListener("change", fresh);
  byId("samples-previous").addEventListener("click", () => turn(-1));
  byId("samples-next").addEventListener("click", () => turn(1));
  byId("samples-checkpoints").append(...checkpoints.map((label, at) => make("label", {},
    Object.assign(make("input", {type: "checkbox", onchange: (event) => {
      if (event.target.checked) picked.add(at); else picked.delete(at);
      fresh();
    }}), {checked: picked.has(at)}), " " + label)));
  offer(source, [["", "all"], ...[...new Set(problems.map((one) => one.source))].map((name) => [name, name])]);
  offer(verdict, Object.entries(verdicts).map(([value, [text]]) => [value, text]));
  show();
}
