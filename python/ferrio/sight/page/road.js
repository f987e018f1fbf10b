// The picture: lanes, rows, slices, waits, names and the axis of time. Arrows are drawn by arrows.js.

const TEXT_WIDTH = 6.1;
// What is narrower goes to the strips.
const NARROW = 3;

class Road {
  constructor(canvas, app) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.app = app;
    this.strips = new Strips();
    const { trace } = app;
    const laneOf = Uint32Array.from(trace.rows, (row) => row.lane);
    const lanes = new Uint32Array(trace.slices.count);
    for (let slice = 0; slice < lanes.length; slice += 1) lanes[slice] = laneOf[trace.slices.row[slice]] ?? NONE;
    this.traffic = new Band(trace.slices, lanes, trace.lanes.length, trace.slices.kind);
    this.quiet = new Band(trace.polls, trace.polls.lane, trace.lanes.length, new Uint8Array(trace.polls.count));
  }

  resize() {
    const { canvas, app } = this;
    const box = canvas.getBoundingClientRect();
    this.ratio = Math.min(window.devicePixelRatio || 1, 3);
    canvas.width = Math.round(box.width * this.ratio);
    canvas.height = Math.round(box.height * this.ratio);
    app.camera.resize(box.width, box.height);
  }

  draw() {
    const { context: c, app } = this;
    const { camera, layout, theme } = app;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = theme.ground;
    c.fillRect(0, 0, camera.width, camera.height);
    c.textBaseline = "middle";
    const shown = this.visibleTracks();
    c.save();
    c.beginPath();
    c.rect(camera.gutter, AXIS, camera.plot, camera.height - AXIS);
    c.clip();
    for (const at of shown) this.drawGround(layout.tracks[at], at);
    this.drawGrid();
    this.strips.begin(4 * shown.length, camera, this.ratio);
    for (const at of shown) {
      if (layout.tracks[at].kind === "lane") this.drawLane(layout.tracks[at]);
      else this.drawRow(layout.tracks[at], at);
    }
    this.strips.draw(c, camera);
    for (const at of shown) {
      const track = layout.tracks[at];
      const y = this.top(track);
      if (track.kind === "lane") this.drawBlocked(app.laneBlocked, track.lane, y + 6, track.height - 12);
      else this.drawBlocked(layout.blocked, at, y + 2, track.height - 4);
    }
    this.drawChoice();
    drawArrows(c, app, shown);
    c.restore();
    this.drawNames(shown);
    this.drawAxis();
  }

  visibleTracks() {
    const { camera, layout } = this.app;
    const shown = [];
    let at = Math.max(0, layout.trackAt(camera.scroll));
    const bottom = camera.scroll + camera.height - AXIS;
    for (; at < layout.tracks.length && layout.tracks[at].y < bottom; at += 1) shown.push(at);
    return shown;
  }

  // The top of a track on the canvas.
  top(track) {
    return AXIS + track.y - this.app.camera.scroll;
  }

  drawGround(track, at) {
    const { context: c, app } = this;
    const { camera, theme } = app;
    const y = this.top(track);
    if (app.isChosen(track)) c.fillStyle = theme.chosen;
    else if (app.search.isFound(at)) c.fillStyle = theme.found;
    else if (at % 2 === 1) c.fillStyle = theme.stripe;
    else return;
    c.fillRect(camera.gutter, y, camera.plot, track.height);
  }

  drawGrid() {
    const { context: c, app } = this;
    c.fillStyle = app.theme.line;
    for (const { x } of this.ticks()) c.fillRect(Math.round(x), AXIS, 1, app.camera.height - AXIS);
  }

  drawLane(track) {
    const { context: c, app } = this;
    const { camera, theme, trace } = app;
    const y = this.top(track);
    const left = Math.max(camera.gutter, camera.x(0));
    const right = Math.min(camera.width, camera.x(trace.duration));
    const height = track.height - 8;
    c.fillStyle = theme.asphalt;
    c.fillRect(left, y + 4, right - left, height);
    c.fillStyle = theme.kerb;
    c.fillRect(left, y + 4, right - left, 1.5);
    c.fillRect(left, y + 2.5 + height, right - left, 1.5);
    const middle = Math.round(y + track.height / 2) - 1;
    c.fillStyle = theme.marking;
    this.quiet.runs(track.lane, camera.from, camera.to, camera.pixel * 4, (low, high, begin, end, busy) => {
      const width = (end - begin) / camera.pixel;
      if (high - low > 1 && busy < (end - begin) / 2) return;
      this.dashes(Math.max(left, camera.x(begin) + 1), Math.min(right, camera.x(end) - 1), middle, width);
    });
    this.drawSlices(this.traffic, track.lane, y + 9, track.height - 18, true);
  }

  // The broken line of an empty road. It keeps its place in time when the view moves.
  dashes(left, right, y) {
    const { context: c, app } = this;
    const { camera } = app;
    const offset = (((-camera.from / camera.pixel + camera.gutter) % 18) + 18) % 18;
    for (let x = Math.floor((left - offset) / 18) * 18 + offset; x < right; x += 18) {
      const begin = Math.max(left, x);
      const end = Math.min(right, x + 10);
      if (end > begin) c.fillRect(begin, y, end - begin, 2);
    }
  }

  drawRow(track, at) {
    const { app } = this;
    const y = this.top(track);
    this.drawLives(track, y);
    this.drawWaits(at, y, track.height);
    this.drawReady(at, y + track.height - 6);
    this.drawSlices(app.layout.slices, at, y + 4, track.height - 8, false);
  }

  // From birth to end of each task of the track; several of them are told apart by the gaps.
  drawLives(track, y) {
    const { context: c, app } = this;
    const { camera, theme, trace } = app;
    if (trace.rows[track.rows[0]].kind !== "task") return;
    const own = track.kind === "shared" ? track.rows : track.rows.slice(0, 1);
    let low = 0;
    let high = own.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (trace.died[own[middle]] < camera.from) low = middle + 1;
      else high = middle;
    }
    c.fillStyle = theme.life;
    this.strips.line(y + 2, track.height - 4);
    for (let at = low; at < own.length && trace.born[own[at]] < camera.to; at += 1) {
      const begin = Math.max(camera.x(trace.born[own[at]]), camera.gutter - 2);
      const end = Math.min(camera.x(trace.died[own[at]]), camera.width + 2);
      if (end - begin > NARROW) c.fillRect(begin, y + 2, end - begin - 1, track.height - 4);
      else this.strips.put(begin, end, theme.lifePixel, 0.1);
    }
  }

  drawWaits(at, y, height) {
    const { context: c, app } = this;
    const { camera, theme, layout, trace } = app;
    const { from, gutter, pixel, scale, width } = camera;
    const line = y + height - 6;
    c.font = theme.small;
    this.strips.line(line, 2.5);
    layout.waits.runs(at, from, camera.to, pixel, (low, high, begin, end, busy) => {
      const left = Math.max(gutter + (begin - from) * scale, gutter - 2);
      const right = Math.min(gutter + (end - from) * scale, width + 2);
      if (right - left < NARROW) {
        const alpha = 0.35 + 0.65 * clamp(busy / pixel, 0, 1);
        this.strips.put(left, right, theme.waitPixels[layout.waits.paint[low]], alpha);
        return;
      }
      c.fillStyle = theme.waits[layout.waits.paint[low]];
      c.fillRect(left, line, right - left, 2.5);
      if (right - left > 44 && high - low === 1) {
        c.fillStyle = theme.muted;
        const begin = Math.max(left, camera.gutter) + 4;
        this.fitted(trace.label(trace.waits.label[layout.waits.ids[low]]), begin, line - 6, right - begin - 4, 5.4);
      }
    });
  }

  drawReady(at, line) {
    const { context: c, app } = this;
    const { camera, theme, layout } = app;
    const { from, gutter, pixel, scale, width } = camera;
    c.fillStyle = theme.ready;
    this.strips.line(line, 2.5);
    layout.ready.runs(at, from, camera.to, pixel, (low, high, begin, end, busy) => {
      const left = Math.max(gutter + (begin - from) * scale, gutter - 2);
      const right = Math.min(gutter + (end - from) * scale, width + 2);
      if (right - left >= NARROW) c.fillRect(left, line, right - left, 2.5);
      else if (busy > pixel / 4) this.strips.put(left, right, theme.readyPixel, clamp(busy / pixel, 0, 1));
    });
  }

  drawSlices(band, group, y, height, onRoad) {
    const { context: c, app } = this;
    const { camera, theme, trace } = app;
    const { from, gutter, pixel, scale } = camera;
    const edge = camera.width + 8;
    c.font = theme.font;
    let colour = -1;
    this.strips.line(y, height);
    band.runs(group, from, camera.to, pixel, (low, high, begin, end, busy) => {
      const paint = onRoad && high - low > 1 ? this.mainPaint(band, low, high) : band.paint[low];
      const left = Math.max(gutter + (begin - from) * scale, gutter - 8);
      const right = Math.min(gutter + (end - from) * scale, edge);
      const width = right - left;
      if (width < NARROW) {
        this.strips.put(left, right, theme.slicePixels[paint], 0.55 + 0.45 * clamp(busy / pixel, 0, 1));
        return;
      }
      if (paint !== colour) c.fillStyle = theme.slices[(colour = paint)];
      c.beginPath();
      c.roundRect(left, y, width - 0.5, height, Math.min(3, width / 3));
      c.fill();
      if (width > 34 && high - low === 1) {
        c.fillStyle = theme["on-slice"];
        colour = -1;
        const slice = band.ids[low];
        const isStep = onRoad && trace.slices.kind[slice] === STEP;
        const text = isStep ? trace.rowName(trace.slices.row[slice]) : trace.sliceName(slice);
        this.inside(text, left, right, y + height / 2 + 0.5);
      }
    });
  }

  // The colour of many slices in one pixel: that of the longest among the first.
  mainPaint(band, low, high) {
    let longest = low;
    const last = Math.min(high, low + 12);
    for (let at = low + 1; at < last; at += 1) {
      if (band.end[at] - band.start[at] > band.end[longest] - band.start[longest]) longest = at;
    }
    return band.paint[longest];
  }

  // Blocking slices are drawn last and never too narrow to be seen.
  drawBlocked(band, group, y, height) {
    const { context: c, app } = this;
    const { camera, theme, trace } = app;
    c.font = theme.font;
    band.runs(group, camera.from, camera.to, camera.pixel * 2, (low, high, begin, end) => {
      const left = Math.max(camera.x(begin), camera.gutter - 8);
      const width = Math.max(2.5, Math.min(camera.x(end), camera.width + 8) - left);
      c.fillStyle = theme.blocked;
      c.beginPath();
      c.roundRect(left, y, width, height, Math.min(3, width / 3));
      c.fill();
      if (width > 34 && high - low === 1) {
        c.fillStyle = theme["on-slice"];
        const slice = trace.blocking[band.ids[low]];
        const text = trace.sliceName(slice) + "  " + duration(trace.slices.length[slice]);
        this.inside(text, left, left + width, y + height / 2 + 0.5);
      }
    });
  }

  // Outlines what is selected and what the pointer is on.
  drawChoice() {
    const { context: c, app } = this;
    const { camera, theme, trace } = app;
    for (const [slice, style] of [[app.hovered.slice, theme.muted], [app.chosen.slice, theme.text]]) {
      if (slice < 0) continue;
      const tracks = [app.layout.shownOn(trace.slices.row[slice]), app.layout.trackOfLane[app.laneOfSlice(slice)]];
      for (const at of new Set(tracks)) {
        const track = app.layout.tracks[at];
        if (!track) continue;
        const left = camera.x(trace.slices.start[slice]);
        const width = Math.max(3, trace.slices.length[slice] / camera.pixel);
        const inset = track.kind === "lane" ? 7 : 2;
        c.strokeStyle = style;
        c.lineWidth = 1.5;
        c.strokeRect(left - 1, this.top(track) + inset, width + 2, track.height - 2 * inset);
      }
    }
  }

  // Writes into something drawn, where it is in view.
  inside(text, left, right, y) {
    const { camera } = this.app;
    const begin = Math.max(left, camera.gutter) + 5;
    this.fitted(text, begin, y, Math.min(right, camera.width) - begin - 4, TEXT_WIDTH);
  }

  fitted(text, x, y, room, letter) {
    const { context: c } = this;
    const fits = Math.floor(room / letter);
    if (fits < 3) return;
    const isWhole = text.length <= fits || (text.length < 2 * fits && c.measureText(text).width <= room);
    c.fillText(isWhole ? text : text.slice(0, fits - 1) + "\u2026", x, y);
  }

  drawNames(shown) {
    const { context: c, app } = this;
    const { camera, layout, theme, trace } = app;
    c.fillStyle = theme.gutter;
    c.fillRect(0, AXIS, camera.gutter, camera.height - AXIS);
    c.fillStyle = theme.line;
    c.fillRect(camera.gutter - 1, AXIS, 1, camera.height - AXIS);
    c.save();
    c.beginPath();
    c.rect(0, AXIS, camera.gutter - 4, camera.height - AXIS);
    c.clip();
    for (const at of shown) {
      const track = layout.tracks[at];
      const y = this.top(track);
      if (app.isChosen(track) || app.search.isFound(at)) {
        c.fillStyle = app.isChosen(track) ? theme.chosen : theme.found;
        c.fillRect(0, y, camera.gutter, track.height);
      }
      const middle = y + track.height / 2 + 0.5;
      const left = this.indent(track) + 14;
      if (track.hasChildren) this.triangle(left - 9, middle, track.folded);
      c.fillStyle = app.search.isActive && !app.search.isFound(at) && track.kind !== "lane" ? theme.muted : theme.text;
      c.font = track.kind === "lane" ? theme.strong : theme.font;
      const share = track.kind === "lane" ? percent(trace.laneBusy[track.lane] / trace.duration) : this.share(track);
      const room = camera.gutter - 10 - left - share.length * 6.5;
      const name = this.elided(track.name, room, track.kind === "shared");
      c.fillText(name, left, middle);
      const used = left + (name ? c.measureText(name).width + 8 : 0);
      c.fillStyle = theme.muted;
      c.font = theme.small;
      const hidden = track.folded && track.kind === "row" ? "+ " + (track.rows.length - 1) : "";
      const more = hidden || (track.coro === track.name ? "" : track.coro || "");
      if (used + 20 < left + room) c.fillText(this.elided(more, left + room - used, false), used, middle);
      c.textAlign = "right";
      c.fillText(share, camera.gutter - 10, middle);
      c.textAlign = "left";
    }
    c.restore();
  }

  // How many tasks share the lines below; on a phone the name needs the room.
  share(track) {
    return this.app.camera.gutter > 150 && track.share ? track.share : "";
  }

  // A name cut to fit: of a path of names, the end says more.
  elided(text, room, keepsEnd) {
    const width = this.context.measureText(text).width;
    if (width <= room) return text;
    const fits = Math.max(1, Math.floor((text.length * room) / width) - 1);
    return keepsEnd ? "\u2026" + text.slice(-fits) : text.slice(0, fits) + "\u2026";
  }

  indent(track) {
    return Math.min(track.depth * 11, this.app.camera.gutter / 2);
  }

  triangle(x, y, folded) {
    const { context: c, app } = this;
    c.fillStyle = app.theme.muted;
    c.beginPath();
    if (folded) {
      c.moveTo(x - 3, y - 4);
      c.lineTo(x + 3, y);
      c.lineTo(x - 3, y + 4);
    } else {
      c.moveTo(x - 4, y - 3);
      c.lineTo(x + 4, y - 3);
      c.lineTo(x, y + 3);
    }
    c.fill();
  }

  // Where the axis has its marks: [{x, time}], and how far apart they are.
  ticks() {
    const { camera } = this.app;
    const rough = camera.pixel * 110;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const ticks = [];
    for (let time = Math.ceil(Math.max(0, camera.from) / step) * step; time <= camera.to; time += step) {
      ticks.push({ x: camera.x(time), time });
    }
    this.tickStep = step;
    return ticks;
  }

  drawAxis() {
    const { context: c, app } = this;
    const { camera, theme } = app;
    c.fillStyle = theme.gutter;
    c.fillRect(0, 0, camera.width, AXIS);
    c.fillStyle = theme.line;
    c.fillRect(0, AXIS - 1, camera.width, 1);
    c.font = theme.small;
    c.fillStyle = theme.muted;
    c.fillText(duration(camera.to - camera.from) + " shown", 8, AXIS / 2);
    c.save();
    c.beginPath();
    c.rect(camera.gutter, 0, camera.plot, AXIS);
    c.clip();
    for (const { x, time } of this.ticks()) {
      c.fillRect(Math.round(x), AXIS - 7, 1, 7);
      if (x + 50 < camera.width) c.fillText(moment(time, this.tickStep), x + 4, AXIS / 2);
    }
    const range = app.range;
    if (range) {
      c.fillStyle = theme.shade;
      c.fillRect(Math.min(range.from, range.to), 0, Math.abs(range.to - range.from), AXIS);
      c.fillStyle = theme.text;
      const length = Math.abs(camera.time(range.to) - camera.time(range.from));
      c.fillText(duration(length), Math.min(range.from, range.to) + 4, AXIS / 2);
    }
    c.restore();
  }

  // What is at a place of the canvas: its track, and the slice, wait or number of slices there.
  at(x, y) {
    const { app } = this;
    const { camera, layout, trace } = app;
    const found = { track: -1, row: -1, slice: -1, wait: -1, many: 0, x, y };
    if (y < AXIS) return found;
    found.track = layout.trackAt(y - AXIS + camera.scroll);
    const track = layout.tracks[found.track];
    if (!track) return found;
    if (track.kind === "row") found.row = track.rows[0];
    if (x < camera.gutter) return found;
    const time = camera.time(x);
    const band = track.kind === "lane" ? this.traffic : layout.slices;
    const group = track.kind === "lane" ? track.lane : found.track;
    const slice = this.longestAt(band, group, time, found);
    if (slice >= 0) found.slice = slice;
    else if (track.kind !== "lane") {
      found.wait = this.longestAt(layout.waits, found.track, time, null);
      const wake = found.wait < 0 ? this.longestAt(layout.ready, found.track, time, null) : -1;
      // In the ready queue, what matters is the step that comes.
      if (wake >= 0) found.slice = trace.stepAfter[wake];
    }
    if (found.slice >= 0) found.row = trace.slices.row[found.slice];
    else if (found.wait >= 0) found.row = trace.waits.row[found.wait];
    else if (track.kind === "shared") {
      const here = track.rows.find((row) => trace.born[row] <= time && trace.died[row] >= time);
      if (here !== undefined) found.row = here;
    }
    return found;
  }

  longestAt(band, group, time, found) {
    const { pixel } = this.app.camera;
    let near = band.between(group, time, time);
    if (near.length === 0) near = band.between(group, time - 2 * pixel, time + 2 * pixel);
    let best = -1;
    for (const at of near) {
      if (best < 0 || band.end[at] - band.start[at] > band.end[best] - band.start[best]) best = at;
    }
    if (found) found.many = near.length;
    return best < 0 ? -1 : band.ids[best];
  }
}
