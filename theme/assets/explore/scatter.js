// The scatter of two measures: neurons that the query keeps in colour, the others faint; a rectangle drawn in it is a filter.

import { whenRecoloured } from "../base/dom.js";
import { count } from "../read/tokens.js";
import { axisOf, roundest, ticksOf } from "./axis.js";
import { paintDots } from "./density.js";
import { extentOf, orderOf, pick, valueOf } from "./table.js";

const PAD = { left: 66, right: 14, top: 24, bottom: 44 };
const TICKS = { x: 64, y: 34 }; // px from one to the next at least
const CLICK = 5; // px that a pointer may move in a click
const REACH = 14; // px from the pointer to a point that it chooses
const PAGES = 20; // of Page Down, from the first point to the last
const REST = 150; // ms that a point is chosen before its line is loaded
const FONT = "12px system-ui, sans-serif";

/** A figure with a canvas, which shows the neurons [from, until). */
export class Scatter {
  #figure;
  #canvas;
  #text;
  #idle; // what the text says while no point is chosen
  #about;
  #picture = document.createElement("canvas"); // the dots, without what is drawn over them
  #view; // what is shown, with each axis's place of a value and pixels of a code
  #size = { width: 0, height: 0, ratio: 1 };
  #chosen = -1;
  #resting;
  #drag = null; // the corners of a rectangle: where it began, where the pointer is
  #along; // neurons from left to right, when the keyboard asks for them

  /**
   * `about` has `from`, `until`; what a neuron is, `describe(flat)`, the promise of what it does, `line(flat)`, and where its page is, `href(flat)`; a number of a
   * column in words, `format(column, value)`; and `brush({x, y})`, called with the ranges of a rectangle drawn.
   */
  constructor(figure, about) {
    this.#figure = figure;
    this.#canvas = figure.querySelector("canvas");
    this.#text = figure.querySelector("figcaption");
    this.#idle = this.#text.textContent;
    this.#about = about;
    this.#listen();
  }

  /** Shows the neurons of `keep` by `x` and `y`, each a { column, scale }; `ranges` are the query's on x and y. */
  show({ x, y, keep, ranges }) {
    const same = (axis, old) => axis.column === old?.column && axis.scale === old?.scale;
    const shown = (asked, old) => (same(asked, old) ? old : { ...asked, axis: axisOf(asked.column, asked.scale) });
    this.#view = { x: shown(x, this.#view?.x), y: shown(y, this.#view?.y), keep, ranges };
    this.#measure();
    this.#along = undefined;
    this.#sayMissing();
    this.#paint();
    this.#choose(-1);
  }

  /** Shows nothing: an axis is not there. */
  clear() {
    this.#view = undefined;
    clearTimeout(this.#resting);
    this.#canvas.getContext("2d").clearRect(0, 0, this.#canvas.width, this.#canvas.height);
    this.#text.textContent = this.#idle;
    this.#figure.querySelector("[data-missing]").textContent = "";
  }

  // places

  #left(place) {
    return PAD.left + place * (this.#size.width - PAD.left - PAD.right);
  }
  #top(place) {
    return this.#size.height - PAD.bottom - place * (this.#size.height - PAD.top - PAD.bottom);
  }
  #valueAcross(px) {
    return this.#view.x.axis.valueAt((px - this.#left(0)) / (this.#left(1) - this.#left(0)));
  }
  #valueUp(px) {
    return this.#view.y.axis.valueAt((px - this.#top(0)) / (this.#top(1) - this.#top(0)));
  }

  #measure() {
    const { x, y } = this.#view;
    const [width, height, ratio] = [this.#canvas.clientWidth, this.#canvas.clientHeight, devicePixelRatio || 1];
    const isNew = Object.entries({ width, height, ratio }).some(([name, value]) => this.#size[name] !== value);
    this.#size = { width, height, ratio };
    if (isNew) for (const canvas of [this.#canvas, this.#picture]) Object.assign(canvas, { width: Math.round(width * ratio), height: Math.round(height * ratio) });
    for (const [on, toPixel] of [[x, (place) => this.#left(place)], [y, (place) => this.#top(place)]]) {
      if (on.pixels && !isNew) continue;
      const [first, last] = extentOf(on.column);
      on.pixels = new Float32Array(last + 1);
      for (let code = first; code <= last; code++) on.pixels[code] = toPixel(on.axis.place(valueOf(on.column, code)));
      on.devicePixels = new Int32Array(on.pixels.map((px) => Math.round(px * ratio)));
    }
  }

  #sayMissing() {
    const { keep, x, y } = this.#view;
    const [across, up] = [x.column.codes, y.column.codes];
    let n = 0;
    for (let i = this.#about.from; i < this.#about.until; i++) n += Number(keep[i] === 1 && (across[i] === 0 || up[i] === 0));
    this.#figure.querySelector("[data-missing]").textContent = n === 0 ? "" : `${count(n)} neurons that pass the filters have no value on an axis.`;
  }

  // drawing

  #color(name) {
    return getComputedStyle(this.#figure).getPropertyValue(name);
  }

  #paint() {
    const { x, y, keep } = this.#view;
    const { from, until } = this.#about;
    const of = ({ column, devicePixels }) => ({ codes: column.codes, pixels: devicePixels });
    paintDots(this.#picture, { x: of(x), y: of(y), keep, from, until }, [this.#color("--label"), this.#color("--above")], this.#size.ratio);
  }

  #draw() {
    const { width, height, ratio } = this.#size;
    const to = this.#canvas.getContext("2d");
    to.setTransform(ratio, 0, 0, ratio, 0, 0);
    to.clearRect(0, 0, width, height);
    to.font = FONT;
    this.#drawGrid(to);
    to.drawImage(this.#picture, 0, 0, width, height);
    to.strokeStyle = this.#color("--mark");
    this.#drawRectangle(to, this.#drag ? this.#drawn() : this.#filtered());
    if (this.#chosen >= 0) this.#drawRing(to, this.#chosen);
  }

  #drawGrid(to) {
    const { x, y } = this.#view;
    const [l, r, t, b] = [this.#left(0), this.#left(1), this.#top(1), this.#top(0)];
    const line = (...[x0, y0, x1, y1]) => {
      to.beginPath();
      to.moveTo(x0, y0);
      to.lineTo(x1, y1);
      to.stroke();
    };
    to.lineWidth = 1;
    to.strokeStyle = this.#color("--grid");
    to.fillStyle = this.#color("--label");
    to.textAlign = "center";
    for (const value of ticksOf(x.axis, (r - l) / TICKS.x)) {
      const at = Math.round(this.#left(x.axis.place(value))) + 0.5;
      line(at, t, at, b + 4);
      to.fillText(this.#about.format(x.column, value), at, b + 18);
    }
    to.textAlign = "right";
    for (const value of ticksOf(y.axis, (b - t) / TICKS.y)) {
      const at = Math.round(this.#top(y.axis.place(value))) + 0.5;
      line(l - 4, at, r, at);
      to.fillText(this.#about.format(y.column, value), l - 8, at + 4);
    }
    to.fillStyle = this.#color("--mark");
    to.fillText(`${x.column.label} →`, r, b + 38);
    to.textAlign = "left";
    to.fillText(`↑ ${y.column.label}`, 4, 12);
  }

  #drawRectangle(to, corners) {
    if (!corners) return;
    const [l, t, r, b] = corners;
    to.lineWidth = 1.5;
    to.setLineDash([5, 3]);
    to.strokeRect(l, t, r - l, b - t);
    to.setLineDash([]);
  }

  #drawRing(to, flat) {
    const { x, y } = this.#view;
    to.lineWidth = 2;
    to.beginPath();
    to.arc(x.pixels[x.column.codes[flat]], y.pixels[y.column.codes[flat]], 6, 0, 7);
    to.stroke();
  }

  // rectangles, as [left, top, right, bottom]

  /** That of the query's ranges. */
  #filtered() {
    const { x, y, ranges } = this.#view;
    if (!ranges.x && !ranges.y) return null;
    const ends = ([min, max] = [null, null], axis) => [min === null ? 0 : axis.place(min), max === null ? 1 : axis.place(max)];
    const [[l, r], [b, t]] = [ends(ranges.x, x.axis), ends(ranges.y, y.axis)];
    return [this.#left(l), this.#top(t), this.#left(r), this.#top(b)];
  }

  /** That being drawn; a line that is hardly a rectangle stands for the whole of the other axis. */
  #drawn() {
    const [[x0, y0], [x1, y1]] = this.#drag;
    const between = (a, b, low, high) => (Math.abs(a - b) <= CLICK ? [low, high] : [Math.max(low, Math.min(a, b)), Math.min(high, Math.max(a, b))]);
    const [l, r] = between(x0, x1, this.#left(0), this.#left(1));
    const [t, b] = between(y0, y1, this.#top(1), this.#top(0));
    return [l, t, r, b];
  }

  #brush([l, t, r, b]) {
    const near = (valueAt, px) => roundest(...[valueAt(px - 0.5), valueAt(px + 0.5)].sort((low, high) => low - high));
    const open = ({ least, most }, min, max) => [min <= least ? null : min, max >= most ? null : max];
    const { x, y } = this.#view;
    const [across, up] = [(px) => near((at) => this.#valueAcross(at), px), (px) => near((at) => this.#valueUp(at), px)];
    this.#about.brush({ x: open(x.axis, across(l), across(r)), y: open(y.axis, up(b), up(t)) });
  }

  // one point

  #choose(flat) {
    this.#chosen = flat;
    this.#canvas.classList.toggle("over", flat >= 0);
    this.#text.textContent = flat < 0 ? this.#idle : this.#about.describe(flat);
    this.#draw();
    clearTimeout(this.#resting);
    if (flat >= 0) this.#resting = setTimeout(() => this.#sayLine(flat), REST);
  }

  async #sayLine(flat) {
    const line = await this.#about.line(flat).catch(() => undefined); // the list says what cannot be loaded
    if (line && this.#chosen === flat) this.#text.textContent = `${this.#about.describe(flat)} · ${line}`;
  }

  #nearest([left, top]) {
    const { x, y, keep } = this.#view;
    const [across, up] = [x.column.codes, y.column.codes];
    let [best, found] = [REACH ** 2, -1];
    for (let i = this.#about.from; i < this.#about.until; i++) {
      if (keep[i] === 0 || across[i] === 0 || up[i] === 0) continue;
      const d = (x.pixels[across[i]] - left) ** 2 + (y.pixels[up[i]] - top) ** 2;
      if (d < best) [best, found] = [d, i];
    }
    return found;
  }

  #step(key) {
    const { x, y, keep } = this.#view;
    this.#along ??= pick(orderOf(x.column, false), keep).filter((flat) => x.column.codes[flat] > 0 && y.column.codes[flat] > 0);
    const n = this.#along.length;
    const page = Math.ceil(n / PAGES);
    const steps = { ArrowLeft: -1, ArrowRight: 1, PageUp: -page, PageDown: page, Home: -n, End: n }[key];
    if (steps === undefined) return false;
    const at = Math.max(0, Math.min(n - 1, this.#along.indexOf(this.#chosen) + steps));
    this.#choose(this.#along[at] ?? -1);
    return true;
  }

  #open(event) {
    if (this.#chosen < 0) return;
    const href = this.#about.href(this.#chosen);
    if (event.ctrlKey || event.metaKey || event.shiftKey) window.open(href);
    else location.href = href;
  }

  // the reader

  #place(event) {
    const box = this.#canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  }

  get #dragged() {
    if (!this.#drag) return false;
    const [from, to] = this.#drag;
    return Math.hypot(to[0] - from[0], to[1] - from[1]) > CLICK;
  }

  #pressed(event) {
    if (event.button !== 0) return;
    this.#canvas.setPointerCapture(event.pointerId);
    this.#drag = [this.#place(event), this.#place(event)];
  }

  #moved(event) {
    if (this.#drag) this.#drag[1] = this.#place(event);
    const flat = this.#dragged ? -1 : this.#nearest(this.#place(event));
    if (this.#dragged || flat !== this.#chosen) this.#choose(flat);
  }

  #released(event) {
    if (!this.#drag) return;
    const rectangle = this.#dragged && this.#drawn();
    this.#drag = null;
    if (rectangle) return this.#brush(rectangle);
    const before = this.#chosen;
    this.#choose(this.#nearest(this.#place(event)));
    // a finger hides what it points at: the first tap says what it is, the next one opens it
    if (event.pointerType !== "touch" || this.#chosen === before) this.#open(event);
  }

  #leave() {
    this.#drag = null;
    this.#choose(-1);
  }

  #pressedKey(event) {
    if (event.key === "Enter") return this.#open(event);
    if (event.key === "Escape") return this.#leave();
    if (!this.#step(event.key)) return;
    event.preventDefault();
    event.stopPropagation();
  }

  #listen() {
    const canvas = this.#canvas;
    const on = (name, work) => canvas.addEventListener(name, (event) => this.#view && work(event));
    on("pointerdown", (event) => this.#pressed(event));
    on("pointermove", (event) => this.#moved(event));
    on("pointerup", (event) => this.#released(event));
    on("pointercancel", () => this.#leave());
    on("pointerleave", () => this.#drag || this.#leave());
    on("keydown", (event) => this.#pressedKey(event));
    const again = () => {
      if (!this.#view) return;
      this.#measure();
      this.#paint();
      this.#draw();
    };
    new ResizeObserver(() => canvas.clientWidth !== this.#size.width && again()).observe(canvas);
    whenRecoloured(again);
  }
}
