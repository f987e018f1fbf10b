// The trace's format: one JSON object, whose tables are columns. Reads them into arrays; knows nothing of their meaning.
// In the page, all but the tables is packed: `packed` is base64 of a zlib stream of JSON.
//
//   { version: 1, program, pid, python, ferrio, began: seconds since 1970, duration: ns, threshold: ns, lost: events,
//     whole: false for the latest seconds of a flight recorder,
//     lanes: [{name, kind: "loop" or "worker", loop: number or null}],
//     rows: [{kind: "task", "callbacks", "io" or "jobs", name, coro, lane, created, ended,
//             end: "finished", "cancelled", "failed" or null, parent, stack}],
//     frames: [[file, line, function]], stacks: [[frame, ...]], innermost last,   labels: [text],
//     slices: {count, start, length, row, label, kind},   wakes: {count, time, from, to, label, delay},
//     waits: {count, start, length, row, label},          polls: {count, start, length, lane} }
//
// Times are nanoseconds from the beginning of the trace. A column is base64 of a zlib stream of little-endian numbers.
// `kind` has bytes, all others have 32 bits. `start` and `time` hold differences to the value before. In these and in
// `length` and `delay`, 0xffffffff is followed by the low and the high half of a number that doesn't fit. In others it
// means none. `delay` is the time from a wake-up to the beginning of the slice that it led to.

const TABLES = {
  slices: { start: "times", length: "lengths", row: "indexes", label: "indexes", kind: "bytes" },
  wakes: { time: "times", from: "indexes", to: "indexes", label: "indexes", delay: "lengths" },
  waits: { start: "times", length: "lengths", row: "indexes", label: "indexes" },
  polls: { start: "times", length: "lengths", lane: "indexes" },
};

// Returns what is in the page's element: the object above, with the tables still as columns.
async function readData(text) {
  const data = JSON.parse(text);
  if (!data.packed) return data;
  const rest = JSON.parse(new TextDecoder().decode(await inflate(data.packed)));
  delete data.packed;
  return { ...rest, ...data };
}

// Returns the tables of a trace, each an object of arrays.
async function readTables(data) {
  const read = {};
  const columns = [];
  for (const [name, shape] of Object.entries(TABLES)) {
    const source = data[name] || { count: 0 };
    const table = (read[name] = { count: source.count });
    for (const [column, form] of Object.entries(shape)) {
      columns.push(
        inflate(source[column]).then((buffer) => {
          table[column] = FORMS[form](buffer, source.count);
          if (table[column].length !== source.count) {
            throw new Error(name + "." + column + " has " + table[column].length + " values, not " + source.count);
          }
        }),
      );
    }
  }
  await Promise.all(columns);
  return read;
}

const FORMS = {
  times: (buffer, count) => numbers(buffer, count, true),
  lengths: (buffer, count) => numbers(buffer, count, false),
  indexes: (buffer) => new Uint32Array(buffer),
  bytes: (buffer) => new Uint8Array(buffer),
};

function numbers(buffer, count, differences) {
  const words = new Uint32Array(buffer);
  const values = new Float64Array(count);
  let at = 0;
  let before = 0;
  for (let index = 0; index < count; index += 1) {
    let value = words[at++];
    if (value === NONE) {
      value = words[at] + words[at + 1] * 4294967296;
      at += 2;
    }
    values[index] = differences ? (before += value) : value;
  }
  if (at !== words.length) throw new Error("a column has " + words.length + " words, not " + at);
  return values;
}

async function inflate(text) {
  if (!text) return new ArrayBuffer(0);
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Response(stream).arrayBuffer();
}

function bytesOf(text) {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let at = 0; at < bytes.length; at += 1) bytes[at] = binary.charCodeAt(at);
  return bytes;
}
