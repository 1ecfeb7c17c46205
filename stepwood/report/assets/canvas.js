"use strict";

/** Pixels of a letter of what is written on a canvas. */
const LETTER = 6.7;

/** A picture of steps on a canvas, in a frame that scrolls from top to bottom; what lies across can be zoomed. A picture
 * of a kind says how it is drawn, how `high` it is, what `hit`s a place (-1: nothing), and which step that is. */
class Picture {
  /** `paint` tells of a step its colour, the colour on it, and a mark; `tell` what it is; `choose` is told of a click. */
  constructor(name, graph, { paint, tell, choose }) {
    Object.assign(this, { graph, paint, tell, choose });
    this.frame = document.getElementById(name);
    this.canvas = document.getElementById(`${name}-canvas`);
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
      const hit = this.hit(event.offsetX, event.offsetY);
      if (hit >= 0) this.click(hit);
    });
    this.canvas.addEventListener("pointermove", (event) => this.point(event));
    this.canvas.addEventListener("pointerleave", () => (document.getElementById("tip").hidden = true));
    this.frame.addEventListener("scroll", () => this.draw());
    this.frame.addEventListener("keydown", (event) => this.key(event));
    new ResizeObserver(() => this.resize()).observe(this.frame);
  }

  /** To be called when it has another height, too. */
  resize() {
    this.canvas.parentElement.style.height = `${this.high}px`;
    this.width = this.frame.clientWidth;
    if (!this.width) return;
    this.height = Math.min(this.frame.clientHeight, this.high);
    this.pen = fitCanvas(this.canvas, this.width, this.height);
    const corners = [[0, 0], [this.width, this.height]];
    this.zoom.extent(corners).translateExtent(corners).scaleExtent([1, 1e6]);
    this.draw();
  }

  /** A line beside the pointer that says what it is on. */
  point(event) {
    const tip = document.getElementById("tip");
    const hit = event.pointerType === "touch" ? -1 : this.hit(event.offsetX, event.offsetY);
    tip.hidden = hit < 0;
    if (tip.hidden) return;
    tip.textContent = this.told(hit);
    tip.style.left = `${Math.min(event.clientX + 12, innerWidth - tip.offsetWidth - 8)}px`;
    tip.style.top = `${Math.min(event.clientY + 16, innerHeight - tip.offsetHeight - 8)}px`;
  }

  /** An empty canvas, the pen for its texts, and colours as they are now. */
  begin() {
    this.pen.clearRect(0, 0, this.width, this.height);
    this.pen.font = "11px ui-monospace, Menlo, Consolas, monospace";
    this.pen.textBaseline = "middle";
    return Object.fromEntries(["marked", "path", "text", "line"].map((name) => [name, colour(name)]));
  }

  /** Write as much of a text as there is room for. */
  write(text, left, right, middle) {
    const shown = Math.max(left, 0);
    const room = Math.floor((Math.min(right, this.width) - shown - 8) / LETTER);
    if (room > 1) this.pen.fillText(text.length > room ? `${text.slice(0, room - 1)}…` : text, shown + 4, middle);
  }

  /** Let a view be what is seen. */
  move(view) {
    const took = motion();
    const canvas = d3.select(this.canvas);
    (took ? canvas.transition().duration(took) : canvas).call(this.zoom.transform, view);
  }

  out() {
    this.move(d3.zoomIdentity);
  }
}

