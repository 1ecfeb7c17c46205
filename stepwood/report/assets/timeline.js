"use strict";

const LANE = 24;
const AXIS = 22;

/** Lengths that people count time in, in seconds. */
const UNITS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400];

/** About so many times between two. */
function ticks(low, high, number) {
  const unit = UNITS.find((one) => (high - low) / one <= number) ?? Math.ceil((high - low) / number / 86400) * 86400;
  return d3.range(Math.ceil(low / unit) * unit, high, unit);
}

/** Which worker runs which step when: a row a worker. */
class Timeline {
  constructor(graph, paint, tell, choose) {
    Object.assign(this, { graph, paint, tell, choose });
    this.frame = document.getElementById("timeline");
    this.canvas = document.getElementById("timeline-canvas");
    this.chosen = -1;
    this.path = new Set();
    this.view = d3.zoomIdentity;
    this.zoom = d3
      .zoom()
      .filter((event) => (event.type === "wheel" ? event.ctrlKey || event.metaKey || event.shiftKey : !event.button))
      .on("zoom", (event) => {
        this.view = event.transform;
        this.draw();
      });
    d3.select(this.canvas).call(this.zoom).on("dblclick.zoom", null);
    this.canvas.style.touchAction = "pan-y";
    this.canvas.addEventListener("click", (event) => {
      const slot = this.hit(event.offsetX, event.offsetY);
      if (slot >= 0) this.choose(this.schedule.step[slot]);
    });
    followPointer(this.canvas, (x, y) => {
      const slot = this.hit(x, y);
      if (slot < 0) return null;
      const { step, start, end } = this.schedule;
      return `${this.tell(step[slot])}, from ${span(start[slot])} to ${span(end[slot])}`;
    });
    this.frame.addEventListener("scroll", () => this.draw());
    this.frame.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(this.frame);
  }

  set(schedule) {
    this.schedule = schedule;
    this.length = schedule.end.reduce((most, end) => Math.max(most, end), 0);
    /** By worker, its slots in the order of time. */
    this.lanes = [];
    schedule.worker.forEach((worker, slot) => {
      while (this.lanes.length <= worker) this.lanes.push([]);
      this.lanes[worker].push(slot);
    });
    this.slotOf = new Map(schedule.step.map((step, slot) => [step, slot]));
    this.canvas.parentElement.style.height = `${this.lanes.length * LANE + AXIS}px`;
    this.resize();
  }

  resize() {
    this.width = this.frame.clientWidth;
    if (!this.width || !this.schedule) return;
    this.height = Math.min(this.frame.clientHeight, this.lanes.length * LANE + AXIS);
    this.pen = fitCanvas(this.canvas, this.width, this.height);
    const corners = [[0, 0], [this.width, this.height]];
    this.zoom.extent(corners).translateExtent(corners).scaleExtent([1, 1e6]);
    this.draw();
  }

  get scale() {
    return this.view.rescaleX(d3.scaleLinear([0, this.length || 1], [0, this.width]));
  }

  hit(x, y) {
    const lane = this.lanes[Math.floor((y - AXIS + this.frame.scrollTop) / LANE)];
    if (!lane || y < AXIS) return -1;
    const time = this.scale.invert(x);
    const slot = lane[d3.bisector((one) => this.schedule.end[one]).left(lane, time)];
    return slot !== undefined && this.schedule.start[slot] <= time ? slot : -1;
  }

  key(event) {
    const { worker, start, end, step } = this.schedule;
    const now = this.slotOf.get(this.chosen);
    let next;
    if (event.key === "Escape") return this.out();
    if (now === undefined) next = event.key.startsWith("Arrow") ? 0 : undefined;
    else {
      const lane = this.lanes[worker[now]];
      const beside = (other) => other && (other.find((slot) => end[slot] > start[now]) ?? other.at(-1));
      const moves = {
        ArrowLeft: () => lane[lane.indexOf(now) - 1],
        ArrowRight: () => lane[lane.indexOf(now) + 1],
        ArrowUp: () => beside(this.lanes[worker[now] - 1]),
        ArrowDown: () => beside(this.lanes[worker[now] + 1]),
      };
      next = moves[event.key]?.();
    }
    if (next === undefined) return;
    event.preventDefault();
    this.choose(step[next]);
  }

  show(step) {
    this.chosen = step;
    const slot = this.slotOf?.get(step);
    if (slot !== undefined && this.width) {
      const [left, right] = [this.scale(this.schedule.start[slot]), this.scale(this.schedule.end[slot])];
      if (right < 0 || left > this.width) {
        const middle = (this.schedule.start[slot] + this.schedule.end[slot]) / 2;
        d3.select(this.canvas).call(this.zoom.translateTo, (middle / this.length) * this.width, 0);
      }
      const top = this.schedule.worker[slot] * LANE;
      if (top < this.frame.scrollTop || top + LANE + AXIS > this.frame.scrollTop + this.height) this.frame.scrollTop = top;
    }
    this.draw();
  }

  out() {
    d3.select(this.canvas).call(this.zoom.transform, d3.zoomIdentity);
  }

  draw() {
    if (!this.pen || !this.schedule) return;
    const { pen, width, height, scale } = this;
    const { step, start, end } = this.schedule;
    const scrolled = this.frame.scrollTop;
    const [low, high] = scale.domain();
    const ink = { marked: colour("marked"), path: colour("path"), text: colour("text"), line: colour("line") };
    pen.clearRect(0, 0, width, height);
    pen.font = "11px ui-monospace, Menlo, Consolas, monospace";
    pen.textBaseline = "middle";
    const first = Math.max(0, Math.floor(scrolled / LANE));
    const last = Math.min(this.lanes.length, Math.ceil((scrolled + height) / LANE));
    for (let number = first; number < last; number++) {
      const lane = this.lanes[number];
      const top = AXIS + number * LANE - scrolled;
      for (let at = d3.bisector((one) => end[one]).left(lane, low); at < lane.length && start[lane[at]] < high; at++) {
        this.bar(step[lane[at]], scale(start[lane[at]]), scale(end[lane[at]]), top, ink);
      }
    }
    pen.clearRect(0, 0, width, AXIS - 2);
    for (const time of ticks(low, high, Math.max(2, width / 110))) {
      pen.fillStyle = ink.line;
      pen.fillRect(scale(time), AXIS - 6, 1, height);
      pen.fillStyle = ink.text;
      pen.fillText(span(time), scale(time) + 3, AXIS / 2);
    }
  }

  bar(step, left, right, top, ink) {
    const { pen } = this;
    const wide = Math.max(right - left - (right - left > 3 ? 1 : 0), 0.5);
    const { fill, text } = this.paint(step);
    pen.fillStyle = fill;
    pen.fillRect(left, top, wide, LANE - 2);
    if (this.path.has(step)) {
      pen.fillStyle = ink.path;
      pen.fillRect(left, top + LANE - 5, wide, 3);
    }
    if (wide > 5 * LETTER) {
      const shown = Math.max(left, 0);
      const room = Math.floor((Math.min(right, this.width) - shown - 8) / LETTER);
      const told = brief(this.graph.data.op[step]);
      pen.fillStyle = text;
      if (room > 1) pen.fillText(told.length > room ? `${told.slice(0, room - 1)}…` : told, shown + 4, top + LANE / 2 - 1);
    }
    if (step === this.chosen) {
      pen.strokeStyle = ink.marked;
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, top + 1, Math.max(wide - 2, 1), LANE - 4);
    }
  }
}
