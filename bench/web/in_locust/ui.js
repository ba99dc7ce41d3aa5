// Ours in Locust's page: two tabs as elements of their own, a line that says what is going on, and the form opened up.

const EVERY_MS = 1000;
const PHASES = {
  "starting": "the server is starting",
  "starting users": "users are coming",
  "warming up": "warming up, not measured yet",
  "measuring": "measuring",
  "stopping": "stopping",
};
const KINDS = { loop: "loop blocked", gil: "GIL held", threadpool: "no free thread" };
const COLOURS = { red: "#d55e00", blue: "#0072b2", green: "#009e73", grey: "#888888" };

const STYLE = `
  :host { display: block; font: 14px/1.45 Roboto, system-ui, sans-serif; color: inherit }
  h3 { font-size: 14px; font-weight: 600; margin: 0 0 4px }
  .row { display: flex; flex-wrap: wrap; gap: 12px; margin-bottom: 12px }
  .card { flex: 1 1 150px; padding: 10px 14px; border: 1px solid #8885; border-radius: 6px; min-width: 0 }
  .card.wide { flex: 1 1 300px }
  .card b { display: block; font-size: 22px; font-weight: 500; font-variant-numeric: tabular-nums }
  .card.bad b { color: ${COLOURS.red} }
  .small, .card span { opacity: .75; font-size: 12.5px }
  table { border-collapse: collapse; width: 100% }
  th, td { padding: 6px 10px; border-bottom: 1px solid #8883; text-align: left; vertical-align: top }
  th { font-weight: 600 }
  td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap }
  td code { font: 13px/1.4 ui-monospace, monospace; overflow-wrap: anywhere }
  .trap { color: ${COLOURS.red} }
  a { color: inherit }
  svg { display: block; width: 100%; height: 110px; overflow: visible }
  pre { white-space: pre-wrap; font: 12px/1.4 ui-monospace, monospace; margin: 4px 0 0 }
`;

let known = null;
const watching = new Set();

async function look() {
  try {
    const answer = await fetch("./bench/state", { cache: "no-store" });
    if (answer.ok) {
      known = await answer.json();
      for (const shown of watching) shown(known);
    }
  } catch {
    // the harness has ended; the page keeps what it knows
  }
  setTimeout(look, EVERY_MS);
}

// Text is always set as text: names and log lines come from the app under test.
function element(tag, attributes = {}, ...children) {
  const made = tag === "svg" || SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}
const SVG = new Set(["svg", "path", "line", "text"]);

const number = (value) =>
  value === null || value === undefined ? "–" : value >= 100 || Number.isInteger(value) ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2);
const bounded = (figure) => (figure ? (figure.at_least ? "> " : "") + number(figure.value) : "–");
const last = (points) => (points && points.length ? points[points.length - 1][1] : null);

function chart(title, unit, lines) {
  const width = 400, height = 110, left = 40, bottom = 16;
  if (lines.every(({ points }) => !points.length)) {
    return element("div", { class: "card wide" }, element("h3", {}, `${title}${unit && `, ${unit}`}`), element("span", {}, "not in use"));
  }
  const top = Math.max(1e-9, ...lines.flatMap(({ points }) => points.map(([, value]) => value))) * 1.1;
  const x = (ago) => left + (width - left) * (1 - ago / 60);
  const y = (value) => (height - bottom) * (1 - value / top);
  const drawn = element("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img", "aria-label": title });
  for (const share of [0, 0.5, 1]) {
    const at = y((top / 1.1) * share);
    drawn.append(element("line", { x1: left, x2: width, y1: at, y2: at, stroke: "currentColor", "stroke-opacity": 0.15 }));
    drawn.append(element("text", { x: left - 5, y: at + 4, "text-anchor": "end", "font-size": 11, fill: "currentColor", opacity: 0.75 }, number((top / 1.1) * share)));
  }
  for (const ago of [60, 30]) {
    drawn.append(element("text", { x: x(ago), y: height, "font-size": 11, fill: "currentColor", opacity: 0.75 }, `${ago} s ago`));
  }
  for (const { points, colour } of lines) {
    const path = points.map(([ago, value], index) => `${index ? "L" : "M"}${x(ago).toFixed(1)} ${y(value).toFixed(1)}`).join("");
    drawn.append(element("path", { d: path, fill: "none", stroke: colour, "stroke-width": 2, "vector-effect": "non-scaling-stroke" }));
  }
  const legend = lines.filter(({ name }) => name).flatMap(({ name, colour }) => [element("span", { style: `color: ${colour}` }, ` ${name} `)]);
  return element("div", { class: "card wide" }, element("h3", {}, `${title}${unit && `, ${unit}`} `, ...legend), drawn);
}

function card(title, value, below, bad = false) {
  return element("div", { class: bad ? "card bad" : "card" }, element("span", {}, title), element("b", {}, value), element("span", {}, below));
}

class Tab extends HTMLElement {
  constructor() {
    super();
    this.attachShadow({ mode: "open" });
    this.shown = (told) => this.shadowRoot.replaceChildren(element("style", {}, STYLE), ...this.content(told));
  }
  connectedCallback() {
    watching.add(this.shown);
    if (known) this.shown(known);
  }
  disconnectedCallback() {
    watching.delete(this.shown);
  }
}

class EventLoop extends Tab {
  content({ choice, telemetry }) {
    if (!telemetry || telemetry.category === undefined) return [element("p", {}, "Nothing to see yet: start a variant.")];
    const { series, blamed, category, evidence } = telemetry;
    const lag = last(series.lag_ms), borrowed = last(series.tokens_borrowed), waiting = last(series.tokens_waiting);
    const total = last(series.tokens_total);
    return [
      element("div", { class: "row" },
        card("Loop lag, worst of the last second", lag === null ? "–" : `${number(lag)} ms`, `${choice}`, lag !== null && lag > 20),
        card("Threadpool tokens borrowed", borrowed === null ? "–" : `${borrowed} of ${total}`, borrowed === null ? "no threadpool in use" : `${waiting} waiting`, waiting > 0),
        card("CPU of the server", last(series.cpu_cores) === null ? "–" : `${number(last(series.cpu_cores))} cores`, "all workers together"),
        card("The server is", category, evidence, category.includes("blocked") || category.includes("exhausted") || category.includes("GIL"))),
      element("div", { class: "row" },
        chart("Loop lag", "ms", [{ points: series.lag_ms, colour: COLOURS.red }]),
        chart("Threadpool tokens", "", [
          { points: series.tokens_total, colour: COLOURS.grey, name: "total" },
          { points: series.tokens_borrowed, colour: COLOURS.blue, name: "borrowed" },
          { points: series.tokens_waiting, colour: COLOURS.red, name: "waiting" }]),
        chart("CPU", "cores", [{ points: series.cpu_cores, colour: COLOURS.green }])),
      element("h3", {}, "Who held it up in the last 5 s"),
      blamed.length === 0
        ? element("p", { class: "small" }, "Nobody.")
        : table(["What", "Where", "In the call", "Held, ms"], blamed.map(({ kind, where, callee, stalled_ms }) => [
            KINDS[kind] || kind, element("code", {}, where), element("code", {}, callee), stalled_ms])),
    ];
  }
}

class Runs extends Tab {
  content({ runs, pages }) {
    if (!runs.length) return [element("p", {}, "Nothing has been measured yet.")];
    const heads = ["Variant", "Load", "req/s", "p50, ms", "p99, ms", "Health p50, ms", "Health p90, ms", "Loop lag p50, ms", "max, ms", ""];
    return [
      table(heads, runs.map((run) => this.row(run))),
      element("p", { class: "small" }, "Percentiles come a few seconds after a measurement. “–”: too few requests for that percentile. “>”: a lower bound, since requests were never answered."),
      ...pages.map((page) => element("p", {}, element("a", { href: `./bench/report/${encodeURIComponent(page)}/`, target: "_blank" }, `Report of ${page}`))),
    ];
  }
  row(run) {
    const endpoint = Object.entries(run.endpoints || {}).find(([name]) => name !== "GET /health");
    const rate = run.throughput_rps ?? (endpoint ? endpoint[1].throughput_rps : null);
    const verdict = run.status === "ok" ? "" : element("details", {}, element("summary", { class: "trap" }, run.status), ...run.reasons.map((reason) => element("div", {}, reason)), element("pre", {}, run.log_tail || ""));
    return [
      `${run.scenario}/${run.variant}`, `${run.load}${run.round > 1 ? `, round ${run.round}` : ""}`, number(rate),
      bounded(run.latency_p50_ms), bounded(run.latency_p99_ms), bounded(run.health_p50_ms), bounded(run.health_p90_ms),
      bounded(run.loop_lag_p50_ms), bounded(run.loop_lag_max_ms), verdict,
    ];
  }
}

function table(heads, rows) {
  const numeric = (head) => (/ms|req/.test(head) ? { class: "n" } : {});
  return element("table", {},
    element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", numeric(head), head)))),
    element("tbody", {}, ...rows.map((cells) => element("tr", {}, ...cells.map((cell, index) => element("td", numeric(heads[index]), cell))))));
}

customElements.define("bench-event-loop", EventLoop);
customElements.define("bench-runs", Runs);

// The line at the foot of the page: Locust's own page says nothing while a server starts, or of why it did not.
const line = element("div", { id: "bench-line", role: "status" });
watching.add(({ phase, choice, problem, measured_s, duration_s }) => {
  const since = phase === "measuring" ? `, ${Math.floor(measured_s)} of ${duration_s} s` : "";
  const text = phase ? `${choice}: ${PHASES[phase] || phase}${since}` : problem;
  line.textContent = text;
  line.hidden = !text;
  line.dataset.phase = phase || (problem ? "problem" : "");
});

const OURS = `
  #bench-line { position: fixed; left: 50%; bottom: 18px; transform: translateX(-50%); max-width: 90vw; z-index: 2000;
    padding: 8px 18px; border-radius: 20px; background: ${COLOURS.blue}; color: #fff; font: 14px/1.4 Roboto, sans-serif }
  #bench-line[data-phase=problem] { background: #b3261e; border-radius: 8px }
  #bench-line[hidden] { display: none }
  form .MuiFormControl-root:has(input[name=host]), form .MuiAutocomplete-root { display: none }
  form .MuiAccordion-root:has([name=variant]) { order: -1 }
  form .MuiAlert-standardInfo, form .MuiAlert-colorInfo { display: none }
  form .MuiFormControl-root:has(select[name=variant]) { order: -1 }
`;

// What the form asks first must not be folded away: open both parts, once each, in the dialog of "New" as well.
function unfold() {
  for (const head of document.querySelectorAll("form .MuiAccordionSummary-root:not([data-seen])")) {
    head.dataset.seen = "1";
    if (head.getAttribute("aria-expanded") === "false") head.click();
  }
}

document.head.append(element("style", {}, OURS));
document.body.append(line);
new MutationObserver(unfold).observe(document.body, { childList: true, subtree: true });
unfold();
look();
