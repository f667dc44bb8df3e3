// A reader with a browser: what one does with a page and sees of it, said once for Chromium and Firefox. Conditions are asked again
// and again from outside, since a strict content policy keeps Firefox from running what a tool brings into the page.
import puppeteer from "puppeteer-core";

const BROWSERS = {
  Chromium: { browser: "chrome", executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--disable-background-networking", "--disable-component-update"] },
  Firefox: { browser: "firefox", executablePath: process.env.FIREFOX ?? "/usr/bin/firefox-esr", extraPrefsFirefox: { "layout.frame_rate": 20 } }, // nobody looks
};
export const NAMES = Object.keys(BROWSERS);
const PATIENCE = 30_000; // ms until a condition has to hold
const PAUSE = 15; // ms between two questions
const OF_HOST = /^https?:\/\/[^/]+\/(favicon\.ico|\.neuroscope\/.*)$/; // what a host's own pages ask for

/** Starts a browser; throws where there is none. */
export const start = (name) => puppeteer.launch({ ...BROWSERS[name], headless: true, defaultViewport: { width: 1200, height: 900 } });

export class Reader {
  problems = []; // errors that pages log, answers that are no success, requests that leave the site
  #missing = new Set(); // addresses that are known to answer 404

  /** Opens a page for the site at `root`. */
  static async open(browser, root) {
    const reader = new Reader();
    const page = await browser.newPage();
    page.on("console", (message) => message.type() === "error" && reader.#note(message.text(), message.location().url));
    page.on("pageerror", (error) => reader.#note(String(error), page.url()));
    page.on("response", (response) => response.status() >= 400 && reader.#note(String(response.status()), response.url()));
    page.on("request", (request) => reader.#isOfSite(request.url()) || reader.#note("it is not of the site", request.url()));
    await page.evaluateOnNewDocument(() => addEventListener("securitypolicyviolation", ({ blockedURI, violatedDirective }) => console.error(`${violatedDirective} forbids ${blockedURI}`)));
    return Object.assign(reader, { page, root });
  }

  #isOfSite(url) {
    return url.startsWith(this.root) || !url.startsWith("http") || OF_HOST.test(url);
  }

  #note(text, url = "") {
    const [address] = url.split("#");
    const isKnown = text.includes("404") && this.#missing.has(address);
    if (!isKnown && !OF_HOST.test(url)) this.problems.push(`${address}: ${text}`);
  }

  close() {
    return this.page.close();
  }

  /** Takes an address for one that answers 404, which is no problem then. */
  knowMissing(path) {
    this.#missing.add(this.root + path.split("#")[0]);
  }

  /** Opens an address of the site; answers the status. */
  async go(path) {
    const response = await this.page.goto(this.root + path);
    return response?.status();
  }

  /** What a function says in the page. */
  ask(question, ...words) {
    return this.page.evaluate(question, ...words);
  }

  /** Waits until a function says something true in the page, be it another page by then; answers that, which can be no node. */
  async until(question, ...words) {
    const end = Date.now() + PATIENCE;
    let cause;
    do {
      try {
        const answer = await this.ask(question, ...words);
        if (answer) return answer;
      } catch (error) {
        cause = error; // perhaps the page was being left
      }
      await new Promise((resolve) => setTimeout(resolve, PAUSE));
    } while (Date.now() < end);
    throw new Error(`${await this.address()} never has ${question} of ${JSON.stringify(words)}`, { cause });
  }

  /** Waits until a selector finds something. */
  has(selector) {
    return this.until((selector) => document.querySelector(selector) !== null, selector);
  }

  #within(url) {
    return url.startsWith(this.root) ? url.slice(this.root.length) : url;
  }

  /** The address within the site. */
  async address() {
    return this.#within(await this.ask(() => location.href));
  }

  /** Where the first link that a selector finds leads to, within the site. */
  async link(selector) {
    return this.#within(await this.ask((selector) => document.querySelector(selector)?.href ?? "", selector));
  }

  /** The texts of what a selector finds, as they are read. */
  texts(selector) {
    return this.ask((selector) => Array.from(document.querySelectorAll(selector), (node) => node.innerText.replace(/\s+/g, " ").trim()), selector);
  }

  /** Clicks the first that a selector finds, once it is there. */
  async click(selector) {
    await this.until((selector) => document.querySelector(selector)?.checkVisibility(), selector);
    await this.page.click(selector);
  }

  /** Moves the pointer over the first that a selector finds. */
  point(selector) {
    return this.page.hover(selector);
  }

  async type(selector, text) {
    await this.click(selector);
    await this.page.keyboard.type(text);
  }

  press(key) {
    return this.page.keyboard.press(key);
  }
}
