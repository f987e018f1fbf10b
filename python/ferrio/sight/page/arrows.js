// Wake-ups: an arrow from the row that woke to the row that was woken. Drawn for the row that is selected or pointed at,
// and for all rows if few enough are in view.

const ALL_ARROWS = 220;
const ROW_ARROWS = 60;

function drawArrows(c, app, shown) {
  const { camera, trace } = app;
  const { time } = trace.wakes;
  const low = lowerBound(time, camera.from - camera.pixel * 200, 0, time.length);
  const high = lowerBound(time, camera.to, low, time.length);
  const inView = new Set(shown);
  app.arrows = 0;
  const special = new Set([...wakesOfSlice(trace, app.chosen.slice), ...wakesOfSlice(trace, app.hovered.slice)]);
  if (high - low <= ALL_ARROWS) {
    for (let wake = low; wake < high; wake += 1) {
      if (!special.has(wake)) drawArrow(c, app, wake, inView, 0.45);
    }
  } else {
    for (const row of new Set([app.chosen.row, app.hovered.row])) {
      if (row < 0) continue;
      for (const wake of wakesOfRow(app, row)) if (!special.has(wake)) drawArrow(c, app, wake, inView, 0.45);
    }
  }
  for (const wake of special) drawArrow(c, app, wake, inView, 1);
}

function wakesOfSlice(trace, slice) {
  if (slice < 0) return [];
  const wake = trace.wakeOf[slice];
  const made = trace.wakesBy(slice).slice(0, ROW_ARROWS);
  return wake < 0 ? made : [wake, ...made];
}

// The wake-ups of a row in view, both ways, thinned out to a number that can be drawn.
function wakesOfRow(app, row) {
  const { camera, trace } = app;
  const found = [];
  for (const groups of [trace.wakesTo, trace.wakesFrom]) {
    const low = groups.find(row, trace.wakes.time, camera.from);
    const last = groups.first[row + 1];
    let high = low;
    while (high < last && high - low < 50000 && trace.wakes.time[groups.ids[high]] <= camera.to) high += 1;
    const stride = Math.max(1, Math.ceil((high - low) / ROW_ARROWS));
    for (let at = low; at < high; at += stride) found.push(groups.ids[at]);
  }
  return found;
}

function drawArrow(c, app, wake, inView, alpha) {
  const { camera, layout, theme, trace } = app;
  const to = layout.shownOn(trace.wakes.to[wake]);
  if (to < 0) return;
  const from = layout.shownOn(trace.wakes.from[wake]);
  if (!inView.has(to) && !inView.has(from)) return;
  app.arrows += 1;
  const x = camera.x(trace.wakes.time[wake]);
  const target = layout.tracks[to];
  const top = AXIS + target.y - camera.scroll;
  const middle = top + target.height / 2;
  c.globalAlpha = alpha;
  c.fillStyle = theme.arrow;
  let begin = top - 9;
  let end = top + 3;
  if (from >= 0 && from !== to) {
    const source = layout.tracks[from];
    begin = AXIS + source.y - camera.scroll + source.height / 2;
    end = begin < middle ? top + 3 : top + target.height - 3;
    c.beginPath();
    c.arc(x, begin, 2.2, 0, 7);
    c.fill();
  } else if (from === to) {
    begin = middle;
    end = middle;
  }
  const down = end >= begin ? 1 : -1;
  if (begin !== end) {
    const width = alpha === 1 ? 2 : 1;
    c.fillRect(Math.round(x - width / 2), Math.min(begin, end), width, Math.abs(end - begin) - 2);
    c.beginPath();
    c.moveTo(x, end + down);
    c.lineTo(x - 3.5, end - 5 * down);
    c.lineTo(x + 3.5, end - 5 * down);
    c.fill();
  }
  c.globalAlpha = 1;
}
