// Finding tasks by name, coroutine or place of creation, and slices and waits by label. Shows nothing itself.

class Search {
  constructor(app) {
    this.app = app;
    this.clear();
  }

  clear() {
    this.query = "";
    this.rows = [];
    this.slices = [];
    this.waits = [];
    this.isRow = null;
    this.tracks = null;
    this.current = -1;
  }

  get isActive() {
    return this.query !== "";
  }

  get count() {
    return this.rows.length + this.slices.length + this.waits.length;
  }

  run(query) {
    this.clear();
    this.query = query.trim();
    if (!this.isActive) return;
    const { trace } = this.app;
    const wanted = this.query.toLowerCase();
    const holds = (text) => typeof text === "string" && text.toLowerCase().includes(wanted);
    const frames = trace.frames.map(([file, line, name]) => holds(file + ":" + line) || holds(name));
    const stacks = trace.stacks.map((stack) => stack.some((frame) => frames[frame]));
    const labels = Uint8Array.from(trace.labels, (label) => (holds(label) ? 1 : 0));
    this.isRow = Uint8Array.from(trace.rows, (row, at) => {
      const found = holds(row.name) || holds(row.coro) || (row.stack !== null && stacks[row.stack]);
      if (found) this.rows.push(at);
      return found ? 1 : 0;
    });
    if (labels.includes(1)) {
      this.slices = itemsLabelled(trace.slices, labels);
      this.waits = itemsLabelled(trace.waits, labels);
    }
    this.arrange();
  }

  // Marks the tracks that show something found; again after the rows were arranged anew.
  arrange() {
    if (!this.isActive) return;
    const { trace, layout } = this.app;
    this.tracks = new Uint8Array(layout.tracks.length);
    const mark = (row) => {
      if (row < layout.trackOf.length && layout.trackOf[row] !== NONE) this.tracks[layout.trackOf[row]] = 1;
    };
    this.rows.forEach(mark);
    for (const slice of this.slices) mark(trace.slices.row[slice]);
    for (const wait of this.waits) mark(trace.waits.row[wait]);
  }

  isFound(track) {
    return this.tracks !== null && this.tracks[track] === 1;
  }

  // The hit that is `by` places after the current one: {row}, {slice} or {wait}.
  move(by) {
    if (this.count === 0) return null;
    this.current = this.current < 0 ? (by > 0 ? 0 : this.count - 1) : (this.current + by + this.count) % this.count;
    let at = this.current;
    if (at < this.rows.length) return { row: this.rows[at] };
    at -= this.rows.length;
    if (at < this.slices.length) return { slice: this.slices[at] };
    return { wait: this.waits[at - this.slices.length] };
  }

  // When the hits were, at most about `limit` of them.
  moments(limit) {
    if (!this.isActive) return [];
    const { trace } = this.app;
    const some = (items, time) => {
      const stride = Math.max(1, Math.floor(items.length / limit));
      const times = [];
      for (let at = 0; at < items.length; at += stride) times.push(time(items[at]));
      return times;
    };
    return [
      ...some(this.rows, (row) => trace.born[row]),
      ...some(this.slices, (slice) => trace.slices.start[slice]),
      ...some(this.waits, (wait) => trace.waits.start[wait]),
    ];
  }
}

function itemsLabelled(table, labels) {
  const found = [];
  for (let at = 0; at < table.count; at += 1) {
    if (labels[table.label[at]] === 1) found.push(at);
  }
  return found;
}
