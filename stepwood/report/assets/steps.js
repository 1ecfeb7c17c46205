"use strict";

/** What pages of a graph of steps have in common: map, tables, search, and the step that is chosen. A page of a kind
 * says what its columns, colours and facts are. */
class StepsPage {
  constructor(data, { file, stepColumns, jobColumns, colours }) {
    this.data = data;
    this.graph = new Graph(data);
    this.chosen = -1;
    this.colours = colours;
    this.readColours();
    this.ways = {
      paint: (step) => this.paint(step),
      tell: (step) => this.tell(step),
      choose: (step) => this.choose(step),
    };
    this.map = new StepMap(this.graph, this.ways);
    this.steps = new Table("steps", "Steps", stepColumns, this.ways.choose);
    this.jobs = new Table("jobs", "Jobs", jobColumns, (job) => this.chooseJob(job));
    this.tabs = new Tabs((name) => this.opened(name));
    const fold = document.getElementById("map-fold");
    fold.checked = this.map.fold;
    this.on("map-fold", "change", () => this.map.again({ fold: fold.checked, open: new Set() }));
    this.on("map-width", "change", (event) => this.map.again({ by: event.target.value }));
    this.on("map-colour", "change", (event) => this.recolour(event.target.value));
    this.on("map-out", "click", () => this.map.out());
    this.on("save", "click", () => saveDocument(data, file));
    this.on("words", "input", (event) => this.search(event.target.value));
    this.on("search", "submit", (event) => {
      event.preventDefault();
      this.next();
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.recolour(this.by));
    addEventListener("hashchange", () => this.goTo(readAddress()));
  }

  on(id, event, act) {
    document.getElementById(id).addEventListener(event, act);
  }

  /** When all is made: what the address says is shown. */
  begin() {
    this.legend();
    this.listSteps();
    this.goTo(readAddress());
  }

  goTo(said) {
    const step = said.step ? this.data.id.findIndex((id) => id.startsWith(said.step)) : -1;
    this.chosen = step;
    this.tabs.open(said.tab);
    this.choose(step);
  }

  // --- colours

  readColours() {
    this.by = this.by || this.colours[0];
    const names = ["cached", "run", "failed", "blocked"];
    this.palette = Object.fromEntries(names.map((name) => [name, readable(colour(name))]));
    this.shades = new Map();
    const column = this.by === "seconds" ? this.data.seconds : this.data.jobs;
    this.least = this.by === "seconds" ? 0.1 : 1;
    this.most = column.reduce((found, value) => Math.max(found, value || 0), 0);
    this.scale = d3.scaleSequentialLog([this.least, Math.max(this.most, 2)], d3.interpolateYlGnBu);
  }

  /** The colour of a step by how many jobs need it, or by what it takes; grey where that is not known. */
  shade(step) {
    const value = this.by === "seconds" ? this.data.seconds[step] : this.data.jobs[step];
    if (value === null) return this.palette.cached;
    if (!this.shades.has(value)) this.shades.set(value, readable(this.scale(Math.max(value, this.least))));
    return this.shades.get(value);
  }

  /** Keys for the colours: those of `named`, words by class, or a scale. */
  keys(named) {
    const place = document.getElementById("map-legend");
    place.replaceChildren();
    if (named) {
      for (const [name, word] of Object.entries(named)) place.append(element("span", { class: `key ${name}` }, word));
      return place;
    }
    const [low, high] = this.by === "jobs" ? ["1 job", counted(this.most, "job")] : ["0.1 s", span(this.most)];
    const bar = element("span", { class: "ramp" });
    bar.style.background = `linear-gradient(to right, ${d3.range(0, 1.01, 0.1).map(d3.interpolateYlGnBu)})`;
    place.append(low, bar, high);
    return place;
  }

  recolour(by) {
    this.by = by;
    this.readColours();
    this.legend();
    this.map.draw();
  }

  // --- tabs and lists

  opened(name) {
    this.address();
    if (name === "map") this.map.resize();
    if (name === "steps") this.steps.show();
    if (name === "jobs") {
      if (!this.jobs.rows.length) this.listJobs();
      this.jobs.show();
    }
    // What was chosen elsewhere comes into view here.
    if (this.chosen >= 0) this.show();
  }

  address() {
    writeAddress(this.place());
  }

  /** What the address says. */
  place() {
    return { tab: this.tabs.now, step: this.chosen < 0 ? "" : this.data.id[this.chosen].slice(0, 16) };
  }

  /** A number that is linked to the list it counts. */
  chip(text, act) {
    const shown = act ? element("button", { type: "button", class: "chip", onclick: act }, text) : text;
    document.getElementById("totals").append(element("li", {}, shown));
  }

  openSteps(steps, told) {
    this.listSteps(steps, told);
    this.tabs.open("steps");
  }

  openJobs(jobs, told) {
    this.listJobs(jobs, told);
    this.tabs.open("jobs");
  }

  /** All steps, or some of them; `told` says which. */
  listSteps(steps = d3.range(this.graph.size), told = "") {
    this.steps.set(steps.map((step) => this.stepRow(step)), `${counted(steps.length, "step")}${told}`);
  }

  listJobs(jobs = d3.range(this.data.job.length), told = "") {
    this.jobs.set(jobs.map((job) => this.jobRow(job)), `${counted(jobs.length, "job")}${told}`);
  }

  // --- search

  search(words) {
    const place = document.getElementById("found");
    if (!words.trim()) {
      this.found = null;
      this.mark(null);
      place.replaceChildren();
      return;
    }
    const { steps, jobs } = this.graph.search(words.trim());
    const shown = new Set(steps);
    for (const job of jobs) shown.add(this.data.final[job]);
    this.found = { list: Int32Array.from(shown).sort(), at: -1 };
    this.mark(shown);
    const open = (text, act) => element("button", { type: "button", class: "link", onclick: act }, text);
    place.replaceChildren(
      open(counted(steps.length, "step"), () => this.openSteps(steps, " found")), ", ",
      open(counted(jobs.length, "job"), () => this.openJobs(jobs, " found")),
    );
  }

  /** On the map let all but these be faint; null: none. */
  mark(steps) {
    this.map.found = steps;
    this.map.draw();
  }

  /** Choose the next of what was found. */
  next() {
    if (!this.found || !this.found.list.length) return;
    this.found.at = (this.found.at + 1) % this.found.list.length;
    this.choose(this.found.list[this.found.at]);
  }

  // --- a step

  choose(step) {
    this.chosen = step;
    this.details();
    this.show();
    this.address();
  }

  chooseJob(job) {
    this.choose(this.data.final[job]);
  }

  show() {
    this.map.show(this.chosen);
    this.steps.mark(this.chosen);
  }

  link(step) {
    const text = `${this.data.id[step].slice(0, SHORT)} ${brief(this.data.op[step]).slice(0, 90)}`;
    const choose = (event) => {
      event.preventDefault();
      this.choose(step);
    };
    return element("a", { href: `#step=${this.data.id[step].slice(0, 16)}`, onclick: choose }, text);
  }

  details() {
    const place = document.getElementById("details");
    const step = this.chosen;
    if (step < 0) {
      place.replaceChildren(element("p", { class: "hint" }, this.hint));
      return;
    }
    const { data, graph } = this;
    const jobs = graph.jobsOf(step);
    const open = () => this.openJobs(jobs, ` that need ${brief(data.op[step]).slice(0, 90)}`);
    const all = element("button", { type: "button", class: "link", onclick: open }, counted(jobs.length, "job"));
    const linked = (steps, none) => (steps.length ? longList(steps, (one) => this.link(one), 5) : none);
    const rows = [
      ...this.facts(step),
      ["Id", [element("code", { class: "id" }, data.id[step])]],
      ["Inputs", [linked(data.inputs[step], "none")]],
      ["Used by", [linked(graph.users[step], "no other step")]],
      ["Needed by", [all, longList(jobs, (job) => data.job[job], 5)]],
    ];
    place.replaceChildren(
      element("button", { type: "button", class: "close", "aria-label": "Close", onclick: () => this.choose(-1) }, "×"),
      element("h2", {}, brief(data.op[step]).slice(0, 200)),
      element("dl", {}, ...rows.flatMap(([term, told]) => [element("dt", {}, term), element("dd", {}, ...told)])),
      element("h3", {}, data.step_kind[step] === "run" ? "Command" : "Op"),
      element("pre", { tabindex: "0" }, whole(data.op[step])),
    );
  }
}

/** Read the document, and show it as a page of its kind. */
function showPage(Kind) {
  readDocument()
    .then((data) => {
      document.getElementById("loading").hidden = true;
      window.stepwood = new Kind(data);
      performance.mark("drawn");
      setTimeout(() => window.stepwood.graph.lowered, 50); // so that the first key need not wait for it
    })
    .catch(sayFault);
}
