"use strict";

const SHORT = 12;
const count = (number) => number.toLocaleString("en");
const counted = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : /(ch|ss)$/.test(noun) ? "es" : "s"}`;

const digits = (number) => (number < 9.95 ? number.toFixed(1) : count(Math.round(number)));

/** Seconds as people say them, as `engine.words.span` has it. */
function span(seconds) {
  if (seconds === null || seconds === undefined) return "unknown";
  for (const [start, unit, name] of [[172800, 86400, "days"], [5400, 3600, "h"], [90, 60, "min"]]) {
    if (seconds >= start) return `${digits(seconds / unit)} ${name}`;
  }
  return `${digits(seconds)} s`;
}

/** Of a run what stands before its command, and the command, as texts of the language; null for another op. */
function parts(op) {
  const found = /^\(run (.*)\(shell (?:"((?:[^"\\]|\\.)*)"|([^\s()"]+))\)\)$/s.exec(op);
  return found && { fields: found[1].trim(), command: found[2] ?? found[3] };
}

/** An op in a line: the command of a run; one that begins with a comment is called by that. */
function brief(op) {
  const run = parts(op);
  if (!run) return op.replace(/^\((.*)\)$/s, "$1");
  const title = /^# ((?:[^"\\]|\\[^n])+)(?:\\n|$)/.exec(run.command);
  return title ? title[1] : run.command.replace(/\\n/g, " ⏎ ").replace(/\\(["\\])/g, "$1");
}

/** A command as its shell gets it, or an op as it stands. */
function whole(op) {
  const run = parts(op);
  if (!run) return op;
  const text = run.command.replace(/\\(.)/g, (_, character) => ({ n: "\n", t: "\t", r: "\r" })[character] ?? character);
  return run.fields ? `${run.fields}\n${text}` : text;
}

/** An element with attributes and children; a child that is text stays text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}

/** A colour of the page's style sheet, as it is in light or in dark. */
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

/** A colour, and that of texts on it. */
const readable = (fill) => ({ fill, text: d3.lab(fill).l > 60 ? "#111" : "#fff" });

/** How long what moves may take: nothing for those who asked for less motion. */
const motion = () => (matchMedia("(prefers-reduced-motion: reduce)").matches ? 0 : 250);

/** What lies where canvases are drawn: each has its size in the page's pixels, and is sharp on any screen. */
function fitCanvas(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  canvas.width = Math.round(width * ratio);
  canvas.height = Math.round(height * ratio);
  canvas.style.width = `${width}px`;
  canvas.style.height = `${height}px`;
  const pen = canvas.getContext("2d");
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  return pen;
}
