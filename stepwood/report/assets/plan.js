"use strict";

const STATES = {
  cached: { word: "cached", mark: "✓ ", told: "its result is there already" },
  run: { word: "to run", mark: "", told: "" },
  failed: { word: "known to fail", mark: "✗ ", told: "it failed before, and is not run again" },
  blocked: { word: "blocked", mark: "‖ ", told: "it waits for a step that is known to fail" },
};

/** A plan: what would run, why, and when. */
class PlanPage extends StepsPage {
  hint = "Choose a step to see its command, why it would run, and which jobs need it.";

  constructor(data) {
    super(data, {
      file: "plan.json",
      colours: ["state", "jobs", "seconds"],
      stepColumns: [
        { title: "Step", field: "op", widthGrow: 5, minWidth: 150 },
        { title: "State", field: "state", width: 115 },
        { title: "Jobs", field: "jobs", width: 80, formatter: asCount, sorter: "number" },
        { title: "Expected", field: "seconds", width: 115, formatter: asSpan, sorter: "number" },
        { title: "Kind", field: "kind", width: 75 },
        { title: "Id", field: "id", width: 125 },
      ],
      jobColumns: [
        { title: "Job", field: "name", widthGrow: 3, minWidth: 150 },
        { title: "Steps", field: "steps", width: 85, formatter: asCount, sorter: "number" },
        { title: "To run", field: "todo", width: 90, formatter: asCount, sorter: "number" },
        { title: "Expected", field: "seconds", width: 115, formatter: asSpan, sorter: "number" },
      ],
    });
    this.timeline = new Timeline(this.graph, this.ways);
    this.map.path = this.timeline.path = new Set(data.path);
    const workers = document.getElementById("timeline-workers");
    data.schedules.forEach((schedule, at) => workers.append(element("option", { value: at }, `${schedule.workers}`)));
    this.on("timeline-workers", "change", () => this.schedule(Number(workers.value)));
    this.on("timeline-out", "click", () => this.timeline.out());
    this.schedule(0);
    this.totals();
    this.causes();
    this.begin();
  }

  paint(step) {
    const state = this.data.state[step];
    const { fill, text } = this.by === "state" ? this.palette[state] : this.shade(step);
    return { fill, text, mark: STATES[state].mark };
  }

  legend() {
    const there = new Set(this.data.state);
    const states = Object.entries(STATES).filter(([state]) => there.has(state));
    const named = Object.fromEntries(states.map(([state, { word, mark }]) => [state, mark + word]));
    const place = this.keys(this.by === "state" ? named : null);
    if (this.data.path.length) place.append(element("span", { class: "key path" }, "critical path"));
  }

  recolour(by) {
    super.recolour(by);
    this.timeline.draw();
  }

  schedule(at) {
    const schedule = this.data.schedules[at];
    const told = document.getElementById("timeline-told");
    if (!schedule || !schedule.step.length) {
      told.textContent = "Nothing is to run.";
      document.getElementById("timeline").hidden = true;
      return;
    }
    const makespans = this.data.prediction ? this.data.prediction.makespans : [];
    const made = makespans.find((one) => one.workers === schedule.workers);
    this.timeline.set(schedule);
    told.textContent = made
      ? `predicted: ${span(made.p50)}, 9 of 10 runs within ${span(made.p90)}; drawn as if each step took what is expected`
      : "nothing is known of what these steps take: each is drawn as one second";
  }

  opened(name) {
    if (name === "timeline") this.timeline.resize();
    super.opened(name);
  }

  show() {
    super.show();
    this.timeline.show(this.chosen);
  }

  totals() {
    const { data } = this;
    const { totals, prediction, fetch } = data;
    this.chip(counted(totals.jobs, "job"), () => this.openJobs());
    this.chip(`${counted(totals.steps, "step")}, ${count(totals.distinct)} distinct`, () => this.openSteps());
    const states = d3.group(d3.range(data.state.length), (step) => data.state[step]);
    for (const [state, { word }] of Object.entries(STATES)) {
      const steps = states.get(state);
      if (steps) this.chip(`${count(steps.length)} ${word}`, () => this.openSteps(steps, ` ${word}`));
    }
    if (fetch.bases.length) {
      const bases = fetch.bases.map(({ id }) => data.id.indexOf(id));
      this.chip(`${counted(bases.length, "base")} to fetch`, () => this.openSteps(bases, " to fetch"));
    }
    if (!prediction) return;
    const made = prediction.makespans[0];
    const few = prediction.unknown ? `, ${counted(prediction.unknown, "step")} without history` : "";
    this.chip(`predicted at -j ${made.workers}: ${span(made.p50)}${few}`, () => this.tabs.open("timeline"));
    const path = () => this.openSteps(data.path, " on the critical path");
    this.chip(`critical path: ${span(prediction.path_seconds)}`, path);
  }

  stepRow(step) {
    const { data } = this;
    return {
      key: step,
      op: brief(data.op[step]),
      state: STATES[data.state[step]].word,
      jobs: data.jobs[step],
      seconds: data.seconds[step],
      kind: data.step_kind[step],
      id: data.id[step].slice(0, SHORT),
    };
  }

  jobRow(job) {
    const { data, graph } = this;
    const steps = [...graph.stepsOf(job)];
    const todo = steps.filter((step) => data.state[step] === "run");
    const known = todo.every((step) => data.seconds[step] !== null);
    const seconds = known ? d3.sum(todo, (step) => data.seconds[step]) : null;
    return { key: job, name: data.job[job], steps: steps.length, todo: todo.length, seconds };
  }

  causes() {
    const place = document.getElementById("causes");
    const { causes, totals } = this.data;
    if (!totals.to_run) place.append(element("p", {}, "Nothing would run."));
    for (const { told, steps, roots, changes } of causes) {
      place.append(element("h2", {}, `${told}: ${counted(steps, "step")} would run`));
      const line = (at) => element("span", {}, this.link(roots[at]), ...this.change(changes[at]));
      place.append(longList(d3.range(roots.length), line));
    }
  }

  change(text) {
    return text ? [element("code", { class: "change" }, text)] : [];
  }

  tell(step) {
    const { data } = this;
    const known = data.seconds[step] === null ? "" : `, ${span(data.seconds[step])}`;
    return `${brief(data.op[step])}: ${STATES[data.state[step]].word}${known}, ${counted(data.jobs[step], "job")}`;
  }

  facts(step) {
    const { data } = this;
    const { mark, word } = STATES[data.state[step]];
    return [
      ["State", [element("span", { class: `key ${data.state[step]}` }, mark + word)]],
      ["Why", this.why(step)],
      ["Expected", [span(data.seconds[step])]],
    ];
  }

  /** Why a step is in its state. */
  why(step) {
    const { data } = this;
    if (data.state[step] !== "run") return [STATES[data.state[step]].told];
    const first = data.inputs[step].find((input) => data.state[input] !== "cached");
    if (first !== undefined) return ["an input of it runs: ", this.link(first)];
    for (const { told, roots, changes } of data.causes) {
      const at = roots.indexOf(step);
      if (at >= 0) return [told, ...this.change(changes[at])];
    }
    return ["its result is not there"];
  }
}

showPage(PlanPage);
