// What is known of the selected row, slice or wait, in words and links.

class Panel {
  constructor(app) {
    this.app = app;
    this.element = byId("view-selection");
  }

  show() {
    const { app } = this;
    const { chosen } = app;
    const parts = [];
    if (chosen.slice >= 0) parts.push(...this.aboutSlice(chosen.slice));
    if (chosen.wait >= 0) parts.push(...this.aboutWait(chosen.wait));
    if (chosen.row >= 0) parts.push(...this.aboutRow(chosen.row));
    if (parts.length === 0) {
      const hint = "Click a slice, a wait or a name to see who made it, what it waited for and who woke it.";
      parts.push(make("p", { className: "hint" }, hint));
    }
    this.element.replaceChildren(...parts);
  }

  aboutSlice(slice) {
    const { app } = this;
    const { trace } = app;
    const { slices } = trace;
    const blocks = trace.isBlocking(slice);
    const title = blocks ? "Blocks the loop" : capital(KIND_NAMES[slices.kind[slice]]);
    const label = trace.label(slices.label[slice]);
    const wake = trace.wakeOf[slice];
    const facts = [
      ["label", label || null],
      ["began", moment(slices.start[slice])],
      ["took", make("b", {}, duration(slices.length[slice]))],
      ["woken by", wake < 0 ? null : this.waker(wake)],
      ["was ready for", wake < 0 ? null : duration(trace.readyTime(slice))],
    ];
    const woken = trace.wakesBy(slice);
    const moves = make(
      "p",
      { className: "moves" },
      link("\u2190 before", () => app.stepAside(-1), "The row's slice before (,)"),
      link("after \u2192", () => app.stepAside(1), "The row's slice after (.)"),
      link("zoom to it", () => app.zoomToChoice(), "Zoom to the selection (F)"),
    );
    return [
      make("h2", { className: blocks ? "is-bad" : "" }, title),
      definitions(facts),
      moves,
      ...this.list("It woke", woken, (at) => [this.wokenLink(at), note(this.wakeNote(at))]),
    ];
  }

  aboutWait(wait) {
    const { waits } = this.app.trace;
    const label = this.app.trace.label(waits.label[wait]);
    const facts = [
      ["for", make("b", {}, label || "?")],
      ["since", moment(waits.start[wait])],
      ["took", duration(waits.length[wait])],
    ];
    return [make("h2", {}, "Wait"), definitions(facts)];
  }

  aboutRow(row) {
    const { app } = this;
    const { trace } = app;
    const about = trace.rows[row];
    const isTask = about.kind === "task";
    const ends = { finished: "finished", cancelled: "cancelled", failed: "failed" };
    const ended = about.ended === null || about.ended === undefined;
    const longest = trace.longest[row];
    const hasParent = about.parent !== null && about.parent !== undefined && trace.rows[about.parent];
    const children = trace.children[row] || [];
    const facts = [
      ["coroutine", about.coro || null],
      ["thread", trace.lanes[about.lane].name],
      ["created", isTask && about.created !== null ? moment(about.created) : null],
      ["end", isTask ? (ended ? "still alive" : (ends[about.end] || "ended") + " at " + moment(about.ended)) : null],
      ["parent", hasParent ? this.rowLink(about.parent) : null],
      ["steps", grouped(trace.steps[row])],
      ["busy", duration(trace.busy[row])],
      ["ready, not run", isTask ? duration(trace.ready[row]) : null],
      ["waiting", isTask ? duration(trace.waiting[row]) : null],
      ["longest", longest < 0 ? null : link(duration(trace.slices.length[longest]), () => app.goTo({ slice: longest }))],
      ["blocked the loop", trace.blockedOfRow[row] > 0 ? counted(trace.blockedOfRow[row], "time") : null],
    ];
    const waits = trace.waitsByLabel(row);
    const stack = trace.stackOf(row);
    return [
      make("h2", { className: "name" }, trace.rowName(row)),
      definitions(facts),
      ...(waits.length > 0 ? [make("h3", {}, "Waited for"), this.bars(waits)] : []),
      ...(isTask ? this.created(stack) : []),
      ...this.list("Woken by", trace.wakersOf(row, true), (total) => this.partner(...total)),
      ...this.list("Wakes", trace.wakersOf(row, false), (total) => this.partner(...total)),
      ...this.list("Children", children, (child) => [this.rowLink(child), note(duration(trace.busy[child]) + " busy")]),
    ];
  }

  created(stack) {
    if (stack.length === 0) {
      return [make("h3", {}, "Created"), make("p", { className: "hint" }, "The stack of its creation was not recorded.")];
    }
    const lines = stack.map(([file, line, name]) =>
      make("li", {}, make("code", {}, name), " ", make("span", { className: "place", title: file }, shortPath(file) + ":" + line)),
    );
    return [make("h3", {}, "Created (most recent call last)"), make("ol", { className: "stack" }, ...lines)];
  }

  bars(waits) {
    const most = waits[0][1] || 1;
    return make(
      "ul",
      { className: "bars" },
      waits.slice(0, 12).map(([label, total, times]) => {
        // Widths are set by the object model: the page's policy forbids style attributes.
        const bar = make("i", { className: "is-wait-" + WAIT_KINDS[waitKind(label)] });
        bar.style.width = Math.max(1, (100 * total) / most) + "%";
        return make("li", {}, make("span", {}, label), note(duration(total) + " in " + counted(times, "wait")), bar);
      }),
    );
  }

  list(title, items, line) {
    if (items.length === 0) return [];
    const shown = items.slice(0, 15).map((item) => make("li", {}, ...line(item)));
    const more = items.length - shown.length;
    if (more > 0) shown.push(make("li", { className: "hint" }, "and " + grouped(more) + " more"));
    return [make("h3", {}, title), make("ul", { className: "links" }, ...shown)];
  }

  partner(row, label, times, wake) {
    const other = label === OTHER_THREAD ? label : "the loop";
    const name = row < this.app.trace.rows.length ? this.rowLink(row) : make("span", {}, other);
    const by = [label === OTHER_THREAD ? "" : label, times > 1 ? "\u00d7 " + grouped(times) : moment(this.app.trace.wakes.time[wake])];
    return [name, note(by.filter(Boolean).join(", "))];
  }

  waker(wake) {
    const { app } = this;
    const { trace } = app;
    const from = trace.wakes.from[wake];
    const why = trace.wakeWhy(wake);
    if (from >= trace.rows.length) return make("span", {}, trace.wakerName(wake) + why);
    return make("span", {}, link(trace.rowName(from), () => app.goToMoment(from, trace.wakes.time[wake])), why);
  }

  wokenLink(wake) {
    const { app } = this;
    const { trace } = app;
    const step = trace.stepAfter[wake];
    const row = trace.wakes.to[wake];
    return link(trace.rowName(row), () => app.goTo(step >= 0 ? { slice: step } : { row }));
  }

  wakeNote(wake) {
    const { trace } = this.app;
    const step = trace.stepAfter[wake];
    const label = trace.label(trace.wakes.label[wake]);
    if (step < 0) return label;
    return (label ? label + ", " : "") + "ran " + duration(trace.slices.start[step] - trace.wakes.time[wake]) + " later";
  }

  rowLink(row) {
    const { app } = this;
    return link(app.trace.rowName(row), () => app.goTo({ row }));
  }
}

function definitions(facts) {
  const list = make("dl", {});
  for (const [name, value] of facts) {
    if (value !== null) list.append(make("dt", {}, name), make("dd", {}, value));
  }
  return list;
}

function note(text) {
  return make("small", {}, text || "");
}

function capital(text) {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
