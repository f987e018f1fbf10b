// Numbers, times and names as people read them, and the elements of the page. Knows nothing of traces.

const NONE = 0xffffffff;

// Returns a duration in nanoseconds in words: "12 \u00b5s", "3.46 ms".
function duration(ns) {
  const size = Math.abs(ns);
  if (size < 999.5) return Math.round(ns) + " ns";
  if (size < 999500) return three(ns / 1e3) + " \u00b5s";
  if (size < 999.5e6) return three(ns / 1e6) + " ms";
  if (size < 600e9) return three(ns / 1e9) + " s";
  return three(ns / 60e9) + " min";
}

// Returns a moment of the trace in seconds, with as many digits as a step of `precision` nanoseconds needs.
function moment(ns, precision = 1000) {
  const digits = Math.min(9, Math.max(0, 9 - Math.floor(Math.log10(Math.max(1, precision)))));
  return (ns / 1e9).toFixed(digits) + " s";
}

function three(value) {
  const size = Math.abs(value);
  return value.toFixed(size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2);
}

function percent(part) {
  return (part * 100).toFixed(part > 0 && part < 0.0995 ? 1 : 0) + " %";
}

function grouped(count) {
  return count.toLocaleString("en");
}

// Returns "1 task", "2 tasks".
function counted(count, noun) {
  return grouped(count) + " " + noun + (count === 1 ? "" : "s");
}

// Returns the end of a path that tells files apart: from the package on, or the name and its folder.
function shortPath(path) {
  const library = /.*\/(?:site-packages|dist-packages|lib\/python[\d.]+t?)\/(.+)$/.exec(path);
  return library ? library[1] : path.split("/").slice(-2).join("/");
}

function byId(id) {
  return document.getElementById(id);
}

// Makes an element. Strings become text, never HTML: they may come from the program.
function make(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  for (const child of children.flat()) {
    if (child !== null && child !== undefined) element.append(child);
  }
  return element;
}

// A button that looks like a link.
function link(text, act, title) {
  return make("button", { type: "button", className: "link", onclick: act, title: title || "" }, text);
}

// Returns the first index in [low, high) whose value isn't below `wanted`; the values ascend.
function lowerBound(values, wanted, low, high) {
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (values[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low;
}

function clamp(value, low, high) {
  return Math.min(Math.max(value, low), high);
}

// A heap of numbered things, the one with the smallest key first.
class Heap {
  constructor() {
    this.keys = [];
    this.values = [];
  }

  get size() {
    return this.keys.length;
  }

  push(key, value) {
    const { keys, values } = this;
    let at = keys.length;
    while (at > 0) {
      const above = (at - 1) >> 1;
      if (keys[above] <= key) break;
      keys[at] = keys[above];
      values[at] = values[above];
      at = above;
    }
    keys[at] = key;
    values[at] = value;
  }

  pop() {
    const { keys, values } = this;
    const first = values[0];
    const key = keys.pop();
    const value = values.pop();
    const size = keys.length;
    let at = 0;
    while (size > 0) {
      let below = 2 * at + 1;
      if (below >= size) break;
      if (below + 1 < size && keys[below + 1] < keys[below]) below += 1;
      if (keys[below] >= key) break;
      keys[at] = keys[below];
      values[at] = values[below];
      at = below;
    }
    if (size > 0) {
      keys[at] = key;
      values[at] = value;
    }
    return first;
  }
}
