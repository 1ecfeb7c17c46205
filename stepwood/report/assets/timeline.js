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

/** Which worker runs which step when: a row a worker. What is hit is a slot, a place in the schedule. */
class Timeline extends Picture {
  lanes = [];

  constructor(graph, ways) {
    super("timeline", graph, ways);
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
    this.resize();
  }

  get high() {
    return this.lanes.length * LANE + AXIS;
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

  click(slot) {
    this.choose(this.schedule.step[slot]);
  }

  told(slot) {
    const { step, start, end } = this.schedule;
    return `${this.tell(step[slot])}, from ${span(start[slot])} to ${span(end[slot])}`;
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

  draw() {
    if (!this.pen || !this.schedule) return;
    const { pen, width, height, scale } = this;
    const { step, start, end } = this.schedule;
    const scrolled = this.frame.scrollTop;
    const [low, high] = scale.domain();
    const ink = this.begin();
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
      pen.fillStyle = text;
      this.write(brief(this.graph.data.op[step]), left, right, top + LANE / 2 - 1);
    }
    if (step === this.chosen) {
      pen.strokeStyle = ink.marked;
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, top + 1, Math.max(wide - 2, 1), LANE - 4);
    }
  }
}
