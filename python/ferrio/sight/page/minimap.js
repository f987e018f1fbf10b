// The whole trace in a strip: how busy each loop was, what blocked it, what the search found, and the part that is seen.

class Minimap {
  constructor(canvas, app) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.app = app;
    const loops = app.trace.lanes.map((lane, at) => at).filter((at) => app.trace.lanes[at].kind === "loop");
    this.lanes = (loops.length > 0 ? loops : app.trace.lanes.map((lane, at) => at)).slice(0, 4);
    this.listen();
  }

  resize() {
    const { canvas, app } = this;
    const box = canvas.getBoundingClientRect();
    this.width = box.width;
    this.height = box.height;
    this.ratio = app.road.ratio;
    canvas.width = Math.round(box.width * this.ratio);
    canvas.height = Math.round(box.height * this.ratio);
    const columns = Math.floor(this.width);
    const share = app.trace.duration / Math.max(1, columns);
    this.loads = this.lanes.map((lane) =>
      Float64Array.from({ length: columns }, (_, at) => {
        const covered = app.road.traffic.covered(lane, at * share, (at + 1) * share);
        return clamp(covered / share, 0, 1);
      }),
    );
  }

  x(time) {
    return (time / this.app.trace.duration) * this.width;
  }

  time(x) {
    return (x / this.width) * this.app.trace.duration;
  }

  draw() {
    const { context: c, app } = this;
    const { camera, theme, trace } = app;
    c.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    c.fillStyle = theme.gutter;
    c.fillRect(0, 0, this.width, this.height);
    const room = (this.height - 4) / this.lanes.length;
    this.lanes.forEach((lane, index) => {
      const bottom = 4 + room * (index + 1);
      c.fillStyle = theme.slices[STEP];
      this.loads[index].forEach((load, x) => {
        if (load > 0) c.fillRect(x, bottom - Math.max(1, load * (room - 3)), 1, Math.max(1, load * (room - 3)));
      });
      c.fillStyle = theme.blocked;
      app.laneBlocked.runs(lane, 0, trace.duration, trace.duration / this.width, (low, high, begin, end) => {
        c.fillRect(this.x(begin), bottom - room + 3, Math.max(2, this.x(end) - this.x(begin)), room - 3);
      });
      c.fillStyle = theme.line;
      c.fillRect(0, bottom - 1, this.width, 1);
    });
    c.fillStyle = theme.arrow;
    for (const time of app.search.moments(this.width)) c.fillRect(this.x(time) - 0.5, 0, 1.5, 5);
    const left = clamp(this.x(camera.from), 0, this.width);
    const right = clamp(this.x(camera.to), 0, this.width);
    c.fillStyle = theme.shade;
    c.fillRect(0, 0, left, this.height);
    c.fillRect(right, 0, this.width - right, this.height);
    const width = Math.max(3, right - left);
    c.strokeStyle = theme.accent;
    c.lineWidth = 1.5;
    c.strokeRect(left + 0.75, 0.75, width - 1.5, this.height - 1.5);
    c.fillStyle = theme.accent;
    if (width > 16) {
      for (const x of [left + 0.5, left + width - 4.5]) c.fillRect(x, this.height / 2 - 8, 4, 16);
    }
  }

  // The window is dragged as a whole or at an end; elsewhere it jumps to the pointer.
  listen() {
    const { canvas, app } = this;
    const { camera } = app;
    let grip = null;
    canvas.addEventListener("pointerdown", (event) => {
      canvas.setPointerCapture(event.pointerId);
      const left = this.x(camera.from);
      const right = this.x(camera.to);
      const near = event.pointerType === "touch" ? 14 : 6;
      if (right - left > 3 * near && Math.abs(event.offsetX - left) < near) grip = "from";
      else if (right - left > 3 * near && Math.abs(event.offsetX - right) < near) grip = "to";
      else {
        grip = "both";
        if (event.offsetX < left - near || event.offsetX > right + near) this.centre(event.offsetX);
      }
      this.last = event.offsetX;
    });
    canvas.addEventListener("pointermove", (event) => {
      if (!grip) return;
      const by = this.time(event.offsetX - this.last);
      this.last = event.offsetX;
      camera.glide = null;
      const from = camera.from + (grip === "to" ? 0 : by);
      const to = camera.to + (grip === "from" ? 0 : by);
      if (to - from > SHORTEST) camera.look(from, to);
    });
    for (const name of ["pointerup", "pointercancel"]) canvas.addEventListener(name, () => (grip = null));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      const part = clamp((this.time(event.offsetX) - camera.from) / (camera.to - camera.from), 0, 1);
      camera.zoom(Math.exp(event.deltaY * 0.002), camera.gutter + part * camera.plot);
    }, { passive: false });
  }

  centre(x) {
    const { camera } = this.app;
    const half = (camera.to - camera.from) / 2;
    camera.look(this.time(x) - half, this.time(x) + half);
  }
}
