// What was recorded, and what follows from it: which wake-up led to which step, how long tasks were ready, totals.
// Nothing here changes after it was made, and nothing here draws.

const STEP = 0;
const CALLBACK = 1;
const IO = 2;
const JOB = 3;
const INTERPRETER = 4;
// The recorder's word for a waker that is no row.
const OTHER_THREAD = "another thread";
const KIND_NAMES = ["step", "callback", "I/O", "job", "waiting for the interpreter"];

class Trace {
  static async read(text) {
    const data = await readData(text);
    if (data.version !== 1) {
      throw new Error("the data has version " + data.version + "; this page reads version 1");
    }
    return new Trace(data, await readTables(data));
  }

  constructor(data, tables) {
    Object.assign(this, tables);
    this.program = data.program || "a program";
    this.versions = "ferrio " + data.ferrio + ", Python " + data.python + (data.pid ? ", process " + data.pid : "");
    // Not whole: a flight recorder's latest seconds.
    this.whole = data.whole !== false;
    this.began = data.began;
    this.lost = data.lost || 0;
    this.threshold = data.threshold || 100e6;
    this.lanes = data.lanes;
    this.rows = data.rows;
    this.labels = data.labels;
    this.frames = data.frames || [];
    this.stacks = data.stacks || [];
    const rows = this.rows.length;
    this.stepsOf = new Groups(this.slices.row, this.slices.count, rows);
    this.waitsOf = new Groups(this.waits.row, this.waits.count, rows);
    this.wakesTo = new Groups(this.wakes.to, this.wakes.count, rows);
    this.wakesFrom = new Groups(this.wakes.from, this.wakes.count, rows);
    this.duration = Math.max(data.duration, this.lastMoment(), 1000);
    this.linkWakes();
    this.cutWaits();
    this.addUp();
    this.children = this.rows.map(() => null);
    this.rows.forEach((row, index) => {
      if (row.parent === null || row.parent === undefined || !this.rows[row.parent]) return;
      (this.children[row.parent] ||= []).push(index);
    });
  }

  get events() {
    return this.slices.count + this.wakes.count + this.waits.count + this.polls.count;
  }

  lastMoment() {
    let last = 0;
    for (const table of [this.slices, this.waits, this.polls]) {
      for (let at = 0; at < table.count; at += 1) last = Math.max(last, table.start[at] + table.length[at]);
    }
    return last;
  }

  // Finds for each slice the wake-up that led to it: the first of them, if others came while it was ready already.
  linkWakes() {
    const { slices, wakes, stepsOf } = this;
    this.wakeOf = new Int32Array(slices.count).fill(-1);
    this.stepAfter = new Int32Array(wakes.count).fill(-1);
    for (let wake = 0; wake < wakes.count; wake += 1) {
      const row = wakes.to[wake];
      if (row >= this.rows.length) continue;
      const begin = wakes.time[wake] + wakes.delay[wake];
      let at = stepsOf.find(row, slices.start, begin);
      // What waits for the interpreter may begin at the same moment.
      while (at < stepsOf.first[row + 1] && slices.kind[stepsOf.ids[at]] === INTERPRETER) at += 1;
      const slice = stepsOf.ids[at];
      if (at >= stepsOf.first[row + 1] || slices.start[slice] !== begin) continue;
      this.stepAfter[wake] = slice;
      if (this.wakeOf[slice] < 0) this.wakeOf[slice] = wake;
    }
  }

  // Ends each wait of a task at the wake-up that ended it: after that, the task is in the ready queue.
  cutWaits() {
    const { slices, waits, wakes, stepsOf, waitsOf, wakeOf } = this;
    for (let row = 0; row < this.rows.length; row += 1) {
      if (this.rows[row].kind !== "task") continue;
      let at = stepsOf.first[row];
      const last = stepsOf.first[row + 1];
      for (let next = waitsOf.first[row]; next < waitsOf.first[row + 1]; next += 1) {
        const wait = waitsOf.ids[next];
        const end = waits.start[wait] + waits.length[wait];
        while (at < last && slices.start[stepsOf.ids[at]] < end) at += 1;
        const wake = at < last ? wakeOf[stepsOf.ids[at]] : -1;
        if (wake < 0) continue;
        waits.length[wait] = clamp(wakes.time[wake] - waits.start[wait], 0, waits.length[wait]);
      }
    }
  }

  addUp() {
    const { slices, waits, rows, lanes } = this;
    const each = () => new Float64Array(rows.length);
    this.busy = each();
    this.waiting = each();
    this.ready = each();
    this.steps = new Uint32Array(rows.length);
    this.longest = new Int32Array(rows.length).fill(-1);
    this.born = each().fill(Infinity);
    this.died = each().fill(-1);
    this.blocking = [];
    const blockedOfRow = (this.blockedOfRow = new Uint32Array(rows.length));
    for (let slice = 0; slice < slices.count; slice += 1) {
      const row = slices.row[slice];
      const length = slices.length[slice];
      if (row >= rows.length) continue;
      this.born[row] = Math.min(this.born[row], slices.start[slice]);
      this.died[row] = Math.max(this.died[row], slices.start[slice] + length);
      if (slices.kind[slice] === INTERPRETER) continue;
      this.busy[row] += length;
      this.steps[row] += 1;
      if (this.longest[row] < 0 || length > slices.length[this.longest[row]]) this.longest[row] = slice;
      if (this.wakeOf[slice] >= 0) this.ready[row] += this.readyTime(slice);
      if (this.isBlocking(slice)) {
        this.blocking.push(slice);
        blockedOfRow[row] += 1;
      }
    }
    for (let wait = 0; wait < waits.count; wait += 1) {
      const row = waits.row[wait];
      if (row >= rows.length) continue;
      this.waiting[row] += waits.length[wait];
      this.born[row] = Math.min(this.born[row], waits.start[wait]);
      this.died[row] = Math.max(this.died[row], waits.start[wait] + waits.length[wait]);
    }
    this.loopPolls = new Float64Array(lanes.length);
    for (let poll = 0; poll < this.polls.count; poll += 1) {
      this.loopPolls[this.polls.lane[poll]] += this.polls.length[poll];
    }
    this.laneBusy = new Float64Array(lanes.length);
    rows.forEach((row, index) => {
      this.laneBusy[row.lane] += this.busy[index];
      if (row.created !== null && row.created !== undefined) {
        this.born[index] = Math.min(row.created, this.born[index]);
      }
      if (this.born[index] === Infinity) this.born[index] = 0;
      if (row.ended !== null && row.ended !== undefined) this.died[index] = Math.max(row.ended, this.born[index]);
      else if (row.kind === "task" || this.died[index] < 0) this.died[index] = this.duration;
    });
  }

  // A job blocks no loop: it has a thread of its own.
  isBlocking(slice) {
    return this.slices.length[slice] > this.threshold && this.slices.kind[slice] < JOB;
  }

  // How long a step's task was in the ready queue before it.
  readyTime(slice) {
    return this.slices.start[slice] - this.wakes.time[this.wakeOf[slice]];
  }

  label(index) {
    return index < this.labels.length ? this.labels[index] : "";
  }

  rowName(row) {
    return row < this.rows.length ? this.rows[row].name || this.rows[row].coro || "?" : "the loop";
  }

  // Who woke, and why, in words.
  wakerName(wake) {
    const from = this.wakes.from[wake];
    return from >= this.rows.length && this.wakeReason(wake) === OTHER_THREAD ? OTHER_THREAD : this.rowName(from);
  }

  wakeReason(wake) {
    return this.label(this.wakes.label[wake]);
  }

  // The same in brackets, unless it is said already.
  wakeWhy(wake) {
    const reason = this.wakeReason(wake);
    return reason && reason !== this.wakerName(wake) ? " (" + reason + ")" : "";
  }

  sliceName(slice) {
    const label = this.label(this.slices.label[slice]);
    return label || this.rowName(this.slices.row[slice]);
  }

  // The stack of a row's creation, the innermost call last.
  stackOf(row) {
    const stack = this.rows[row].stack;
    if (stack === null || stack === undefined || !this.stacks[stack]) return [];
    return this.stacks[stack].map((frame) => this.frames[frame]).filter(Boolean);
  }

  // The wake-ups that a slice made.
  wakesBy(slice) {
    const { wakes, wakesFrom } = this;
    const row = this.slices.row[slice];
    const found = [];
    if (row >= this.rows.length) return found;
    const end = this.slices.start[slice] + this.slices.length[slice];
    for (let at = wakesFrom.find(row, wakes.time, this.slices.start[slice]); at < wakesFrom.first[row + 1]; at += 1) {
      if (wakes.time[wakesFrom.ids[at]] > end) break;
      found.push(wakesFrom.ids[at]);
    }
    return found;
  }

  // What a row waited for: [label, total, times] by total.
  waitsByLabel(row) {
    const totals = new Map();
    for (let at = this.waitsOf.first[row]; at < this.waitsOf.first[row + 1]; at += 1) {
      const wait = this.waitsOf.ids[at];
      const total = totals.get(this.waits.label[wait]) || [this.label(this.waits.label[wait]) || "?", 0, 0];
      total[1] += this.waits.length[wait];
      total[2] += 1;
      totals.set(this.waits.label[wait], total);
    }
    return [...totals.values()].sort((one, other) => other[1] - one[1]);
  }

  // Those that woke a row, or that it woke: [row, label, times, a wake] by times.
  wakersOf(row, wokeIt) {
    const groups = wokeIt ? this.wakesTo : this.wakesFrom;
    const others = wokeIt ? this.wakes.from : this.wakes.to;
    const totals = new Map();
    for (let at = groups.first[row]; at < groups.first[row + 1]; at += 1) {
      const wake = groups.ids[at];
      const other = Math.min(others[wake], this.rows.length);
      const key = other * (this.labels.length + 1) + Math.min(this.wakes.label[wake], this.labels.length);
      const total = totals.get(key) || [others[wake], this.label(this.wakes.label[wake]), 0, wake];
      total[2] += 1;
      totals.set(key, total);
    }
    return [...totals.values()].sort((one, other) => other[2] - one[2]);
  }

  // The longest slices of loops and workers, the longest first.
  longestSlices(count) {
    const { length, kind } = this.slices;
    const heap = new Heap();
    for (let slice = 0; slice < this.slices.count; slice += 1) {
      if (kind[slice] === INTERPRETER || (heap.size === count && length[slice] <= heap.keys[0])) continue;
      heap.push(length[slice], slice);
      if (heap.size > count) heap.pop();
    }
    return heap.values.sort((one, other) => length[other] - length[one]);
  }
}
