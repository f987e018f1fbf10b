// Which part of the trace is seen: from when to when, and how far the rows are scrolled. Moves smoothly on request.

const AXIS = 24;
const SHORTEST = 100;
const GLIDE = 180;

class Camera {
  constructor(duration, changed) {
    this.duration = duration;
    this.changed = changed;
    this.calm = matchMedia("(prefers-reduced-motion: reduce)");
    this.gutter = 200;
    this.width = 1000;
    this.height = 500;
    this.rowsHeight = 0;
    this.from = 0;
    this.to = duration;
    this.scroll = 0;
    this.glide = null;
    this.fit(true);
  }

  get plot() {
    return Math.max(10, this.width - this.gutter);
  }

  // The nanoseconds of a pixel.
  get pixel() {
    return (this.to - this.from) / this.plot;
  }

  x(time) {
    return this.gutter + ((time - this.from) / (this.to - this.from)) * this.plot;
  }

  // The pixels of a nanosecond.
  get scale() {
    return this.plot / (this.to - this.from);
  }

  time(x) {
    return this.from + ((x - this.gutter) / this.plot) * (this.to - this.from);
  }

  resize(width, height) {
    this.width = width;
    this.height = height;
    this.gutter = Math.round(clamp(width * 0.2, 96, 250));
    this.look(this.from, this.to, this.scroll);
  }

  // Looks at a part of the trace at once.
  look(from, to, scroll = this.scroll) {
    const span = clamp(to - from, SHORTEST, this.duration * 1.02);
    const margin = Math.max(this.duration * 0.01, span * 0.5);
    const middle = (from + to) / 2;
    const low = -Math.min(margin, span * 0.5);
    const high = this.duration + Math.min(margin, span * 0.5);
    this.from = span >= high - low ? (this.duration - span) / 2 : clamp(middle - span / 2, low, high - span);
    this.to = this.from + span;
    this.scroll = clamp(scroll, 0, Math.max(0, this.rowsHeight - (this.height - AXIS)));
    this.changed();
  }

  // Looks there after a short flight.
  fly(from, to, scroll = this.scroll) {
    if (this.calm.matches) {
      this.glide = null;
      this.look(from, to, scroll);
      return;
    }
    const start = { from: this.from, to: this.to, scroll: this.scroll };
    this.glide = { start, end: { from, to, scroll }, began: performance.now() };
    this.changed();
  }

  // Carries on with a flight; a frame calls it before it draws.
  step(now) {
    if (!this.glide) return;
    const { start, end, began } = this.glide;
    const part = clamp((now - began) / GLIDE, 0, 1);
    const eased = 1 - (1 - part) ** 3;
    if (part === 1) this.glide = null;
    const at = (name) => start[name] + (end[name] - start[name]) * eased;
    this.look(at("from"), at("to"), at("scroll"));
  }

  // Where the view is, or will be after the flight.
  get goal() {
    return this.glide ? this.glide.end : this;
  }

  fit(atOnce = false) {
    const edge = this.duration * 0.005;
    this[atOnce ? "look" : "fly"](-edge, this.duration + edge);
  }

  zoom(factor, x = this.gutter + this.plot / 2, smooth = false) {
    const { from, to } = smooth ? this.goal : this;
    const part = clamp((x - this.gutter) / this.plot, 0, 1);
    const span = clamp((to - from) * factor, SHORTEST, this.duration * 1.02);
    const anchor = from + (to - from) * part;
    if (!smooth) this.glide = null;
    this[smooth ? "fly" : "look"](anchor - span * part, anchor + span * (1 - part));
  }

  // Moves by a share of what is seen.
  pan(share) {
    const { from, to } = this.goal;
    const by = clamp((to - from) * share, -this.duration, this.duration);
    this.fly(from + by, to + by);
  }

  scrollBy(pixels) {
    this.fly(this.goal.from, this.goal.to, this.goal.scroll + pixels);
  }

  // Moves by pixels at once, as a drag does.
  drag(x, y) {
    this.glide = null;
    const by = x * this.pixel;
    this.look(this.from - by, this.to - by, this.scroll - y);
  }

  // Returns how far to scroll so that a track is seen.
  scrollTo(track) {
    const room = this.height - AXIS;
    const { scroll } = this.goal;
    if (track.y >= scroll + 8 && track.y + track.height <= scroll + room - 8) return scroll;
    return clamp(track.y - room / 3, 0, Math.max(0, this.rowsHeight - room));
  }
}
