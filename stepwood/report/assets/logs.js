"use strict";

const arrivals = new Map();

/** A file of logs calls this when it is read. */
function logsArrived(file, packed) {
  arrivals.get(file).resolve(unpacked(packed));
}

/** The logs of a file: of each its beginning, and its end where something is left out between. */
function logsOf(file) {
  if (!arrivals.has(file)) {
    const arrival = {};
    arrival.promise = new Promise((resolve, reject) => Object.assign(arrival, { resolve, reject }));
    arrivals.set(file, arrival);
    const gone = () => arrival.reject(new Error(`logs/${file}.js is not there: it belongs beside this page`));
    document.head.append(element("script", { src: `logs/${file}.js`, onerror: gone }));
  }
  return arrivals.get(file).promise;
}

/** The texts of a report's logs, each loaded when it is asked for. */
class Logs {
  constructor(places) {
    this.places = places;
  }

  /** Lines as numbers and texts; what is left out is a line without a number. */
  async lines(log) {
    const { file, at, bytes, lines } = this.places[log];
    const [head, tail] = (await logsOf(file))[at];
    const all = (bytes ? head : head + tail).split("\n");
    const found = all.map((text, number) => [number + 1, text]);
    if (bytes) {
      found.push([null, `… ${count(bytes)} bytes are left out here: \`stepwood log\` has them`]);
      tail.split("\n").forEach((text, number) => found.push([all.length + lines + number, text]));
    }
    if (found.at(-1)[1] === "") found.pop();
    return found;
  }

  /** Logs that have the words, file by file: `found` is told of a log, a line's number and its text. */
  async search(words, found, goesOn) {
    const wanted = words.toLowerCase();
    for (let log = 0; log < this.places.length && goesOn(); log++) {
      const { file, at } = this.places[log];
      const [head, tail] = (await logsOf(file))[at];
      if (!head.toLowerCase().includes(wanted) && !tail.toLowerCase().includes(wanted)) continue;
      for (const [number, text] of await this.lines(log)) {
        if (number && text.toLowerCase().includes(wanted)) found(log, number, text);
      }
    }
  }
}
