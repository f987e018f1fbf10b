// The lists beside the picture: what blocked, what took longest, and the summary as tables, for eyes and for tools that
// can't see a canvas. Also the words of the heading and of the tooltip.

const LISTED = 200;

class Lists {
  constructor(app) {
    this.app = app;
    this.made = new Set();
    const { trace } = app;
    byId("program").textContent = trace.program;
    document.title = trace.program + " - ferrio trace";
    const tasks = trace.rows.filter((row) => row.kind === "task").length;
    const loops = trace.lanes.map((lane, at) => at).filter((at) => trace.lanes[at].kind === "loop");
    const busy = loops.map((lane) => percent(trace.laneBusy[lane] / trace.duration)).join(", ");
    const began = trace.began ? new Date(trace.began * 1000).toISOString().slice(0, 19).replace("T", " ") + " UTC" : "";
    const facts = [
      (trace.whole ? "" : "the latest ") + duration(trace.duration),
      counted(tasks, "task"),
      counted(trace.slices.count, "slice"),
      counted(trace.wakes.count, "wake-up"),
      (loops.length > 1 ? "loops" : "loop") + " busy " + busy,
    ];
    byId("facts").title = trace.versions + ", " + began;
    byId("facts").textContent = facts.filter(Boolean).join(" \u00b7 ");
    const blocked = trace.blocking.length;
    byId("tab-blocked").textContent = blocked > 0 ? "Blocked " + grouped(blocked) : "Blocked";
    byId("tab-blocked").classList.toggle("is-bad", blocked > 0);
    byId("summary-text").textContent =
      "Trace of " + trace.program + ": " + facts.filter(Boolean).join(", ") + ". " +
      (blocked > 0 ? counted(blocked, "slice") + " blocked a loop." : "Nothing blocked a loop.");
    if (trace.lost > 0) {
      const lost = counted(trace.lost, "event") + " were lost: the recorder's memory was full";
      byId("warning").textContent = lost + ", so the beginning is missing.";
      byId("warning").hidden = false;
    }
  }

  // Fills a list when it is first looked at.
  show(name) {
    if (this.made.has(name)) return;
    this.made.add(name);
    const { trace } = this.app;
    const element = byId("view-" + name);
    if (name === "blocked") {
      const limit = duration(trace.threshold);
      const slices = trace.blocking.slice().sort((one, other) => trace.slices.length[other] - trace.slices.length[one]);
      const some = "Steps and callbacks over " + limit + ", during which nothing else ran:";
      const none = "Nothing ran longer than " + limit + " without a pause.";
      element.append(make("p", { className: "hint" }, slices.length > 0 ? some : none), this.slices(slices));
    } else if (name === "longest") {
      const title = make("p", { className: "hint" }, "What ran longest without a pause:");
      element.append(title, this.slices(trace.longestSlices(LISTED)));
    } else if (name === "summary") element.append(...this.summary());
  }

  slices(slices) {
    const { app } = this;
    const { trace } = app;
    const lines = slices.slice(0, LISTED).map((slice) => {
      const row = trace.slices.row[slice];
      const name = trace.sliceName(slice);
      const owner = row < trace.rows.length ? trace.rows[row].coro || trace.rowName(row) : name;
      const of = owner !== name ? owner + ", " : "";
      const look = "figure" + (trace.isBlocking(slice) ? " is-bad" : "");
      return make(
        "tr",
        {},
        make("td", { className: look }, duration(trace.slices.length[slice])),
        make("td", {}, link(name, () => app.goTo({ slice })), note(of + KIND_NAMES[trace.slices.kind[slice]])),
        make("td", { className: "figure" }, moment(trace.slices.start[slice], 1e6)),
      );
    });
    if (lines.length === 0) return "";
    return grid(["took", "what", "at"], lines);
  }

  summary() {
    const { app } = this;
    const { trace } = app;
    const lanes = trace.lanes.map((lane, at) =>
      make(
        "tr",
        {},
        make("td", {}, lane.name),
        make("td", {}, lane.kind),
        make("td", { className: "figure" }, percent(trace.laneBusy[at] / trace.duration)),
        make("td", { className: "figure" }, lane.kind === "loop" ? percent(trace.loopPolls[at] / trace.duration) : ""),
      ),
    );
    const order = trace.rows.map((row, at) => at).sort((one, other) => trace.busy[other] - trace.busy[one]);
    const rows = order.slice(0, LISTED).map((row) => {
      const about = trace.rows[row];
      return make(
        "tr",
        {},
        make("td", {}, link(trace.rowName(row), () => app.goTo({ row })), note(about.coro || trace.lanes[about.lane].name)),
        make("td", { className: "figure" }, grouped(trace.steps[row])),
        make("td", { className: "figure" }, duration(trace.busy[row])),
        make("td", { className: "figure" }, duration(trace.ready[row])),
        make("td", { className: "figure" }, duration(trace.waiting[row])),
      );
    });
    const more = order.length - rows.length;
    return [
      make("p", { className: "hint" }, byId("facts").title),
      make("h3", {}, "Threads"),
      grid(["thread", "kind", "busy", "polls"], lanes, "threads"),
      make("h3", {}, "Tasks and callbacks, the busiest first"),
      grid(["name", "steps", "busy", "ready", "waits"], rows, "rows"),
      ...(more > 0 ? [make("p", { className: "hint" }, "and " + grouped(more) + " more, which the search finds")] : []),
    ];
  }
}

function grid(heads, lines, id) {
  const head = make("tr", {}, ...heads.map((text) => make("th", { scope: "col" }, text)));
  return make("table", id ? { id: "table-" + id } : {}, make("thead", {}, head), make("tbody", {}, ...lines));
}

// The lines of the tooltip for what is at a place: the title first.
function tipLines(app, at) {
  const { trace, layout } = app;
  const track = layout.tracks[at.track];
  if (!track) return [];
  const row = at.row >= 0 && at.row < trace.rows.length ? trace.rows[at.row] : null;
  const coro = row && row.coro && row.coro !== row.name ? "  " + row.coro : "";
  const owner = row ? trace.rowName(at.row) + coro : track.name || trace.rows[track.rows[0]].coro;
  if (at.slice >= 0) {
    const { start, length, kind } = trace.slices;
    const many = counted(at.many, "slice") + (at.many === MOST_NEAR ? " or more" : "");
    const what = at.many > 1 ? many + " here; the longest:" : "";
    const wake = trace.wakeOf[at.slice];
    const label = trace.label(trace.slices.label[at.slice]);
    const blocks = trace.isBlocking(at.slice) ? ", blocks the loop" : "";
    return [
      owner,
      what,
      KIND_NAMES[kind[at.slice]] + (label ? " " + label : "") + ": " + duration(length[at.slice]) + blocks,
      wake < 0 ? "" : "woken by " + trace.wakerName(wake) + trace.wakeWhy(wake),
      wake < 0 ? "" : "in the ready queue for " + duration(trace.readyTime(at.slice)),
      "at " + moment(start[at.slice]),
    ].filter(Boolean);
  }
  if (at.wait >= 0) {
    const { start, length, label } = trace.waits;
    const what = trace.label(label[at.wait]) || "?";
    return [owner, "waits for " + what + ": " + duration(length[at.wait]), "since " + moment(start[at.wait])];
  }
  if (track.kind === "lane") {
    const part = percent(trace.laneBusy[track.lane] / trace.duration);
    return [track.name, trace.lanes[track.lane].kind + ", busy for " + part + " of the time"];
  }
  if (track.kind === "shared" && !row) return [owner, counted(track.rows.length, "task") + ", one after the other"];
  if (row) return [owner, counted(trace.steps[at.row], "step") + ", busy for " + duration(trace.busy[at.row])];
  return [owner];
}
