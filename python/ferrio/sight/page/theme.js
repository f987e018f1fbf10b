// Colours, and what they stand for. The colours themselves are in page.css, for light and for dark.

const WAIT_KINDS = ["other", "sleep", "lock", "queue", "network", "task", "thread"];
const WAIT_NAMES = ["something else", "sleep", "lock, event", "queue", "network", "task, future", "thread, process"];
const WAIT_PATTERNS = [
  ["queue", /queue|\b(get|put|join)\b/i],
  ["lock", /lock|semaphore|condition|barrier|\bevent\b|acquire|__aenter__/i],
  ["sleep", /sleep|timer|call_later|call_at/i],
  ["thread", /thread|executor|process|\bjob|\bfile|child/i],
  ["network", /read|recv|write|drain|accept|connect|sock|stream|server|send|getaddrinfo|close|tls|resolve|fetch|request/i],
  ["task", /task|future|gather|wait|shield|group|completed/i],
];

// Returns the number of the kind of wait that a label speaks of.
function waitKind(label) {
  for (const [kind, pattern] of WAIT_PATTERNS) {
    if (pattern.test(label)) return WAIT_KINDS.indexOf(kind);
  }
  return 0;
}

// What is drawn with, read from the style sheet: once, and again when the system's setting changes.
class Theme {
  constructor(changed) {
    this.read();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => {
      this.read();
      changed();
    });
  }

  read() {
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue("--" + name).trim();
    this.slices = ["step", "callback", "io", "job", "interpreter"].map(colour);
    this.waits = WAIT_KINDS.map((kind) => colour("wait-" + kind));
    for (const name of ["ground", "stripe", "line", "text", "muted", "asphalt", "kerb", "marking", "life", "chosen"]) {
      this[name] = colour(name);
    }
    for (const name of ["blocked", "ready", "arrow", "found", "accent", "gutter", "on-slice", "shade"]) {
      this[name] = colour(name);
    }
    this.slicePixels = this.slices.map(pixelOf);
    this.waitPixels = this.waits.map(pixelOf);
    this.readyPixel = pixelOf(this.ready);
    this.lifePixel = pixelOf(this.muted);
    this.font = "11px " + colour("font");
    this.strong = "600 12px " + colour("font");
    this.small = "10px " + colour("font");
  }
}

// Fills in the legend: only kinds that this trace has.
function drawLegend(element, trace) {
  const kinds = new Uint8Array(KIND_NAMES.length);
  for (const kind of trace.slices.kind) kinds[kind] = 1;
  const labels = new Uint8Array(trace.labels.length);
  for (const label of trace.waits.label) labels[label] = 1;
  const waits = new Set(trace.labels.filter((_, at) => labels[at]).map(waitKind));
  const entry = (shape, name, text) =>
    make("span", { className: "entry" }, make("i", { className: shape + " is-" + name }), text);
  const slices = ["step", "callback", "io", "job", "interpreter"];
  element.append(
    ...slices.filter((_, kind) => kinds[kind]).map((name) => entry("car", name, KIND_NAMES[slices.indexOf(name)])),
    entry("car", "blocked", "blocks the loop (over " + duration(trace.threshold) + ")"),
    entry("dash", "quiet", "quiet: the loop polls"),
    entry("thread", "ready", "ready, waits for its turn"),
    entry("wake", "arrow", "wakes"),
    waits.size > 0 ? make("span", {}, "waits for:") : "",
    ...WAIT_KINDS.map((kind, at) => (waits.has(at) ? entry("thread", "wait-" + kind, WAIT_NAMES[at]) : "")),
  );
}
