"use strict";

const OUTCOMES = {
  failed: { word: "failed", mark: "✗ ", shade: "failed" },
  skipped: { word: "skipped", mark: "‖ ", shade: "blocked" },
  cancelled: { word: "stopped", mark: "■ ", shade: "blocked" },
  unfinished: { word: "unfinished", mark: "? ", shade: "blocked" },
  built: { word: "built", mark: "", shade: "run" },
  cached: { word: "cached", mark: "✓ ", shade: "cached" },
};
/** Lines that a search in logs shows at most. */
const HITS = 500;

/** A batch that ran: what became of each job, why, and when. */
class ReportPage extends StepsPage {
  hint = "Choose a step to see its command, how it ended, its log, and which jobs need it.";

  constructor(data) {
    super(data, {
      file: "report.json",
      colours: ["outcome", "jobs", "seconds"],
      stepColumns: [
        { title: "Step", field: "op", widthGrow: 5, minWidth: 150 },
        { title: "Outcome", field: "outcome", width: 115 },
        { title: "Took", field: "seconds", width: 95, formatter: asSpan, sorter: "number" },
        { title: "Tries", field: "tries", width: 80, sorter: "number" },
        { title: "Jobs", field: "jobs", width: 80, formatter: asCount, sorter: "number" },
        { title: "Id", field: "id", width: 125 },
      ],
      jobColumns: [
        { title: "Job", field: "name", widthGrow: 3, minWidth: 140 },
        { title: "Outcome", field: "outcome", width: 115 },
        { title: "Why", field: "why", widthGrow: 4, minWidth: 120 },
        { title: "Took", field: "seconds", width: 95, formatter: asSpan, sorter: "number" },
        { title: "Steps", field: "steps", width: 85, formatter: asCount, sorter: "number" },
      ],
    });
    this.timeline = new Timeline(this.graph, this.ways);
    this.map.path = this.timeline.path = new Set(data.path);
    this.on("timeline-out", "click", () => this.timeline.out());
    this.drawTimeline();
    this.logs = new Logs(data.logs);
    this.stepOf = new Map(data.log.flatMap((log, number) => (log === null ? [] : [[log, number]])));
    this.on("log-search", "submit", (event) => {
      event.preventDefault();
      this.findInLogs(document.getElementById("log-words").value.trim());
    });
    this.totals();
    this.failures();
    if (data.comparison) this.changes(data.comparison);
    if (data.results) this.packages(data.results);
    else if (data.axes.length) this.matrix(data.axes[0]);
    if (this.cells) this.on("matrix-find", "input", ({ target }) => this.cells.only(target.value));
    this.begin();
  }

  /** A job leads to the step that failed it, or else to its last. */
  chooseJob(job) {
    this.choose(this.blamed(job) ?? this.data.final[job]);
  }

  paint(step) {
    const { mark, shade } = OUTCOMES[this.data.outcome[step]];
    return { ...(this.by === "outcome" ? this.palette[shade] : this.shade(step)), mark };
  }

  legend() {
    const there = new Set(this.data.outcome);
    const shades = d3.group(Object.entries(OUTCOMES).filter(([outcome]) => there.has(outcome)), ([, { shade }]) => shade);
    const words = [...shades].map(([shade, some]) => [shade, some.map(([, { mark, word }]) => mark + word).join(", ")]);
    const place = this.keys(this.by === "outcome" ? Object.fromEntries(words) : null);
    if (this.data.path.length) place.append(element("span", { class: "key path" }, "critical path"));
  }

  recolour(by) {
    super.recolour(by);
    this.timeline.draw();
  }

  drawTimeline() {
    const { timeline, batch } = this.data;
    const told = document.getElementById("timeline-told");
    document.getElementById("timeline").hidden = !timeline.step.length;
    if (timeline.step.length) this.timeline.set(timeline);
    const work = `${span(batch.work)} of work on up to ${counted(timeline.workers, "worker")}`;
    const end = batch.wall === null ? "; the run came to no end" : ` in ${span(batch.wall)}`;
    const predicted = batch.predicted ? `; predicted: ${span(batch.predicted.p50)}, 9 of 10 within ${span(batch.predicted.p90)}` : "";
    told.textContent = timeline.step.length ? work + end + predicted : "Nothing ran.";
  }

  place() {
    return { ...super.place(), line: this.tabs.now === "log" ? this.line : "" };
  }

  opened(name) {
    if (name === "timeline") this.timeline.resize();
    if (name === "matrix") this.cells.show();
    if (name === "log" && (this.shown !== this.chosen || readAddress().line)) this.showLog(readAddress().line);
    super.opened(name);
  }

  show() {
    super.show();
    this.timeline.show(this.chosen);
    if (this.tabs.now === "log" && this.shown !== this.chosen) this.showLog();
  }

  totals() {
    const { data } = this;
    const jobs = d3.group(d3.range(data.job.length), (job) => data.job_outcome[job]);
    const steps = d3.group(d3.range(this.graph.size), (step) => data.outcome[step]);
    this.chip(counted(data.job.length, "job"), () => this.openJobs());
    for (const [outcome, { word }] of Object.entries(OUTCOMES)) {
      const some = jobs.get(outcome);
      if (some) this.chip(`${counted(some.length, "job")} ${word}`, () => this.openJobs(some, ` ${word}`));
    }
    for (const [outcome, { word }] of Object.entries(OUTCOMES)) {
      const some = steps.get(outcome);
      if (some) this.chip(`${counted(some.length, "step")} ${word}`, () => this.openSteps(some, ` ${word}`));
    }
    if (data.flaky.length) {
      const flaky = data.flaky.map(({ step }) => step);
      this.chip(`${count(flaky.length)} flaky`, () => this.openSteps(flaky, " that have failed and passed"));
    }
    const { wall, started, predicted } = data.batch;
    const foreseen = predicted ? ` (predicted: ${span(predicted.p50)})` : "";
    this.chip(wall === null ? "interrupted" : `${span(wall)}${foreseen}`, () => this.tabs.open("timeline"));
    this.chip(new Date(1000 * started).toLocaleString());
  }

  /** Those that ended worst come first. */
  listJobs(jobs = d3.range(this.data.job.length), told = "") {
    const worst = Object.keys(OUTCOMES);
    super.listJobs(d3.sort(jobs, (job) => worst.indexOf(this.data.job_outcome[job])), told);
  }

  stepRow(step) {
    const { data } = this;
    return {
      key: step,
      op: brief(data.op[step]),
      outcome: OUTCOMES[data.outcome[step]].word,
      seconds: data.seconds[step],
      tries: data.tries[step] || "",
      jobs: data.jobs[step],
      id: data.id[step].slice(0, SHORT),
    };
  }

  jobRow(job) {
    const { data, graph } = this;
    const steps = [...graph.stepsOf(job)];
    const failed = this.blamed(job);
    return {
      key: job,
      name: data.job[job],
      outcome: OUTCOMES[data.job_outcome[job]].word,
      why: failed === undefined ? "" : `${this.toldWhy(failed)}: ${brief(data.op[failed])}`,
      seconds: d3.sum(steps, (step) => data.seconds[step] ?? 0),
      steps: steps.length,
    };
  }

  /** The step that failed a job; undefined where none did. */
  blamed(job) {
    return [...this.graph.stepsOf(job)].find((step) => this.data.outcome[step] === "failed");
  }

  /** A failure in a few words. */
  toldWhy(step) {
    const { data } = this;
    const cause = data.cause[step];
    if (data.exit[step] === null) return data.message[step] || cause || "failed";
    return [cause === "exit" ? "" : cause, `exit ${data.exit[step]}`, data.message[step]].filter(Boolean).join(", ");
  }

  // --- failures

  failures() {
    const place = document.getElementById("failures");
    const { failures } = this.data;
    if (!failures.length) place.append(element("p", {}, "No step failed."));
    for (const { step, jobs, lines } of failures) {
      const needing = () => this.openJobs(this.graph.jobsOf(step), ` failed by ${brief(this.data.op[step]).slice(0, 90)}`);
      place.append(
        element("h2", {}, this.link(step)),
        element("p", {}, `${this.toldWhy(step)}; it failed `,
          element("button", { type: "button", class: "link", onclick: needing }, counted(jobs, "job"))),
      );
      if (lines.length) place.append(this.lineList(lines, step, `The lines of the log of ${brief(this.data.op[step])} that tell`));
      else place.append(element("p", { class: "hint" }, this.noLog(step)));
    }
  }

  noLog(step) {
    const ran = this.data.tries[step] || this.data.outcome[step] === "cached";
    return ran ? "It wrote nothing, or its log was pruned." : "It did not run in this batch.";
  }

  /** Lines of a log, each number a link to the line. */
  lineList(lines, step, label, marked) {
    const list = element("div", { class: "log", tabindex: "0", role: "region", "aria-label": label.slice(0, 200) });
    for (const [number, text] of lines) {
      const to = `#${new URLSearchParams({ tab: "log", step: this.data.id[step].slice(0, 16), line: number ?? "" })}`;
      const line = element("div", { class: number === marked ? "line marked" : "line" }, number ? element("a", { href: to, "aria-label": `line ${number}` }, String(number)) : element("span", {}), element("code", {}, text));
      list.append(line);
    }
    return list;
  }

  // --- logs

  async showLog(line) {
    this.line = line;
    const place = document.getElementById("log");
    const step = (this.shown = this.chosen);
    if (step < 0) return place.replaceChildren(element("p", { class: "hint" }, "Choose a step, or find words in all logs."));
    const log = this.data.log[step];
    const head = element("h2", {}, this.link(step));
    if (log === null) return place.replaceChildren(head, element("p", { class: "hint" }, this.noLog(step)));
    try {
      const lines = await this.logs.lines(log);
      if (this.shown !== step) return;
      const marked = line ? Number(line) : undefined;
      if (this.data.outcome[step] === "cached") head.append(element("span", { class: "hint" }, " as it was built, in an earlier batch"));
      const list = this.lineList(lines, step, `The log of ${brief(this.data.op[step])}`, marked);
      place.replaceChildren(head, lines.length ? list : element("p", { class: "hint" }, "It wrote nothing."));
      list.querySelector(".marked")?.scrollIntoView({ block: "center" });
    } catch (error) {
      place.replaceChildren(head, element("p", { class: "hint" }, error.message));
    }
  }

  async findInLogs(words) {
    const [told, place] = ["log-told", "log-found"].map((id) => document.getElementById(id));
    const run = (this.finding = {});
    place.replaceChildren();
    told.textContent = "";
    if (!words) return;
    told.textContent = "reading …";
    let hits = 0;
    const steps = new Map();
    const found = (log, number, text) => {
      hits++;
      const step = this.stepOf.get(log);
      if (hits > HITS) return;
      if (!steps.has(step)) steps.set(step, []);
      steps.get(step).push([number, text]);
    };
    try {
      await this.logs.search(words, found, () => this.finding === run && hits <= HITS);
    } catch (error) {
      told.textContent = error.message;
      return;
    }
    if (this.finding !== run) return;
    told.textContent = hits > HITS ? `the first ${count(HITS)} lines` : `${counted(hits, "line")} in ${counted(steps.size, "log")}`;
    for (const [step, lines] of steps) {
      place.append(element("h3", {}, this.link(step)), this.lineList(lines, step, `Lines found in the log of ${brief(this.data.op[step])}`));
    }
  }

  // --- results and changes

  /** Jobs by one of their labels: a row for those that are else called the same. */
  matrix(axis) {
    const { data } = this;
    const values = [...new Set(data.labels.flatMap((labels) => labels[axis] ?? []))];
    const jobs = d3.range(data.job.length).filter((job) => axis in data.labels[job]);
    const stems = new Map(jobs.map((job) => [job, this.stems(job, axis)]));
    const popular = d3.rollup([...stems.values()].flat(), (some) => some.length, (stem) => stem);
    // A value may stand in a name twice: by accident, or for an axis. Its place is that in which other jobs have theirs.
    const rows = d3.group(jobs, (job) => d3.greatest(stems.get(job), (one, other) => popular.get(one) - popular.get(other)));
    if (!this.cells) {
      document.getElementById("matrix-by").hidden = false;
      const choice = document.getElementById("matrix-axis");
      choice.append(...data.axes.map((one) => element("option", {}, one)));
      choice.addEventListener("change", () => this.matrix(choice.value));
    }
    this.cells?.remove();
    const others = data.job.length - jobs.length;
    this.grid({
      label: `Jobs by ${axis}`, first: "Job", values, rows, width: 90,
      told: `${counted(rows.size, "row")} of ${counted(jobs.length, "job")}${others ? `; ${counted(others, "job")} without it` : ""}`,
      cell: (some, value) => this.outcomes(some.filter((job) => data.labels[job][axis] === value)),
      why: (job) => this.blamed(job) === undefined ? "" : this.toldWhy(this.blamed(job)),
      choose: (some) => this.chooseJob(some.find((job) => this.blamed(job) !== undefined) ?? some[0]),
    });
    if (this.tabs.now !== "matrix") return;
    this.cells.show();
    this.cells.only(document.getElementById("matrix-find").value);
  }

  /** A job's name without its value of an axis, which in that of a job of a matrix always stands; for each place. */
  stems(job, axis) {
    const [name, value] = [this.data.job[job], this.data.labels[job][axis]];
    const found = [];
    for (let at = name.indexOf(value); value && at >= 0; at = name.indexOf(value, at + 1)) {
      found.push(`${name.slice(0, at)}…${name.slice(at + value.length)}`);
    }
    return found.length ? found : [name];
  }

  /** How some jobs ended, in a few words. */
  outcomes(jobs) {
    const found = d3.rollups(jobs, (some) => some.length, (job) => this.data.job_outcome[job]);
    return found.map(([outcome, number]) => (jobs.length > 1 ? `${number} ` : "") + OUTCOMES[outcome].mark + OUTCOMES[outcome].word).join(", ");
  }

  packages(cells) {
    const told = d3.rollups(cells, (some) => some.length, ({ result }) => result);
    this.grid({
      label: "Packages by compilers", first: "Package", width: 110,
      values: [...new Set(cells.map(({ compiler }) => compiler))],
      rows: d3.group(cells, (cell) => cell.package),
      told: told.map(([result, number]) => `${count(number)} ${result}`).join(", "),
      cell: (some, value) => some.filter(({ compiler }) => compiler === value).map(({ result, accepted }) => result + (accepted ? " (known)" : "")).join(", "),
      why: ({ why }) => why,
      choose: (some) => {
        const bad = some.find(({ step }) => step) ?? some[0];
        const job = this.data.job.findIndex((one) => one === bad.package || one === `${bad.package}@${bad.compiler}`);
        if (bad.step) this.choose(this.data.id.indexOf(bad.step));
        else if (job >= 0) this.choose(this.data.final[job]);
      },
    });
  }

  /** A table of rows, each of some members, with a column for each value, in which `cell` tells of those that have it. */
  grid({ label, first, values, rows, width, told, cell, why, choose }) {
    this.cells = new Table("matrix", label, [
      { title: first, field: "name", widthGrow: 2, minWidth: 150 },
      ...values.map((value, at) => ({ title: value, field: `c${at}`, minWidth: width })),
      { title: "Why", field: "why", widthGrow: 4, minWidth: 120 },
    ], (name) => choose(rows.get(name)));
    this.cells.set([...rows].map(([name, some]) => ({
      key: name,
      name,
      ...Object.fromEntries(values.map((value, at) => [`c${at}`, cell(some, value)])),
      why: [...new Set(some.map(why).filter(Boolean))].join("; "),
    })), told);
  }

  changes({ other, changed, gone, times, built_was, built_now, ...rest }) {
    const place = document.getElementById("changes");
    const list = (title, members, draw) => {
      if (members.length) place.append(element("h2", {}, `${count(members.length)} ${title}`), longList(members, draw, 30));
    };
    const byName = new Map(this.data.job.map((name, job) => [name, job]));
    const job = (name, more = "") => {
      const known = byName.get(name);
      if (known === undefined) return `${name}${more}`;
      const choose = () => this.chooseJob(known);
      return element("span", {}, element("button", { type: "button", class: "link", onclick: choose }, name || "(no name)"), more);
    };
    const when = new Date(1000 * other.started).toLocaleString();
    place.append(element("p", {}, `Against batch ${other.id} of ${when}: ${span(built_was)} of building then, ${span(built_now)} now.`));
    for (const [kind, title] of [["failing", "newly failing"], ["fixed", "fixed"], ["stopped", "stopped"]]) {
      list(title, changed.filter(({ change }) => change === kind), ({ name, was, now }) => job(name, `: ${was} → ${now}`));
    }
    list("new", rest.new, (name) => job(name));
    list("gone", gone, (name) => job(name));
    for (const [title, slower] of [["slower", true], ["faster", false]]) {
      list(title, times.filter(({ was, now }) => now > was === slower), ({ step, op, was, now }) =>
        element("span", {}, step === null ? brief(op) : this.link(step), ` ${span(was)} → ${span(now)}`));
    }
    if (place.children.length === 1) place.append(element("p", {}, "No job and no step changed."));
  }

  tell(step) {
    const { data } = this;
    const took = data.seconds[step] === null ? "" : `, ${span(data.seconds[step])}`;
    return `${brief(data.op[step])}: ${OUTCOMES[data.outcome[step]].word}${took}, ${counted(data.jobs[step], "job")}`;
  }

  facts(step) {
    const { data } = this;
    const outcome = data.outcome[step];
    const { mark, word, shade } = OUTCOMES[outcome];
    const found = [["Outcome", [element("span", { class: `key ${shade}` }, mark + word)]]];
    if (outcome === "failed") found.push(["Why", [this.toldWhy(step)]]);
    if (data.because[step] !== null) found.push(["Because of", [this.link(data.because[step])]]);
    if (data.seconds[step] !== null) found.push(["Took", [`${span(data.seconds[step])}${data.tries[step] > 1 ? ` in ${data.tries[step]} tries` : ""}`]]);
    const flaky = data.flaky.find((one) => one.step === step);
    if (flaky) found.push(["Flaky", [`failed ${flaky.failed} ×, passed ${flaky.built} ×: ${flaky.causes}`]]);
    const open = () => this.tabs.open("log");
    if (data.log[step] !== null) found.push(["Log", [element("button", { type: "button", class: "link", onclick: open }, "open it")]]);
    return found;
  }
}

showPage(ReportPage);
