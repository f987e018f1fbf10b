// What is narrower than a few pixels, one line of pixels for each kind of thing and track. Thousands of such things are
// written as bytes, and each line is stretched to its height. That is many times cheaper than a rectangle for each.

class Strips {
  constructor() {
    this.canvas = document.createElement("canvas");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.places = [];
  }

  begin(lines, camera, ratio) {
    const width = Math.ceil(camera.plot * ratio);
    if (!this.image || this.canvas.width !== width || this.canvas.height < lines) {
      this.canvas.width = width;
      this.canvas.height = Math.max(lines, 1);
      this.image = this.context.createImageData(width, this.canvas.height);
      this.pixels = new Uint32Array(this.image.data.buffer);
    } else this.pixels.fill(0);
    this.width = width;
    this.ratio = ratio;
    this.left = camera.gutter;
    this.places.length = 0;
  }

  // Takes the next line; it will be drawn from `y` on.
  line(y, height) {
    this.places.push([y, height]);
    this.at = (this.places.length - 1) * this.width;
  }

  // Puts something on the line. What is denser stays.
  put(from, to, colour, alpha) {
    const low = Math.max(0, Math.floor((from - this.left) * this.ratio));
    const high = Math.min(this.width, Math.max(low + 1, Math.round((to - this.left) * this.ratio)));
    const value = ((Math.round(alpha * 255) << 24) | colour) >>> 0;
    for (let at = this.at + low; at < this.at + high; at += 1) {
      if (this.pixels[at] < value) this.pixels[at] = value;
    }
  }

  draw(c, camera) {
    if (this.places.length === 0) return;
    this.context.putImageData(this.image, 0, 0, 0, 0, this.width, this.places.length);
    c.imageSmoothingEnabled = false;
    this.places.forEach(([y, height], at) => {
      c.drawImage(this.canvas, 0, at, this.width, 1, camera.gutter, y, this.width / this.ratio, height);
    });
  }
}

// Returns a colour of the style sheet, "#rrggbb", as bytes of a pixel without its opacity.
function pixelOf(colour) {
  const value = parseInt(colour.slice(1), 16);
  return ((value & 255) << 16) | (value & 0xff00) | (value >> 16);
}
