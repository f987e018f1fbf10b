// Mouse, touch, wheel and keys. Each becomes a call of the camera or of the app.

const KEYS = [
  ["W S  + \u2212", "zoom in and out"],
  ["A D  \u2190 \u2192", "move in time (Shift: far)"],
  ["\u2191 \u2193  PgUp PgDn", "scroll the rows"],
  ["0", "show everything"],
  ["/", "search; N and Shift+N go to the next and previous hit"],
  [", .", "the row's slice before and after"],
  ["B", "the next slice that blocks the loop"],
  ["F", "zoom to the selection"],
  ["X", "fold or unfold the selected row or lane"],
  ["P", "fold the panel"],
  ["Esc", "leave the search, drop the selection"],
  ["wheel, pinch", "zoom at the pointer (Shift: move in time; over the names: scroll)"],
  ["drag", "move; on the axis of time: zoom to the marked part"],
  ["double click", "zoom to the slice"],
];

function listen(app) {
  listenToPointer(app);
  listenToWheel(app);
  listenToTools(app);
  document.addEventListener("keydown", (event) => onKey(app, event));
  new ResizeObserver(() => app.resize()).observe(byId("stage"));
  window.addEventListener("hashchange", () => app.followHash());
}

function listenToPointer(app) {
  const { canvas } = app.road;
  const { camera } = app;
  const down = new Map();
  let moved = 0;
  let scrolls = false;
  const place = (event) => ({ x: event.offsetX, y: event.offsetY });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    down.set(event.pointerId, place(event));
    app.hover(null);
    if (down.size > 1) {
      moved = Infinity;
      return;
    }
    moved = 0;
    scrolls = event.offsetX < camera.gutter;
    app.range = event.offsetY < AXIS && !scrolls ? { from: event.offsetX, to: event.offsetX } : null;
  });
  canvas.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    const here = place(event);
    if (!before) {
      if (event.pointerType !== "touch") app.hover(here);
      return;
    }
    moved += Math.abs(here.x - before.x) + Math.abs(here.y - before.y);
    if (down.size === 2) {
      const [other] = [...down].filter(([id]) => id !== event.pointerId).map(([, at]) => at);
      const apart = (at) => Math.max(20, Math.abs(at.x - other.x));
      const middle = (here.x + other.x) / 2;
      camera.drag((here.x - before.x) / 2, (here.y - before.y) / 2);
      camera.zoom(apart(before) / apart(here), middle);
    } else if (app.range) {
      app.range.to = here.x;
      app.redraw();
    } else if (moved > 4) camera.drag(scrolls ? 0 : here.x - before.x, here.y - before.y);
    down.set(event.pointerId, here);
  });
  canvas.addEventListener("pointerup", (event) => {
    down.delete(event.pointerId);
    if (app.range && moved > 4) {
      const [from, to] = [app.range.from, app.range.to].sort((one, other) => one - other);
      camera.fly(camera.time(from), camera.time(to));
    } else if (moved <= 4) app.click(place(event));
    app.range = null;
    app.redraw();
  });
  canvas.addEventListener("pointercancel", (event) => {
    down.delete(event.pointerId);
    app.range = null;
  });
  canvas.addEventListener("pointerleave", () => app.hover(null));
  canvas.addEventListener("dblclick", () => app.zoomToChoice());
}

function listenToWheel(app) {
  const { camera } = app;
  app.road.canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    const unit = event.deltaMode === 1 ? 16 : event.deltaMode === 2 ? 200 : 1;
    const across = (event.shiftKey && event.deltaX === 0 ? event.deltaY : event.deltaX) * unit;
    const along = event.shiftKey ? 0 : event.deltaY * unit;
    if (event.offsetX < camera.gutter && !event.ctrlKey) camera.drag(0, -along);
    else if (Math.abs(across) > Math.abs(along)) camera.drag(-across, 0);
    else camera.zoom(Math.exp(clamp(along, -300, 300) * (event.ctrlKey ? 0.01 : 0.0018)), event.offsetX);
    app.hover({ x: event.offsetX, y: event.offsetY });
  }, { passive: false });
}

function listenToTools(app) {
  const on = (id, event, act) => byId(id).addEventListener(event, act);
  on("zoom-in", "click", () => app.camera.zoom(0.5, undefined, true));
  on("zoom-out", "click", () => app.camera.zoom(2, undefined, true));
  on("fit", "click", () => app.camera.fit());
  on("mode", "change", (event) => app.rearrange({ mode: event.target.value }));
  on("sort", "change", (event) => app.rearrange({ sort: event.target.value }));
  on("next-hit", "click", () => app.nextHit(1));
  on("previous-hit", "click", () => app.nextHit(-1));
  on("fold", "click", () => app.foldPanel());
  let later = 0;
  on("search", "input", (event) => {
    clearTimeout(later);
    later = setTimeout(() => app.find(event.target.value), 120);
  });
  on("search", "keydown", (event) => {
    if (event.key !== "Enter") return;
    clearTimeout(later);
    if (app.search.query !== event.target.value.trim()) app.find(event.target.value);
    app.nextHit(event.shiftKey ? -1 : 1);
  });
  const tabs = [...document.querySelectorAll("[role=tab]")];
  tabs.forEach((tab, at) => {
    tab.addEventListener("click", () => {
      app.foldPanel(false);
      app.showTab(tab.id.slice(4));
    });
    tab.addEventListener("keydown", (event) => {
      const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (!by) return;
      event.stopPropagation();
      const next = tabs[(at + by + tabs.length) % tabs.length];
      next.focus();
      app.showTab(next.id.slice(4));
    });
  });
  const keys = byId("keys");
  keys.append(make("h2", {}, "Keys"), definitions(KEYS));
  const close = make("button", { type: "button", onclick: () => keys.close() }, "Close");
  keys.append(close);
  on("help", "click", () => (keys.open ? keys.close() : keys.showModal()));
  on("keys", "close", () => byId("help").setAttribute("aria-expanded", "false"));
}

function onKey(app, event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const typing = event.target.matches("input, select, textarea");
  if (event.key === "Escape") {
    if (!byId("keys").open) app.escape();
    return;
  }
  if (typing || byId("keys").open) return;
  // In a list, the keys that scroll are the list's own.
  const inList = event.target.closest("[role=tabpanel]") && /^(Arrow|Page|Home|End)/.test(event.key);
  const act = inList ? null : ACTS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
  if (!act) return;
  event.preventDefault();
  act(app, event);
}

const ACTS = {
  w: (app) => app.camera.zoom(0.6, app.pointerX(), true),
  s: (app) => app.camera.zoom(1 / 0.6, app.pointerX(), true),
  "+": (app) => app.camera.zoom(0.5, undefined, true),
  "=": (app) => app.camera.zoom(0.5, undefined, true),
  "-": (app) => app.camera.zoom(2, undefined, true),
  a: (app, event) => app.camera.pan(event.shiftKey ? -0.9 : -0.25),
  d: (app, event) => app.camera.pan(event.shiftKey ? 0.9 : 0.25),
  ArrowLeft: (app, event) => app.camera.pan(event.shiftKey ? -0.9 : -0.15),
  ArrowRight: (app, event) => app.camera.pan(event.shiftKey ? 0.9 : 0.15),
  ArrowUp: (app) => app.camera.scrollBy(-3 * SIZES.row),
  ArrowDown: (app) => app.camera.scrollBy(3 * SIZES.row),
  PageUp: (app) => app.camera.scrollBy(-0.8 * app.camera.height),
  PageDown: (app) => app.camera.scrollBy(0.8 * app.camera.height),
  Home: (app) => app.camera.scrollBy(-app.layout.height),
  End: (app) => app.camera.scrollBy(app.layout.height),
  0: (app) => app.camera.fit(),
  "/": () => byId("search").select() || byId("search").focus(),
  n: (app, event) => app.nextHit(event.shiftKey ? -1 : 1),
  ",": (app) => app.stepAside(-1),
  ".": (app) => app.stepAside(1),
  b: (app, event) => app.nextBlocked(event.shiftKey ? -1 : 1),
  f: (app) => app.zoomToChoice(),
  x: (app) => app.foldChosen(),
  p: (app) => app.foldPanel(),
  "?": () => byId("help").click(),
};
