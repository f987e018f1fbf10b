// Things with a beginning and an end, grouped by what they are drawn on, and found by time. This is what makes a million
// slices scroll: a frame asks for runs, and pays for the pixels that it draws rather than for what lies in them.

// How many things near a place are looked at, at most.
const MOST_NEAR = 2000;

// The members of each group, in the order of the table.
class Groups {
  // `groupOf` has each item's group; one that is no group (none, or hidden) leaves the item out.
  constructor(groupOf, count, groups) {
    const first = new Uint32Array(groups + 1);
    for (let item = 0; item < count; item += 1) {
      if (groupOf[item] < groups) first[groupOf[item] + 1] += 1;
    }
    for (let group = 0; group < groups; group += 1) first[group + 1] += first[group];
    const next = first.slice();
    this.first = first;
    this.ids = new Uint32Array(first[groups]);
    for (let item = 0; item < count; item += 1) {
      if (groupOf[item] < groups) this.ids[next[groupOf[item]]++] = item;
    }
  }

  size(group) {
    return this.first[group + 1] - this.first[group];
  }

  // The first position of the group whose value in `column` isn't below `wanted`.
  find(group, column, wanted) {
    let low = this.first[group];
    let high = this.first[group + 1];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (column[this.ids[middle]] < wanted) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

// A table by groups, with all that drawing needs side by side.
class Band {
  constructor(table, groupOf, groups, paintOf) {
    const { first, ids } = new Groups(groupOf, table.count, groups);
    const size = ids.length;
    this.first = first;
    this.ids = ids;
    this.start = new Float64Array(size);
    this.end = new Float64Array(size);
    // The sum of all lengths before a position: what a run holds is a difference of two.
    this.sum = new Float64Array(size + 1);
    this.paint = new Uint8Array(size);
    let sum = 0;
    for (let at = 0; at < size; at += 1) {
      const id = ids[at];
      const length = table.length[id];
      this.start[at] = table.start[id];
      this.end[at] = table.start[id] + length;
      this.sum[at] = sum;
      sum += length;
      this.paint[at] = paintOf[id];
    }
    this.sum[size] = sum;
    // The latest end so far, which ascends within a group even if things lie inside each other.
    this.reach = this.latestEnds();
  }

  latestEnds() {
    const { first, end } = this;
    let reach = end;
    for (let group = 0; group + 1 < first.length; group += 1) {
      for (let at = first[group] + 1; at < first[group + 1]; at += 1) {
        if (reach[at] >= reach[at - 1]) continue;
        if (reach === end) reach = end.slice();
        reach[at] = reach[at - 1];
      }
    }
    return reach;
  }

  // The first position of the group that may still be there at `time`.
  from(group, time) {
    return lowerBound(this.reach, time, this.first[group], this.first[group + 1]);
  }

  // Calls `visit(low, high, begin, end, busy)` for what is between two times: alone if it is at least a pixel wide,
  // else with everything else that begins in the same pixel. Pixels are counted from time 0, so that runs stay the
  // same when the view moves.
  runs(group, from, to, pixel, visit) {
    const { start, end, sum } = this;
    const last = this.first[group + 1];
    let at = this.from(group, from);
    while (at < last && start[at] < to) {
      const begin = start[at];
      if (end[at] - begin >= pixel) {
        visit(at, at + 1, begin, end[at], end[at] - begin);
        at += 1;
        continue;
      }
      const limit = (Math.floor(begin / pixel) + 1) * pixel;
      let high = this.gallop(at + 1, last, limit);
      // What reaches far beyond this pixel is drawn on its own.
      if (high - 1 > at && end[high - 1] - start[high - 1] >= pixel) high -= 1;
      visit(at, high, begin, Math.max(end[at], end[high - 1]), sum[high] - sum[at]);
      at = high;
    }
  }

  // `lowerBound` in the starts for a bound that is probably near.
  gallop(low, high, wanted) {
    let step = 1;
    let at = low;
    while (at + step < high && this.start[at + step] < wanted) {
      at += step;
      step *= 2;
    }
    return lowerBound(this.start, wanted, at, Math.min(high, at + step + 1));
  }

  // The positions of the group that touch the time between two others.
  between(group, from, to) {
    const found = [];
    const last = this.first[group + 1];
    for (let at = this.from(group, from); at < last && this.start[at] <= to && found.length < MOST_NEAR; at += 1) {
      if (this.end[at] >= from) found.push(at);
    }
    return found;
  }

  // How much of the time between two others is covered.
  covered(group, from, to) {
    const low = this.from(group, from);
    const high = lowerBound(this.start, to, low, this.first[group + 1]);
    if (high <= low) return 0;
    const cut = Math.max(0, from - this.start[low]) + Math.max(0, this.end[high - 1] - to);
    return Math.max(0, this.sum[high] - this.sum[low] - cut);
  }
}
