"use strict";
// Everything shown is set as text: documents are anybody's.
const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en-US");
const el = (tag, properties = {}, ...children) => {
  const node = Object.assign(document.createElement(tag), properties);
  node.append(...children);
  return node;
};
// The path is all that lets this page ask.
const ask = async (path, question) => {
  const options = question === undefined ? {} : {
    method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(question),
  };
  const response = await fetch(path, { cache: "no-store", ...options });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer;
};

// ------------------------------------------------------------------------------------- the run

const duration = (milliseconds) => {
  if (milliseconds === null) return "–";
  const seconds = milliseconds / 1000;
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]])
    if (seconds >= size) return `${(seconds / size).toFixed(1)} ${unit}`;
  return `${seconds.toFixed(1)} s`;
};
const bytes = (size) => {
  for (const [unit, large] of [["TB", 1e12], ["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (size >= large) return `${(size / large).toFixed(1)} ${unit}`;
  return `${size} B`;
};
const clock = (seconds) => {
  const whole = Math.floor(seconds);
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  return parts.map((part) => String(part).padStart(2, "0")).join(":");
};

const RATE_OVER = 10; // seconds
const seen = new Map();
const rate = (shard, seconds) => {
  const past = seen.get(shard.id) ?? [];
  past.push([seconds, shard.documents]);
  while (past[0][0] < seconds - RATE_OVER) past.shift();
  seen.set(shard.id, past);
  const [before, documents] = past[0];
  return seconds > before ? Math.round((shard.documents - documents) / (seconds - before)) : 0;
};

let state = null;
let became = new Map(); // what the sample of each kind would be now

const showState = () => {
  const { totals } = state;
  for (const name of ["documents", "rows", "dead_letters", "drops"]) $(name).textContent = number(totals[name]);
  const balanced = totals.documents === totals.rows + totals.dead_letters + totals.drops;
  $("verdict").textContent = totals.documents === 0 ? "" : balanced ? "✓ balanced" : "✗ it does not balance";
  $("verdict").className = balanced ? "good" : "bad";
  $("title").textContent = state.title;
  document.title = `${number(totals.documents)} documents – pipeline`;
  $("doing").textContent = `${state.ended ? "ended, after" : "running for"} ${clock(state.seconds)}`;
  showThroughput();
  rows("datasets", state.datasets.map((each) => [
    [each.name], [number(each.documents), "n"], [number(each.rows), "n"],
    [number(each.dead_letters), each.dead_letters ? "n bad" : "n"], [number(each.drops), "n"],
  ]));
  showShards();
  showKinds();
  $("notices_box").hidden = state.notices.length === 0;
  $("notices").replaceChildren(...state.notices.map((sentence) => el("li", { textContent: sentence })).reverse());
};

const rows = (id, cells) => $(id).replaceChildren(...cells.map((row) => el("tr", {}, ...row.map(
  ([text, kind = "", span = 1]) => el("td", { textContent: text, className: kind, colSpan: span }),
))));

const showShards = () => {
  rows("shards", state.shards.flatMap((shard) => [
    [
      [shard.id], [shard.doing], [duration(shard.behind), "n"], [number(rate(shard, state.seconds)), "n"],
      [number(shard.documents), "n"], [number(shard.dead_letters), shard.dead_letters ? "n bad" : "n"],
      [number(shard.given_up), shard.given_up ? "n bad" : "n"],
    ],
    ...(shard.trouble ? [[[shard.trouble, "trouble", 7]]] : []),
  ]));
  const more = [];
  if (state.shards_not_shown) more.push(`${number(state.shards_not_shown)} more, less far behind`);
  if (state.shards_done) more.push(`${number(state.shards_done)} read to their end`);
  if (state.given_up) more.push(`${number(state.given_up)} records given up`);
  $("more_shards").textContent = more.join("; ");
};

const SVG = "http://www.w3.org/2000/svg";
const bar = (x, y, height, colour) => {
  const node = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ x, y, height, width: 0.8, fill: `var(${colour})` }))
    node.setAttribute(name, value);
  return node;
};
const showThroughput = () => {
  const { history, seconds, totals } = state;
  const most = Math.max(1, ...history.map((entry) => entry[1]));
  $("chart").replaceChildren(...history.flatMap(([second, documents, refused]) => {
    const x = 119 - Math.floor(seconds) + second;
    const [all, bad] = [documents, refused].map((count) => (38 * Math.min(count, documents)) / most);
    return [bar(x, 40 - all, all, "--accent"), bar(x, 40 - bad, bad, "--bad")];
  }));
  if (history.length === 0) return;
  const recent = history.filter(([second]) => second >= seconds - RATE_OVER);
  const span = Math.min(RATE_OVER, Math.max(1, seconds));
  const [documents, size] = [1, 3].map((column) => recent.reduce((sum, entry) => sum + entry[column], 0) / span);
  $("rate").textContent = `${number(Math.round(documents))} documents/s, ${bytes(Math.round(size))}/s over the last ` +
    `${RATE_OVER} seconds; at most ${number(most)} documents in one. ${bytes(totals.bytes)} of ` +
    `${number(totals.records)} records became ${bytes(totals.bytes_out)} in ${number(totals.objects)} objects.`;
};

// ------------------------------------------------------------------------------- dead letters

let chosen = null;
let shownKinds = "";
const showKinds = () => {
  const kinds = [...state.kinds].sort((one, other) => other.count - one.count || one.number - other.number);
  const now = JSON.stringify([kinds, chosen, state.other_dead_letters, [...became]]);
  if (now === shownKinds) return; // what did not change keeps its focus
  shownKinds = now;
  $("no_kinds").hidden = kinds.length > 0;
  const focused = document.activeElement?.dataset?.kind;
  $("kinds").replaceChildren(...kinds.map(kindButton));
  if (state.other_dead_letters)
    $("kinds").append(el("li", { className: "quiet", textContent: `${number(state.other_dead_letters)} of other kinds` }));
  if (focused) document.querySelector(`[data-kind="${focused}"]`)?.focus();
};
const kindButton = (kind) => {
  const outcome = became.get(kind.number);
  const button = el("button", { type: "button", title: kind.meaning },
    el("span", { className: "count", textContent: number(kind.count) }),
    el("span", {}, kind.reason, el("br"),
      el("span", { className: "path", textContent: `${kind.dataset ?? "of no dataset"} ${kind.path}` })),
    el("span", {
      className: outcome === "row" ? "now good" : "now quiet",
      textContent: outcome === undefined || outcome === kind.reason ? "" : `now: ${outcome}`,
    }));
  button.dataset.kind = kind.number;
  button.setAttribute("aria-pressed", String(kind.number === chosen));
  button.addEventListener("click", () => choose(kind));
  return el("li", {}, button);
};

const pretty = (text) => {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  // Numbers stay as they were written, so it is not parsed and written again.
  let [indent, inText, result] = [0, false, ""];
  const line = () => `\n${"  ".repeat(indent)}`;
  for (let place = 0; place < text.length; place += 1) {
    const letter = text[place];
    if (inText) {
      result += letter;
      if (letter === "\\") result += text[(place += 1)];
      else if (letter === '"') inText = false;
    } else if (letter === '"') { inText = true; result += letter; }
    else if (letter === "{" || letter === "[") {
      const empty = /^\s*[}\]]/.exec(text.slice(place + 1));
      if (empty) { result += letter + empty[0].trim(); place += empty[0].length; }
      else { indent += 1; result += letter + line(); }
    } else if (letter === "}" || letter === "]") { indent -= 1; result += line() + letter; }
    else if (letter === ",") result += letter + line();
    else if (letter === ":") result += ": ";
    else if (!/\s/.test(letter)) result += letter;
  }
  return result;
};

let sampleText = null; // the document as it stands in the dead letter; null: nothing to edit
const choose = async (kind) => {
  chosen = kind.number;
  showKinds();
  let answer;
  try {
    answer = await ask(`samples/${kind.number}`);
  } catch (error) {
    answer = { sample: null, rule: null, meaning: error.message };
  }
  if (chosen !== kind.number) return;
  const { sample, rule } = answer;
  $("sample").hidden = false;
  $("message").textContent = sample ? sample.message : answer.meaning;
  $("position").textContent = sample
    ? `${sample.reason} at ${sample.path}; ${sample.shard}, record ${sample.position[0]}, user record ` +
      `${sample.position[1]}, document ${sample.position[2]}` +
      (sample.redacted.length ? `. Private, and not shown: ${sample.redacted.join(", ")}` : "")
    : `${kind.reason} at ${kind.path}`;
  const isText = sample?.encoding === "utf-8";
  $("payload").textContent = !sample
    ? "It is too large to be shown here; `pipeline dead-letters` has it."
    : isText ? pretty(sample.payload) : `${sample.payload}\n\n(base64: it is not UTF-8)`;
  $("rule_title").textContent = rule
    ? `The rule that refused it: ${rule.in_settings ? "dataset.toml" : `${rule.version}.avsc`}, ` +
      (rule.first === rule.last ? `line ${rule.first}` : `lines ${rule.first} to ${rule.last}`)
    : "Why";
  $("rule").textContent = rule ? rule.text : answer.meaning;
  sampleText = isText ? sample.payload : null;
  $("document").value = sample === null ? "" : $("payload").textContent;
  $("document").disabled = sample !== null && !isText;
  edited.document = false;
  if (kind.dataset !== null) await open(kind.dataset);
  if (rule) {
    show(rule.in_settings ? "settings" : "schema");
    scrollTo($(rule.in_settings ? "settings" : "schema"), rule);
  }
  judge();
};
const scrollTo = (area, rule) => {
  const at = area.value.indexOf(rule.text);
  if (at < 0) return;
  area.setSelectionRange(at, at + rule.text.length);
  const height = parseFloat(getComputedStyle(area).lineHeight);
  area.scrollTop = Math.max(0, (rule.first - 3) * height);
};

// ------------------------------------------------------------------------------------ editing

let datasets = [];
const edited = { document: false };
const current = () => datasets.find((each) => each.dataset === $("dataset").value);
const open = async (name) => {
  if ($("dataset").value === name) return;
  keep();
  $("dataset").value = name;
  fill();
};
// What is being edited stays, when another dataset is looked at.
const keep = () => {
  const texts = datasets.find((each) => each.dataset === opened);
  if (texts) Object.assign(texts, { newSchema: $("schema").value, newSettings: $("settings").value });
};
let opened = null;
const fill = () => {
  const texts = current();
  if (!texts) return;
  opened = texts.dataset;
  $("schema").value = texts.newSchema ?? texts.schema;
  $("settings").value = texts.newSettings ?? texts.settings;
  $("schema_tab").textContent = `${texts.version}.avsc`;
  mark();
};
const changed = () => {
  const texts = current();
  return texts && ($("schema").value !== texts.schema || $("settings").value !== texts.settings);
};
const mark = () => { $("reset").disabled = !changed(); };
const show = (name) => {
  for (const each of ["schema", "settings"]) {
    $(each).hidden = each !== name;
    $(`${each}_tab`).setAttribute("aria-pressed", String(each === name));
  }
};

let asked = 0;
const judge = async () => {
  const texts = current();
  if (!texts) return;
  const turn = (asked += 1);
  const document_ = $("document").disabled || (chosen !== null && !edited.document) ? null : $("document").value;
  const question = {
    dataset: texts.dataset, version: texts.version, schema: $("schema").value, settings: $("settings").value,
    kind: chosen, document: chosen === null && !document_?.trim() ? null : document_,
  };
  try {
    const answer = await ask("judge", question);
    if (turn === asked) (answer.fault ? showFault(answer.fault) : showOutcome(answer));
  } catch (error) {
    if (turn === asked) showFault(error.message);
  }
  if (turn === asked && state) showKinds();
};
const showFault = (sentence) => {
  became = new Map();
  $("outcome").replaceChildren(el("p", { className: "verdict bad", textContent: "This cannot be used:" }),
    el("p", { textContent: sentence }));
};
const showOutcome = (answer) => {
  became = new Map(changed() ? answer.samples.map(({ kind, now }) => [kind, now]) : []);
  const parts = [];
  if (answer.documents !== undefined) parts.push(verdict(answer));
  for (const letter of answer.shown_letters ?? [])
    parts.push(el("p", { textContent: `${letter.reason} at ${letter.path}: ${letter.message}` }));
  for (const row of answer.shown_rows ?? []) parts.push(...rowTable(row));
  if (changed() && answer.samples.length) {
    const become = answer.samples.filter(({ now }) => now === "row").length;
    parts.push(el("p", { className: "quiet", textContent:
      `Of the ${number(answer.samples.length)} samples above, ${number(become)} would be rows now.` }));
  }
  for (const sentence of answer.advice) parts.push(el("p", { className: "advice", textContent: sentence }));
  $("outcome").replaceChildren(...parts);
};
const verdict = (answer) => {
  const words = [[answer.rows, "row", "rows"], [answer.dead_letters, "dead letter", "dead letters"], [answer.drops, "drop", "drops"]]
    .filter(([count]) => count).map(([count, one, many]) => `${number(count)} ${count === 1 ? one : many}`);
  const text = answer.dead_letters === 0 ? `✓ ${words.join(", ") || "nothing"}` : `✗ ${words.join(", ")}`;
  return el("p", { className: `verdict ${answer.dead_letters ? "bad" : "good"}`, textContent: text });
};
const rowTable = ({ folder, values }) => [
  el("p", { className: "quiet", textContent: folder }),
  el("table", {}, el("tbody", {}, ...values.filter(([name]) => !/^_(source|(sub_)?sequence_number|document|arrived_at)$/.test(name))
    .map(([name, value]) => el("tr", {}, el("td", { textContent: name }),
      el("td", value === null ? { textContent: "null", className: "null" } : { textContent: value }))))),
];

let waiting = null;
const soon = () => { clearTimeout(waiting); waiting = setTimeout(judge, 200); };
for (const name of ["schema", "settings"]) {
  $(name).addEventListener("input", () => { mark(); soon(); });
  $(`${name}_tab`).addEventListener("click", () => show(name));
}
$("document").addEventListener("input", () => { edited.document = true; soon(); });
$("dataset").addEventListener("change", () => {
  const name = $("dataset").value;
  $("dataset").value = opened;
  keep();
  $("dataset").value = name;
  fill();
  judge();
});
$("reset").addEventListener("click", () => {
  const texts = current();
  delete texts.newSchema;
  delete texts.newSettings;
  fill();
  judge();
});

// ------------------------------------------------------------------------------------ the start

const REFRESH = 1000; // milliseconds
const refresh = async () => {
  try {
    state = await ask("state");
    showState();
    const wanted = chosen === null && state.kinds.find(({ reason }) => location.hash === `#${reason}`);
    if (wanted) choose(wanted); // as in …/#wrong_type
  } catch {
    $("doing").textContent = "the run has ended: there is no answer any more";
  }
  setTimeout(refresh, REFRESH);
};
const start = async () => {
  try {
    datasets = await ask("datasets");
    $("dataset").replaceChildren(...datasets.map(({ dataset }) => el("option", { value: dataset, textContent: dataset })));
    fill();
  } catch (error) {
    $("outcome").replaceChildren(el("p", { className: "bad", textContent: error.message }));
  }
  refresh();
};
start();
