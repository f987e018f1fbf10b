// Where things stand: lanes from top to bottom, each with its rows below it, in the order and form that was chosen.
// A track is one line of the picture: a lane, a task, several tasks that follow each other, or a folded family.

const SIZES = { lane: 34, row: 20 };

class Layout {
  constructor(trace) {
    this.trace = trace;
    // What the reader folded: lanes by number, rows by index, both kept when the form changes.
    this.foldedLanes = new Set();
    this.foldedRows = new Set();
    const tasks = trace.rows.filter((row) => row.kind === "task").length;
    this.mode = tasks > 200 ? "shared" : "tree";
    this.sort = "time";
    this.arrange();
  }

  arrange() {
    const { trace } = this;
    const rowsOfLane = trace.lanes.map(() => []);
    trace.rows.forEach((row, index) => {
      if (rowsOfLane[row.lane]) rowsOfLane[row.lane].push(index);
    });
    this.tracks = [];
    // The track of each row; NONE if it isn't shown. And whether it is the row's own, or that of a folded family.
    this.trackOf = new Uint32Array(trace.rows.length).fill(NONE);
    this.isOwn = new Uint8Array(trace.rows.length);
    this.trackOfLane = [];
    trace.lanes.forEach((lane, index) => this.addLane(lane, index, rowsOfLane[index]));
    let y = 0;
    for (const track of this.tracks) {
      track.y = y;
      y += track.height;
    }
    this.height = y;
    this.tops = Float64Array.from(this.tracks, (track) => track.y);
    this.group();
  }

  // Groups what is drawn by track.
  group() {
    const { trace, tracks, trackOf, isOwn } = this;
    const groupsOf = (table, own) => {
      const groups = new Uint32Array(table.count);
      for (let at = 0; at < table.count; at += 1) {
        const row = table.row[at];
        groups[at] = row < trackOf.length && (isOwn[row] || !own) ? trackOf[row] : NONE;
      }
      return groups;
    };
    this.slices = new Band(trace.slices, groupsOf(trace.slices, false), tracks.length, trace.slices.kind);
    this.waits = new Band(trace.waits, groupsOf(trace.waits, true), tracks.length, this.waitPaints());
    this.ready = this.readyBand();
    const { row, kind, length, start } = trace.slices;
    const blocked = trace.blocking;
    const groups = Uint32Array.from(blocked, (slice) => (row[slice] < trackOf.length ? trackOf[row[slice]] : NONE));
    const table = { count: blocked.length, start: [], length: [] };
    table.start = blocked.map((slice) => start[slice]);
    table.length = blocked.map((slice) => length[slice]);
    this.blocked = new Band(table, groups, tracks.length, blocked.map((slice) => kind[slice]));
  }

  // The times in the ready queue, from the first wake-up to the step.
  readyBand() {
    const { wakes, wakeOf, stepAfter } = this.trace;
    const groups = new Uint32Array(wakes.count).fill(NONE);
    for (let wake = 0; wake < wakes.count; wake += 1) {
      const row = wakes.to[wake];
      const step = stepAfter[wake];
      const isFirst = step < 0 || wakeOf[step] === wake;
      if (isFirst && row < this.trackOf.length && this.isOwn[row]) groups[wake] = this.trackOf[row];
    }
    const table = { count: wakes.count, start: wakes.time, length: wakes.delay };
    return new Band(table, groups, this.tracks.length, new Uint8Array(wakes.count));
  }

  waitPaints() {
    const kinds = this.trace.labels.map(waitKind);
    const paints = new Uint8Array(this.trace.waits.count);
    for (let at = 0; at < paints.length; at += 1) paints[at] = kinds[this.trace.waits.label[at]] || 0;
    return paints;
  }

  addLane(lane, index, rows) {
    const { trace } = this;
    const track = { kind: "lane", lane: index, rows: [], depth: 0, height: SIZES.lane, name: lane.name };
    track.folded = this.foldedLanes.has(index);
    this.trackOfLane[index] = this.tracks.push(track) - 1;
    // A worker's jobs are drawn on its lane.
    const below = rows.filter((row) => lane.kind === "loop" || trace.rows[row].kind === "task");
    track.hasChildren = below.length > 0;
    if (track.folded) return;
    for (const row of below) {
      if (trace.rows[row].kind !== "task") this.addRow(row, 1);
    }
    const tasks = below.filter((row) => trace.rows[row].kind === "task");
    if (this.mode === "shared") this.addShared(tasks);
    else if (this.mode === "flat") for (const row of this.sorted(tasks)) this.addRow(row, 1);
    else this.addTree(tasks);
  }

  addRow(row, depth) {
    const { trace } = this;
    this.trackOf[row] = this.tracks.length;
    this.isOwn[row] = 1;
    const track = { kind: "row", lane: trace.rows[row].lane, rows: [row], depth, height: SIZES.row };
    track.name = trace.rows[row].name || trace.rows[row].coro || trace.rows[row].kind;
    track.coro = trace.rows[row].coro || "";
    this.tracks.push(track);
    return track;
  }

  addTree(tasks) {
    const { trace } = this;
    const known = new Set(tasks);
    // Walked with a list instead of recursion: a chain of parents can be as long as the trace.
    const roots = this.sorted(tasks.filter((row) => !known.has(trace.rows[row].parent)));
    const todo = roots.reverse().map((row) => [row, 1, null]);
    while (todo.length > 0) {
      const [row, depth, foldedInto] = todo.pop();
      const children = (trace.children[row] || []).filter((child) => known.has(child));
      let into = foldedInto;
      if (foldedInto !== null) {
        this.trackOf[row] = foldedInto;
        this.tracks[foldedInto].rows.push(row);
      } else {
        const track = this.addRow(row, depth);
        track.hasChildren = children.length > 0;
        track.folded = track.hasChildren && this.foldedRows.has(row);
        if (track.folded) into = this.trackOf[row];
      }
      for (const child of this.sorted(children).reverse()) todo.push([child, depth + 1, into]);
    }
  }

  // Tasks of one coroutine share tracks if they don't overlap in time.
  addShared(tasks) {
    const { trace } = this;
    const families = new Map();
    for (const row of tasks) {
      const name = trace.rows[row].coro || trace.rows[row].name;
      if (!families.has(name)) families.set(name, []);
      families.get(name).push(row);
    }
    const keys = {
      time: (rows) => rows.reduce((least, row) => Math.min(least, trace.born[row]), Infinity),
      busy: (rows) => -rows.reduce((sum, row) => sum + trace.busy[row], 0),
    };
    const key = keys[this.sort] || (() => 0);
    const list = [...families].map(([name, rows]) => ({ name, rows, key: key(rows) }));
    list.sort((one, other) => one.key - other.key || COLLATOR.compare(one.name, other.name));
    for (const { name, rows } of list) {
      const family = sharing(rows, trace.born, trace.died);
      if (family.length === rows.length) {
        for (const row of this.sorted(rows)) this.addRow(row, 1);
        continue;
      }
      for (const [place, shared] of family.entries()) {
        for (const row of shared) {
          this.trackOf[row] = this.tracks.length;
          this.isOwn[row] = 1;
        }
        const track = { kind: "shared", lane: trace.rows[shared[0]].lane, rows: shared, depth: 1, height: SIZES.row };
        track.name = place === 0 ? name : "";
        if (place === 0) track.share = "\u00d7 " + grouped(rows.length);
        else track.coro = counted(shared.length, "task");
        this.tracks.push(track);
      }
    }
  }

  sorted(rows) {
    const { born, busy, rows: all } = this.trace;
    const orders = {
      time: (one, other) => born[one] - born[other] || one - other,
      busy: (one, other) => busy[other] - busy[one] || one - other,
      name: (one, other) => COLLATOR.compare(all[one].name || "", all[other].name || "") || one - other,
    };
    return rows.slice().sort(orders[this.sort]);
  }

  // The number of the track at a height, or -1.
  trackAt(y) {
    if (y < 0 || y >= this.height) return -1;
    let at = lowerBound(this.tops, y, 0, this.tops.length);
    if (at === this.tops.length || this.tops[at] > y) at -= 1;
    return at;
  }

  // The number of the track that shows a row, or its lane if the row is folded into that.
  shownOn(row) {
    if (row >= this.trackOf.length) return -1;
    const track = this.trackOf[row];
    return track !== NONE ? track : this.trackOfLane[this.trace.rows[row].lane];
  }

  fold(track) {
    if (!track || !track.hasChildren) return false;
    const [folded, key] = track.kind === "lane" ? [this.foldedLanes, track.lane] : [this.foldedRows, track.rows[0]];
    if (!folded.delete(key)) folded.add(key);
    this.arrange();
    return true;
  }
}

const COLLATOR = new Intl.Collator("en", { numeric: true });

// Deals rows to as few tracks as their lives allow; each takes the highest free one.
function sharing(rows, born, died) {
  const tracks = [];
  const taken = new Heap();
  const free = new Heap();
  for (const row of rows.slice().sort((one, other) => born[one] - born[other])) {
    while (taken.size > 0 && taken.keys[0] <= born[row]) {
      const at = taken.pop();
      free.push(at, at);
    }
    const at = free.size > 0 ? free.pop() : tracks.push([]) - 1;
    tracks[at].push(row);
    taken.push(died[row], at);
  }
  return tracks;
}
