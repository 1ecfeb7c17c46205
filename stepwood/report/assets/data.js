"use strict";

/** What was written as JSON, gzipped, in base64. */
async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).json();
}

/** The document that the page holds. */
const readDocument = () => unpacked(document.getElementById("data").textContent.trim());

/** Give the document to whoever looks, as a file. */
function saveDocument(data, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(data)], { type: "application/json" }));
  link.download = name;
  link.click();
  URL.revokeObjectURL(link.href);
}

/** The steps of a document as a graph. Steps and jobs are numbers: places in the document's columns. */
class Graph {
  constructor(data) {
    this.data = data;
    this.size = data.id.length;
    this.parent = data.inputs.map((inputs) => (inputs.length ? inputs[0] : -1));
    this.users = Array.from({ length: this.size }, () => []);
    this.kids = Array.from({ length: this.size }, () => []);
    this.roots = [];
    /** By step, the jobs that end with it. */
    this.ends = new Map();
    data.inputs.forEach((inputs, step) => {
      inputs.forEach((input) => this.users[input].push(step));
      (inputs.length ? this.kids[inputs[0]] : this.roots).push(step);
    });
    data.final.forEach((step, job) => {
      if (!this.ends.has(step)) this.ends.set(step, []);
      this.ends.get(step).push(job);
    });
    // What most jobs hold comes first, as in the text.
    const order = (one, other) => data.jobs[other] - data.jobs[one] || one - other;
    this.kids.forEach((kids) => kids.sort(order));
    this.roots.sort(order);
  }

  /** What a search looks in. */
  get lowered() {
    const low = (texts) => texts.map((text) => text.toLowerCase());
    return (this.low ??= { op: low(this.data.op), job: low(this.data.job) });
  }

  /** Everything that follows from these along `next`, themselves too. */
  closure(starts, next) {
    const seen = new Set(starts);
    for (const step of seen) for (const other of next[step]) seen.add(other);
    return seen;
  }

  /** The jobs that need a step, in their order. */
  jobsOf(step) {
    const found = [];
    for (const user of this.closure([step], this.users)) if (this.ends.has(user)) found.push(...this.ends.get(user));
    return found.sort((one, other) => one - other);
  }

  /** All steps of a job. */
  stepsOf(job) {
    return this.closure([this.data.final[job]], this.data.inputs);
  }

  /** The steps whose op has the words, or whose id begins with them, and the jobs whose name has them. */
  search(words) {
    const wanted = words.toLowerCase();
    const { op, job } = this.lowered;
    const has = (step) => op[step].includes(wanted) || this.data.id[step].startsWith(wanted);
    return {
      steps: d3.range(this.size).filter(has),
      jobs: d3.range(job.length).filter((number) => job[number].includes(wanted)),
    };
  }
}
