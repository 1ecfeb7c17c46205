"use strict";

/** What jobs share, what keeps them from sharing more, and what other orders would save. */
class DedupPage extends StepsPage {
  hint = "Choose a step to see its command, which jobs share it, and where else its op stands.";

  constructor(data) {
    super(data, {
      file: "dedup.json",
      colours: ["jobs", "near-misses", "seconds"],
      stepColumns: [
        { title: "Step", field: "op", widthGrow: 5, minWidth: 150 },
        { title: "Jobs", field: "jobs", width: 80, formatter: asCount, sorter: "number" },
        { title: "Takes", field: "seconds", width: 100, formatter: asSpan, sorter: "number" },
        { title: "Saved", field: "saved", width: 100, formatter: asSpan, sorter: "number" },
        { title: "Id", field: "id", width: 125 },
      ],
      jobColumns: [
        { title: "Job", field: "name", widthGrow: 3, minWidth: 150 },
        { title: "Steps", field: "steps", width: 85, formatter: asCount, sorter: "number" },
        { title: "Its own", field: "own", width: 100, formatter: asCount, sorter: "number" },
      ],
    });
    /** By step, the near-miss that it is part of. */
    this.missOf = new Map();
    data.near_misses.forEach(({ rows }, miss) => rows.flat().forEach((step) => this.missOf.set(step, miss)));
    this.misses = new Table("misses", "Near-misses", [
      { title: "Op", field: "op", widthGrow: 5, minWidth: 150 },
      { title: "Too many", field: "excess", width: 110, formatter: asCount, sorter: "number" },
      { title: "Seconds", field: "seconds", width: 105, formatter: asSpan, sorter: "number" },
      { title: "Places", field: "places", width: 90, formatter: asCount, sorter: "number" },
      { title: "Differs in", field: "differs", width: 140 },
    ], (miss) => this.choose(data.near_misses[miss].rows[0][0]));
    this.misses.set(data.near_misses.map((miss, key) => this.missRow(miss, key)), this.missesTold());
    this.totals();
    this.orders();
    this.begin();
  }

  paint(step) {
    if (this.by !== "near-misses") return { ...this.shade(step), mark: "" };
    return { ...this.palette[this.missOf.has(step) ? "blocked" : "cached"], mark: "" };
  }

  legend() {
    this.keys(this.by === "near-misses" ? { blocked: "its op stands elsewhere too", cached: "its op stands only here" } : null);
  }

  opened(name) {
    if (name === "misses") this.misses.show();
    super.opened(name);
  }

  show() {
    super.show();
    this.misses.mark(this.missOf.get(this.chosen));
  }

  totals() {
    const { jobs, steps, distinct, ratio, saved, strategies } = this.data.sharing;
    this.chip(counted(jobs, "job"), () => this.openJobs());
    this.chip(`${counted(steps, "step")}, ${count(distinct)} distinct: ${ratio.toFixed(2)} ×`, () => this.openSteps());
    const shared = d3.range(this.graph.size).filter((step) => this.data.jobs[step] > 1);
    const measured = saved.measured ? `, ${span(saved.seconds)}` : "";
    this.chip(`sharing saves ${counted(saved.steps, "step")}${measured}`, () => this.openSteps(shared, " that several jobs share"));
    if (this.data.near_misses.length) this.chip(counted(this.data.near_misses.length, "near-miss"), () => this.tabs.open("misses"));
    this.chip(counted(strategies.length, "order"), () => this.tabs.open("orders"));
  }

  missesTold() {
    const misses = this.data.near_misses;
    if (!misses.length) return "No near-misses: no op stands in two places.";
    return `${counted(d3.sum(misses, (miss) => miss.excess), "step")} whose op another has, after another beginning`;
  }

  missRow({ rows, excess, seconds, differs }, key) {
    const more = rows.length > 1 ? `, and the ${rows.length - 1} after it` : "";
    const op = brief(this.data.op[rows[0][0]]) + more;
    return { key, op, excess, seconds, places: rows[0].length, differs: differs.join(", ") };
  }

  /** The table of orders, with bars: the shorter the better. */
  orders() {
    const { strategies, bound, distinct } = this.data.sharing;
    const most = d3.max(strategies, (one) => one.distinct) || 1;
    const best = d3.min(strategies, (one) => one.distinct);
    const number = (text) => element("td", { class: "number" }, text);
    const rows = strategies.map((one) => {
      const bar = element("span", { class: "bar" });
      bar.style.width = `${(100 * one.distinct) / most}%`;
      const texts = [count(one.distinct), `${one.ratio.toFixed(2)} ×`, count(one.depth), `${one.compute_seconds.toFixed(2)} s`];
      return element("tr", { class: one.distinct === best && best < distinct ? "best" : "" },
        element("th", { scope: "row" }, one.name), ...texts.map(number), element("td", { class: "wide" }, bar));
    });
    const heads = ["Order", "Steps", "Ratio", "Depth", "Computed in", ""];
    const head = element("tr", {}, ...heads.map((text) => (text ? element("th", { scope: "col" }, text) : element("td"))));
    const told = best < distinct
      ? `${strategies.find((one) => one.distinct === best).name} would need ${counted(distinct - best, "step")} fewer, if ops could change places: whether they can is yours to know.`
      : "None that was found needs fewer than the jobs as they stand.";
    document.getElementById("orders").append(
      element("p", {}, `${told} No order needs fewer than ${count(bound)}.`),
      element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Orders" },
        element("table", { class: "bars" }, element("thead", {}, head), element("tbody", {}, ...rows))),
    );
  }

  stepRow(step) {
    const { data } = this;
    const [jobs, seconds] = [data.jobs[step], data.seconds[step]];
    const saved = seconds === null ? null : seconds * (jobs - 1);
    return { key: step, op: brief(data.op[step]), jobs, seconds, saved, id: data.id[step].slice(0, SHORT) };
  }

  jobRow(job) {
    const { data, graph } = this;
    const steps = [...graph.stepsOf(job)];
    return { key: job, name: data.job[job], steps: steps.length, own: steps.filter((step) => data.jobs[step] === 1).length };
  }

  tell(step) {
    return `${brief(this.data.op[step])}: ${counted(this.data.jobs[step], "job")}`;
  }

  facts(step) {
    const { data } = this;
    const found = [["Takes", [span(data.seconds[step])]]];
    const miss = data.near_misses[this.missOf.get(step)];
    if (!miss) return found;
    const row = miss.rows.find((one) => one.includes(step));
    const others = row.filter((one) => one !== step);
    const mark = () => {
      this.tabs.open("map");
      this.mark(new Set(miss.rows.flat()));
    };
    const differs = miss.differs.length ? `, in another ${miss.differs.join(" and ")}` : "";
    const button = element("button", { type: "button", class: "link", onclick: mark }, "mark all on the map");
    found.push(["Also at", [longList(others, (one) => this.link(one), 5), `${counted(miss.after, "step")} in common before${differs}; `, button]]);
    return found;
  }
}

showPage(DedupPage);
