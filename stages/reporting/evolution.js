"use strict";
// The slider over training steps: the numbers at a step, and what was sampled at it beside the first step's.
{
  const MOST_TEXTS = 4;  // completions of a group shown in each column: the first ones sampled
  const run = byId("evolution-run"), slider = byId("evolution-step"), beside = byId("evolution-beside");
  const play = byId("evolution-play"), tiles = byId("evolution-tiles");
  const current = () => report.runs[run.value];

  /** The last of `items` (by ascending step) that is not after `step`. */
  function upTo(items, step, stepOf) {
    let found = null;
    for (const one of items) if (stepOf(one) <= step) found = one;
    return found;
  }

  function line(tile, first, last) {
    const values = tile.points.map(([, value]) => value).filter((value) => value !== null);
    const low = Math.min(...values, 0), high = Math.max(...values, low + 1e-9);
    const x = (step) => (100 * (step - first)) / Math.max(1, last - first);
    const points = tile.points.filter(([, value]) => value !== null);
    return {x, path: points.map(([step, value], at) => `${at ? "L" : "M"}${x(step).toFixed(2)} ${(40 - (36 * (value - low)) / (high - low)).toFixed(2)}`).join("")};
  }

  function drawTiles() {
    const {first, last, tiles: all} = current().evolution;
    tiles.replaceChildren(...all.map((tile) => {
      const card = make("div", {class: "tile"}, make("h3", {}, tile.title), make("p", {}));
      if (!tile.points.length) { card.lastChild.append(make("small", {}, "not logged")); return card; }
      const {path} = line(tile, first, last), name = "http://www.w3.org/2000/svg";
      const svg = document.createElementNS(name, "svg");
      svg.setAttribute("viewBox", "0 0 100 44");
      svg.setAttribute("preserveAspectRatio", "none");
      svg.setAttribute("aria-hidden", "true");
      const curve = document.createElementNS(name, "path"), cursor = document.createElementNS(name, "line");
      curve.setAttribute("d", path);
      cursor.setAttribute("y1", "0");
      cursor.setAttribute("y2", "44");
      svg.append(curve, cursor);
      card.append(svg);
      return card;
    }));
  }

  function moveTiles(step) {
    const {first, last, tiles: all} = current().evolution;
    all.forEach((tile, place) => {
      if (!tile.points.length) return;
      const card = tiles.children[place], at = upTo(tile.points, step, ([one]) => one);
      const text = (value) => (tile.share ? percent(value) : write(value, 2));
      card.querySelector("p").replaceChildren(at ? text(at[1]) + " " : "– ",
        make("small", {}, at ? `${at[0] < step ? `at step ${at[0]}, ` : ""}first ${text(tile.points[0][1])}` : "not logged yet"));
      const cursor = card.querySelector("line"), x = line(tile, first, last).x(step);
      cursor.setAttribute("x1", x);
      cursor.setAttribute("x2", x);
    });
  }

  const isRight = (one) => ("accuracy" in one.parts ? one.parts.accuracy >= 1 : null);
  function column(title, group) {
    if (!group) return make("div", {}, make("h3", {}, title), make("p", {class: "empty"}, "no group was logged up to here"));
    const shown = group.completions.slice(0, MOST_TEXTS);
    return make("div", {}, make("h3", {}, title), make("p", {class: "note"}, group.id),
      make("pre", {tabindex: "0", "aria-label": "Prompt"}, group.prompt),
      ...shown.map((one, place) => make("div", {},
        make("h4", {}, make("span", {class: verdictTone(isRight(one))}, verdictMark(isRight(one))),
          ` completion ${place + 1} `, make("small", {}, `reward ${write(one.reward)}, ${one.tokens} tokens${one.truncated ? ", truncated" : ""}`)),
        make("pre", {tabindex: "0", "aria-label": `Completion ${place + 1}`}, ...marked(one.text)))),
      make("p", {class: "note"}, `${shown.length} of ${group.completions.length} completions of this group; all are under Groups.`));
  }

  /** What can stand beside the current group: the run's first, and the same problem wherever else it was logged. */
  function companions(group) {
    const first = current().groups[0], found = [];
    for (const one of report.runs)
      for (const other of one.groups)
        if (group && other.id === group.id && other !== group) found.push({group: other, title: `the same problem: ${one.title}, step ${other.step}`, own: one === current()});
    found.sort((one, other) => Number(other.own) - Number(one.own));
    return first && !found.some((one) => one.group === first) ? [...found, {group: first, title: `first logged step (${first.step})${group && group.id !== first.id ? ", another problem" : ""}`, own: false}] : found;
  }

  let offered = [], shownGroup = null;
  function showTexts(step) {
    const group = upTo(current().groups, step, (one) => one.step);
    if (group !== shownGroup) {
      offered = companions(group);
      offer(beside, offered.map((one, place) => [place, one.title]));
      // the same problem of this run if it was logged twice, else the first step
      beside.value = offered.length && offered[0].own ? 0 : Math.max(0, offered.length - 1);
      shownGroup = group;
    }
    const other = offered[beside.value];
    byId("evolution-texts").replaceChildren(
      column(other ? other.title.replace(/^./, (letter) => letter.toUpperCase()) : "First step", other ? other.group : null),
      column(group ? `Sampled in step ${group.step}` : "At this step", group));
  }

  function show() {
    const step = Number(slider.value);
    byId("evolution-at").textContent = `${step} of ${slider.max}`;
    if (current().evolution) moveTiles(step);
    showTexts(step);
  }

  function showRun() {
    const {evolution, groups, title} = current(), steps = groups.map((one) => one.step);
    const missing = byId("evolution-missing");
    missing.hidden = Boolean(evolution);
    missing.textContent = `${title}: no curves; the stage has not been run to its end`;
    slider.min = evolution ? evolution.first : Math.min(1, ...steps);
    slider.max = evolution ? evolution.last : Math.max(1, ...steps);
    slider.value = slider.max;
    tiles.replaceChildren();
    if (evolution) drawTiles();
    shownGroup = undefined;
    show();
  }

  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    play.setAttribute("aria-pressed", "false");
    play.textContent = "▶ play";
  }
  play.addEventListener("click", () => {
    if (timer) return stop();
    const stride = Math.max(1, Math.round((slider.max - slider.min) / 60));
    if (slider.value === slider.max) slider.value = slider.min;
    play.setAttribute("aria-pressed", "true");
    play.textContent = "⏸ pause";
    timer = setInterval(() => {
      slider.value = Number(slider.value) + stride;
      show();
      if (slider.value === slider.max) stop();
    }, 250);
  });
  run.addEventListener("change", () => { stop(); showRun(); });
  slider.addEventListener("input", show);
  beside.addEventListener("change", show);
  offer(run, report.runs.map((one, place) => [place, one.title]));
  run.value = Math.max(0, report.runs.findIndex((one) => one.evolution));
  showRun();
}
