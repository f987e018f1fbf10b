// Puts the page together: what is selected, what the address says, when to draw.

const NOTHING = { row: -1, slice: -1, wait: -1 };

class App {
  constructor(trace) {
    this.trace = trace;
    this.chosen = { ...NOTHING };
    this.hovered = { ...NOTHING };
    this.range = null;
    this.pointer = null;
    this.arrows = 0;
    this.frame = 0;
    this.theme = new Theme(() => this.redraw());
    this.layout = new Layout(trace);
    this.search = new Search(this);
    this.camera = new Camera(trace.duration, () => this.redraw());
    this.road = new Road(byId("road"), this);
    this.laneBlocked = this.bandOfBlocked();
    this.minimap = new Minimap(byId("minimap"), this);
    this.panel = new Panel(this);
    this.lists = new Lists(this);
    drawLegend(byId("legend"), trace);
    listen(this);
    this.camera.rowsHeight = this.layout.height + 12;
    if (matchMedia("(max-width: 700px)").matches) this.foldPanel();
    this.panel.show();
    this.showTab(trace.blocking.length > 0 ? "blocked" : "summary");
    this.resize();
    this.followHash();
    this.showSettings();
  }

  bandOfBlocked() {
    const { slices, rows, blocking, lanes } = this.trace;
    const table = {
      count: blocking.length,
      start: blocking.map((slice) => slices.start[slice]),
      length: blocking.map((slice) => slices.length[slice]),
    };
    const groups = blocking.map((slice) => rows[slices.row[slice]].lane);
    return new Band(table, groups, lanes.length, new Uint8Array(blocking.length));
  }

  redraw() {
    this.frame ||= requestAnimationFrame((now) => this.draw(now));
  }

  draw(now = performance.now()) {
    this.frame = 0;
    this.camera.step(now);
    this.road.draw();
    this.minimap.draw();
    // For tools that can't see the canvas.
    const { from, to, scroll } = this.camera;
    const canvas = this.road.canvas.dataset;
    canvas.from = Math.round(from);
    canvas.to = Math.round(to);
    canvas.arrows = this.arrows;
    canvas.tracks = this.layout.tracks.length;
    clearTimeout(this.later);
    this.later = setTimeout(() => this.writeHash(from, to, scroll), 300);
  }

  resize() {
    this.road.resize();
    this.minimap.resize();
    cancelAnimationFrame(this.frame);
    this.draw();
  }

  laneOfSlice(slice) {
    const row = this.trace.slices.row[slice];
    return row < this.trace.rows.length ? this.trace.rows[row].lane : -1;
  }

  isChosen(track) {
    if (this.chosen.row < 0) return false;
    return track.kind !== "lane" && this.layout.tracks[this.layout.trackOf[this.chosen.row]] === track;
  }

  pointerX() {
    return this.pointer && this.pointer.x > this.camera.gutter ? this.pointer.x : undefined;
  }

  hover(place) {
    this.pointer = place;
    const at = place ? this.road.at(place.x, place.y) : null;
    const tip = byId("tip");
    const [title, ...lines] = at ? tipLines(this, at) : [];
    tip.hidden = !title;
    if (!tip.hidden) {
      tip.replaceChildren(make("b", {}, title), ...lines.map((line) => make("span", {}, line)));
      const box = byId("stage").getBoundingClientRect();
      const top = this.road.canvas.offsetTop + place.y;
      const left = place.x + 14 + tip.offsetWidth > box.width ? place.x - tip.offsetWidth - 10 : place.x + 14;
      tip.style.left = Math.max(2, left) + "px";
      tip.style.top = (top + 18 + tip.offsetHeight > box.height ? top - tip.offsetHeight - 10 : top + 18) + "px";
    }
    this.hovered = at ? { row: at.row, slice: at.slice, wait: at.wait } : { ...NOTHING };
    this.redraw();
  }

  click(place) {
    const at = this.road.at(place.x, place.y);
    const track = this.layout.tracks[at.track];
    if (!track) return;
    const onTriangle = track.hasChildren && place.x < this.road.indent(track) + 14;
    if (place.x < this.camera.gutter && (onTriangle || track.kind === "lane")) this.fold(track);
    else if (place.x < this.camera.gutter && track.kind === "shared") this.choose(NOTHING);
    else this.choose(at);
  }

  choose({ row = -1, slice = -1, wait = -1 }, open = true) {
    this.chosen = { row, slice, wait };
    const { trace } = this;
    if (slice >= 0) this.chosen.row = trace.slices.row[slice];
    if (wait >= 0) this.chosen.row = trace.waits.row[wait];
    if (this.chosen.row >= trace.rows.length) this.chosen.row = -1;
    this.panel.show();
    const something = this.chosen.row >= 0 || slice >= 0;
    if (something && open) this.showTab("selection");
    if (something) byId("announcement").textContent = this.inWords();
    this.redraw();
  }

  inWords() {
    const { trace, chosen } = this;
    if (chosen.slice >= 0) {
      const of = trace.rowName(trace.slices.row[chosen.slice]);
      const time = duration(trace.slices.length[chosen.slice]) + " at " + moment(trace.slices.start[chosen.slice]);
      return trace.sliceName(chosen.slice) + " of " + of + ", " + time;
    }
    return trace.rowName(chosen.row);
  }

  // Selects something and brings it into view.
  goTo(what) {
    this.choose(what);
    const { trace, camera, layout } = this;
    const { row, slice, wait } = this.chosen;
    let from = row >= 0 ? trace.born[row] : 0;
    let to = row >= 0 ? trace.died[row] : 0;
    if (slice >= 0) [from, to] = [trace.slices.start[slice], trace.slices.start[slice] + trace.slices.length[slice]];
    if (wait >= 0) [from, to] = [trace.waits.start[wait], trace.waits.start[wait] + trace.waits.length[wait]];
    const track = layout.tracks[layout.shownOn(row < 0 ? NONE : row)];
    const scroll = track ? camera.scrollTo(track) : camera.scroll;
    const seen = camera.goal;
    const span = seen.to - seen.from;
    const length = to - from;
    const inside = from >= seen.from && to <= seen.to;
    if (inside && (row === -1 || (slice < 0 && wait < 0) || length > span / 200)) camera.fly(seen.from, seen.to, scroll);
    else {
      const wanted = clamp(length * 6, Math.min(span, 20000), Math.max(span, length * 1.3));
      const middle = (from + to) / 2;
      camera.fly(middle - wanted / 2, middle + wanted / 2, scroll);
    }
  }

  // Selects the slice of a row at or before a moment.
  goToMoment(row, time) {
    const { stepsOf, slices } = this.trace;
    const at = stepsOf.find(row, slices.start, time + 1) - 1;
    this.goTo(at >= stepsOf.first[row] ? { slice: stepsOf.ids[at] } : { row });
  }

  stepAside(by) {
    const { stepsOf, slices } = this.trace;
    const { row, slice } = this.chosen;
    if (row < 0) return;
    const first = stepsOf.first[row];
    const last = stepsOf.first[row + 1] - 1;
    if (last < first) return;
    const here = slice >= 0 ? stepsOf.find(row, slices.start, slices.start[slice]) + by : by > 0 ? first : last;
    this.goTo({ slice: stepsOf.ids[clamp(here, first, last)] });
  }

  nextBlocked(by) {
    const { blocking } = this.trace;
    if (blocking.length === 0) return;
    const at = blocking.indexOf(this.chosen.slice);
    const next = at < 0 ? (by > 0 ? 0 : blocking.length - 1) : (at + by + blocking.length) % blocking.length;
    this.goTo({ slice: blocking[next] });
  }

  zoomToChoice() {
    const { trace, camera } = this;
    const { row, slice, wait } = this.chosen;
    let span = null;
    if (slice >= 0) span = [trace.slices.start[slice], trace.slices.length[slice]];
    else if (wait >= 0) span = [trace.waits.start[wait], trace.waits.length[wait]];
    else if (row >= 0) span = [trace.born[row], trace.died[row] - trace.born[row]];
    if (!span) return;
    const margin = Math.max(span[1] * 0.3, 100);
    const track = this.layout.tracks[this.layout.shownOn(row)];
    camera.fly(span[0] - margin, span[0] + span[1] + margin, track ? camera.scrollTo(track) : camera.scroll);
  }

  find(query) {
    this.search.run(query);
    this.showHits();
    this.redraw();
  }

  nextHit(by) {
    const hit = this.search.move(by);
    if (hit) this.goTo(hit);
    this.showHits();
  }

  showHits() {
    const { search } = this;
    const none = !search.isActive || search.count === 0;
    byId("next-hit").hidden = byId("previous-hit").hidden = none;
    const place = search.current >= 0 ? grouped(search.current + 1) + " of " : "";
    byId("hits").textContent = !search.isActive ? "" : none ? "nothing found" : place + counted(search.count, "hit");
  }

  escape() {
    const field = byId("search");
    if (field.value || this.search.isActive) {
      field.value = "";
      this.find("");
    } else this.choose(NOTHING);
    field.blur();
    this.road.canvas.focus({ preventScroll: true });
  }

  fold(track) {
    if (!this.layout.fold(track)) return;
    this.afterArranging();
  }

  foldChosen() {
    const at = this.layout.shownOn(this.chosen.row < 0 ? NONE : this.chosen.row);
    if (at >= 0) this.fold(this.layout.tracks[at]);
  }

  rearrange({ mode = this.layout.mode, sort = this.layout.sort }) {
    this.layout.mode = mode;
    this.layout.sort = sort;
    this.layout.arrange();
    this.afterArranging();
  }

  afterArranging() {
    this.camera.rowsHeight = this.layout.height + 12;
    this.search.arrange();
    this.hovered = { ...NOTHING };
    const { from, to, scroll } = this.camera;
    this.camera.look(from, to, scroll);
    this.showSettings();
  }

  showSettings() {
    byId("mode").value = this.layout.mode;
    byId("sort").value = this.layout.sort;
  }

  showTab(name) {
    for (const tab of document.querySelectorAll("[role=tab]")) {
      const isIt = tab.id === "tab-" + name;
      tab.setAttribute("aria-selected", isIt);
      tab.tabIndex = isIt ? 0 : -1;
      byId("view-" + tab.id.slice(4)).hidden = !isIt;
    }
    this.lists.show(name);
    if (name === "selection" && this.chosen.row >= 0) this.foldPanel(false);
  }

  foldPanel(folded = !document.body.classList.contains("folded")) {
    document.body.classList.toggle("folded", folded);
    byId("fold").setAttribute("aria-expanded", !folded);
  }

  // The address keeps the view, so that a reload or a link shows the same.
  writeHash(from, to, scroll) {
    const { chosen, layout, search } = this;
    const parts = new URLSearchParams({ view: [from, to, scroll].map(Math.round).join(",") });
    const [name, at] = Object.entries(chosen).find(([key, value]) => key !== "row" && value >= 0) || ["row", chosen.row];
    if (at >= 0) parts.set(name, at);
    if (search.isActive) parts.set("find", search.query);
    parts.set("rows", layout.mode + "," + layout.sort);
    this.hash = "#" + parts;
    history.replaceState(null, "", this.hash);
  }

  followHash() {
    if (location.hash.length < 2 || location.hash === this.hash) return;
    const parts = new URLSearchParams(location.hash.slice(1));
    const [mode, sort] = (parts.get("rows") || "").split(",");
    const isKnown = (id, value) => [...byId(id).options].some((option) => option.value === value);
    if (isKnown("mode", mode) && isKnown("sort", sort)) this.rearrange({ mode, sort });
    const query = parts.get("find");
    if (query) {
      byId("search").value = query;
      this.find(query);
    }
    const { slices, waits, rows } = this.trace;
    for (const [name, count] of Object.entries({ slice: slices.count, wait: waits.count, row: rows.length })) {
      const at = Number(parts.get(name) ?? NaN);
      if (Number.isInteger(at) && at >= 0 && at < count) {
        this.choose({ [name]: at });
        break;
      }
    }
    const view = (parts.get("view") || "").split(",").map(Number);
    if (view.length === 3 && view.every(Number.isFinite)) this.camera.look(...view);
  }
}

function fail(text) {
  document.body.dataset.state = "failed";
  byId("loading").hidden = true;
  byId("warning").textContent = text;
  byId("warning").hidden = false;
}

async function main() {
  if (typeof DecompressionStream === "undefined") {
    const since = "Firefox 113, Chrome 99, Safari 16.4 and newer have it.";
    fail("This browser can't unpack the trace: it lacks DecompressionStream. " + since);
    return;
  }
  const began = performance.now();
  try {
    const element = byId("trace");
    const trace = await Trace.read(element.textContent);
    element.remove();
    window.ferrio = new App(trace);
    byId("loading").hidden = true;
    document.body.dataset.milliseconds = Math.round(performance.now() - began);
    document.body.dataset.opened = Math.round(performance.now());
    document.body.dataset.state = "ready";
  } catch (error) {
    fail("The trace can't be read: " + error.message);
    console.error(error);
  }
}

main();
