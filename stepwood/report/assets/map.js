"use strict";

const ROW = 22;
/** Steps of a chain from which on its middle may be folded into one row. */
const CHAIN = 4;
/** Rows from which on chains are folded unless somebody says otherwise. */
const DEEP = 40;

/** Where each step stands: a part of the width from 0 to 1, below the step whose root it starts from. */
class Layout {
  constructor(graph, by, fold, open) {
    const size = graph.size;
    this.graph = graph;
    this.left = new Float64Array(size);
    this.right = new Float64Array(size);
    this.row = new Int32Array(size);
    /** By the first step of a folded middle, how many steps it has; the others of it are hidden. */
    this.folds = new Map();
    this.hidden = new Uint8Array(size);
    if (fold) this.foldChains(open);
    this.place(this.weights(by));
  }

  foldChains(open) {
    const { kids, parent, data, size } = this.graph;
    const goesOn = (step) => kids[step].length === 1 && data.jobs[kids[step][0]] === data.jobs[step];
    for (let start = 0; start < size; start++) {
      if (parent[start] >= 0 && goesOn(parent[start])) continue;
      const chain = [start];
      while (goesOn(chain.at(-1))) chain.push(kids[chain.at(-1)][0]);
      if (chain.length <= CHAIN || open.has(chain[1])) continue;
      this.folds.set(chain[1], chain.length - 2);
      for (const step of chain.slice(2, -1)) this.hidden[step] = 1;
    }
  }

  /** By step, what it and all below it weigh; what is its own comes last in its width. */
  weights(by) {
    const { kids, ends, data, size } = this.graph;
    const weight = new Float64Array(size);
    for (let step = size - 1; step >= 0; step--) {
      let below = 0;
      for (const kid of kids[step]) below += weight[kid];
      let own = 1;
      if (by === "jobs") own = kids[step].length ? (ends.get(step) || []).length : data.jobs[step];
      if (by === "seconds") own = Math.max(0.001, data.seconds[step] || 0);
      weight[step] = below + own;
    }
    return weight;
  }

  place(weight) {
    const { kids, roots, parent, size } = this.graph;
    let total = 0;
    for (const root of roots) total += weight[root];
    const spread = (steps, left, scale) => {
      for (const step of steps) {
        this.left[step] = left;
        left += weight[step] * scale;
        this.right[step] = left;
      }
    };
    spread(roots, 0, total ? 1 / total : 0);
    this.rows = roots.length ? 1 : 0;
    for (let step = 0; step < size; step++) {
      this.row[step] = parent[step] < 0 ? 0 : this.row[parent[step]] + (this.hidden[step] ? 0 : 1);
      if (this.row[step] >= this.rows) this.rows = this.row[step] + 1;
      spread(kids[step], this.left[step], (this.right[step] - this.left[step]) / weight[step]);
    }
  }

  /** What stands at a part of the width in a row; -1 where nothing does. */
  at(part, row) {
    let steps = this.graph.roots;
    for (;;) {
      const step = steps.find((one) => this.left[one] <= part && part < this.right[one]);
      if (step === undefined) return -1;
      if (!this.hidden[step] && this.row[step] === row) return step;
      steps = this.graph.kids[step];
    }
  }
}

/** The steps as an icicle that is read like a list: top to bottom, and side by side where jobs part. */
class StepMap extends Picture {
  constructor(graph, ways) {
    super("map", graph, ways);
    this.found = null;
    this.open = new Set();
    this.by = "jobs";
    this.layout = new Layout(graph, this.by, false, this.open);
    this.fold = this.layout.rows > DEEP;
    if (this.fold) this.layout = new Layout(graph, this.by, true, this.open);
    this.canvas.addEventListener("dblclick", (event) => this.zoomTo(this.hit(event.offsetX, event.offsetY)));
  }

  get high() {
    return this.layout.rows * ROW + 1;
  }

  /** Lay it out anew. */
  again(changes) {
    Object.assign(this, changes);
    this.layout = new Layout(this.graph, this.by, this.fold, this.open);
    this.resize();
  }

  hit(x, y) {
    const part = (x - this.view.x) / this.view.k / this.width;
    return this.layout.at(part, Math.floor((y + this.frame.scrollTop) / ROW));
  }

  told(step) {
    return this.tell(step);
  }

  click(step) {
    if (this.layout.folds.has(step)) {
      this.open.add(step);
      this.again({});
    }
    this.choose(step);
  }

  key(event) {
    const { kids, parent, roots } = this.graph;
    const now = this.chosen;
    const beside = now < 0 ? roots : parent[now] < 0 ? roots : kids[parent[now]];
    const moves = {
      ArrowDown: () => (now < 0 ? roots[0] : kids[now][0]),
      ArrowUp: () => (now < 0 ? roots[0] : parent[now]),
      ArrowLeft: () => beside[Math.max(0, beside.indexOf(now) - 1)],
      ArrowRight: () => beside[Math.min(beside.length - 1, beside.indexOf(now) + 1)],
      Home: () => roots[0],
    };
    if (event.key in moves) {
      const next = moves[event.key]();
      if (next !== undefined && next >= 0) this.choose(next);
    } else if (event.key === "Enter") this.zoomTo(now);
    else if (event.key === "Escape") this.out();
    else return;
    event.preventDefault();
  }

  /** Mark a step and bring it into view. */
  show(step) {
    this.chosen = step;
    if (step < 0 || !this.width) return this.draw();
    for (const [first, length] of this.layout.folds) {
      let inside = first;
      for (let more = 0; more < length && this.layout.hidden[step]; more++) {
        if (inside === step) this.open.add(first);
        inside = this.graph.kids[inside][0];
      }
    }
    if (this.layout.hidden[step]) this.again({});
    const top = this.layout.row[step] * ROW;
    if (top < this.frame.scrollTop) this.frame.scrollTop = top;
    if (top + ROW > this.frame.scrollTop + this.height) this.frame.scrollTop = top + ROW - this.height;
    const left = this.layout.left[step] * this.width * this.view.k + this.view.x;
    const right = this.layout.right[step] * this.width * this.view.k + this.view.x;
    if (right < 0 || left > this.width || right - left < 2) this.zoomTo(step);
    this.draw();
  }

  /** Let a step have the whole width; what is below it follows. */
  zoomTo(step) {
    if (step < 0 || !this.width) return;
    const k = Math.min(1e6, 1 / (this.layout.right[step] - this.layout.left[step]));
    this.move(d3.zoomIdentity.translate(-this.layout.left[step] * this.width * k, 0).scale(k));
  }

  draw() {
    if (!this.pen) return;
    const { layout, width, height, view, graph } = this;
    const scrolled = this.frame.scrollTop;
    const ink = this.begin();
    const todo = [...graph.roots];
    while (todo.length) {
      const step = todo.pop();
      const left = layout.left[step] * width * view.k + view.x;
      const right = layout.right[step] * width * view.k + view.x;
      const top = layout.row[step] * ROW - scrolled;
      if (right < 0 || left > width || top > height) continue;
      if (!layout.hidden[step] && top > -ROW) this.box(step, Math.max(left, -2), Math.min(right, width + 2), top, ink);
      // What is less than half a pixel wide is seen as part of a heap, and nothing of what is below it.
      if (right - left > 0.5 || graph.kids[step].length === 1) todo.push(...graph.kids[step]);
    }
  }

  /** What stands on a step: its op, and before it the job that ends there. */
  label(step) {
    const { ends, data } = this.graph;
    const jobs = ends.get(step) || [];
    const more = jobs.length > 1 ? ` and ${count(jobs.length - 1)} more` : "";
    return `${jobs.length ? `→ ${data.job[jobs[0]]}${more}: ` : ""}${brief(data.op[step])}`;
  }

  box(step, left, right, top, ink) {
    const { pen } = this;
    const wide = right - left;
    const faint = this.found && !this.found.has(step);
    const { fill, text, mark } = this.paint(step);
    pen.globalAlpha = faint ? 0.25 : 1;
    pen.fillStyle = fill;
    pen.fillRect(left, top, Math.max(wide - (wide > 3 ? 1 : 0), 0.4), ROW - 1);
    if (wide > 4 * LETTER) {
      const folded = this.layout.folds.get(step);
      const told = folded ? `… ${counted(folded, "step")} of a chain` : mark + this.label(step);
      pen.fillStyle = text;
      this.write(told, left, right, top + ROW / 2);
    }
    pen.globalAlpha = 1;
    if (this.path.has(step) && wide > 1) {
      pen.fillStyle = ink.path;
      pen.fillRect(left, top, Math.min(3, wide), ROW - 1);
    }
    if (step === this.chosen) {
      pen.strokeStyle = ink.marked;
      pen.lineWidth = 2;
      pen.strokeRect(left + 1, top + 1, Math.max(wide - 3, 1), ROW - 3);
    }
  }
}
