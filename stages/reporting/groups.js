"use strict";
// The group viewer: one logged group of an RL run, its advantages as bars, the chosen completion in full.
{
  const run = byId("groups-run"), choice = byId("groups-group"), bars = byId("groups-bars"), detail = byId("groups-detail");

  /** True, false, or null where no rule grades the problem. */
  const isRight = (one) => ("accuracy" in one.parts ? one.parts.accuracy >= 1 : null);
  const wanted = {
    all: () => true,
    right: (one) => isRight(one) === true,
    wrong: (one) => isRight(one) === false,
    truncated: (one) => one.truncated,
  };
  const filter = () => wanted[document.querySelector("input[name=groups-show]:checked").value];
  const groups = () => report.runs[run.value].groups;
  const group = () => groups()[choice.value];

  function meanParts(completions) {
    const names = [...new Set(completions.flatMap((one) => Object.keys(one.parts)))];
    return names.map((name) => {
      const values = completions.filter((one) => name in one.parts).map((one) => one.parts[name]);
      return `${name} ${write(values.reduce((sum, value) => sum + value, 0) / values.length)}`;
    });
  }

  function showCompletion(place, scroll) {
    const one = group().completions[place];
    for (const bar of bars.children) {
      bar.setAttribute("aria-pressed", String(Number(bar.dataset.place) === place));
      bar.tabIndex = Number(bar.dataset.place) === place ? 0 : -1;
    }
    const facts = [`reward ${write(one.reward)}`, `advantage ${signed(one.advantage)}`, `${one.tokens} tokens`,
      ...(one.truncated ? ["truncated"] : []), ...Object.entries(one.parts).map(([name, value]) => `${name} ${write(value)}`)];
    detail.replaceChildren(
      make("h3", {}, `Completion ${place + 1} of ${group().completions.length} `,
        make("span", {class: verdictTone(isRight(one))}, verdictMark(isRight(one)), {true: " right", false: " wrong", null: " not graded by a rule"}[isRight(one)])),
      make("p", {class: "facts"}, ...facts.map((fact) => make("span", {}, fact))),
      make("pre", {tabindex: "0", "aria-label": "Completion"}, ...marked(one.text)));
    if (scroll) detail.scrollIntoView({block: "nearest"});
  }

  function bar(one, place, zero, scale) {
    const height = (100 * Math.abs(one.advantage ?? 0)) / scale, below = one.advantage < 0;
    const where = below ? `top:${zero}%` : `bottom:${100 - zero}%`;
    const label = `Completion ${place + 1}: advantage ${signed(one.advantage)}, reward ${write(one.reward)}, ` +
      `${{true: "right", false: "wrong", null: "not graded by a rule"}[isRight(one)]}, ${one.tokens} tokens${one.truncated ? ", truncated" : ""}`;
    return make("button", {type: "button", class: below ? "bar below" : "bar", "aria-label": label, title: label, "aria-pressed": "false",
      "data-place": place, onclick: () => showCompletion(place, true)},
      make("u", {style: `top:${zero}%`}), make("i", {style: `${where};height:${height}%`}),
      make("b", {class: verdictTone(isRight(one))}, one.truncated ? "✂" : "", verdictMark(isRight(one)), make("br"), String(place + 1)));
  }

  function showGroup() {
    const found = group();
    byId("groups-view").hidden = !found;
    byId("groups-previous").disabled = !next(-1);
    byId("groups-next").disabled = !next(1);
    if (!found) return;
    const all = found.completions, gains = all.map((one) => one.advantage ?? 0);
    const most = Math.max(...gains, 0), least = Math.min(...gains, 0), flat = most === least;
    // the lowest 18 % of the height hold the marks
    const scale = (flat ? 1 : most - least) / 0.82, zero = flat ? 41 : (100 * most) / scale;
    const shown = all.map((one, place) => [one, place]).filter(([one]) => filter()(one));
    byId("groups-summary").textContent = `${found.id}: reward ${write(found.mean)} ± ${write(found.std)} over ${all.length} completions; ` +
      `before weights, on average: ${meanParts(all).join(", ")}.` +
      (flat ? " All rewards are equal: this group teaches nothing." : "") +
      (shown.length < all.length ? ` ${shown.length} of ${all.length} shown.` : "");
    byId("groups-prompt").textContent = found.prompt;
    bars.replaceChildren(...shown.map(([one, place]) => bar(one, place, zero, scale)));
    detail.replaceChildren();
    if (shown.length) showCompletion(shown.reduce((best, one) => (one[0].advantage > best[0].advantage ? one : best))[1], false);
  }

  /** The nearest group in a direction that has a completion to show, or undefined. */
  function next(direction) {
    const list = groups();
    for (let at = Number(choice.value) + direction; at >= 0 && at < list.length; at += direction)
      if (list[at].completions.some(filter())) return {at};
  }

  function go(direction) {
    const found = next(direction);
    if (found) { choice.value = found.at; showGroup(); }
  }

  function showRun() {
    offer(choice, groups().map((one, place) => [place, `step ${one.step}: ${one.id}`]));
    showGroup();
  }

  bars.addEventListener("keydown", (event) => {
    const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
    const at = [...bars.children].indexOf(document.activeElement);
    const other = step && bars.children[at + step];
    if (!other) return;
    event.preventDefault();
    other.focus();
    showCompletion(Number(other.dataset.place), false);
  });
  run.addEventListener("change", showRun);
  choice.addEventListener("change", showGroup);
  byId("groups-show").addEventListener("change", showGroup);
  byId("groups-previous").addEventListener("click", () => go(-1));
  byId("groups-next").addEventListener("click", () => go(1));
  offer(run, report.runs.map((one, place) => [place, one.title]));
  run.value = Math.max(0, report.runs.findIndex((one) => one.groups.length));
  showRun();
}
