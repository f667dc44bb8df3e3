// What every kind of page owes to those who read it by ear, by keyboard, large, without motion or with other eyes.
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { describe, test } from "node:test";
import axe from "axe-core";
import { SITE, at, browser, listen, page, root, useSite } from "./browser.js";
import { VISIONS, contrast, difference } from "./color.js";
import { kindOf, open, pagesOf } from "./pages.js";

const MODEL = "tiny";
const PACKED = process.env.PACKED;
const pagesIn = (folder) => pagesOf(folder, MODEL, 0, 0); // of the first neuron: some of what leads on from others is missing there
const PAGES = pagesIn(SITE);
const PACKED_PAGES = pagesIn(PACKED).filter((kind) => !PAGES.some(({ name }) => name === kind.name)); // those that only a packed site has
const MODES = ["light", "dark"];
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** The kinds of the pages in a folder. */
async function kindsIn(folder) {
  const passing = ["random.html", "N/random.html", "model.html"]; // lead elsewhere at once
  const files = (await readdir(folder, { recursive: true })).filter((name) => name.endsWith(".html"));
  return new Set(files.map((name) => kindOf(name, MODEL)).filter((kind) => !passing.includes(kind)));
}

test("every kind of page of a site is looked at", async () => {
  const [ofPages, ofPacked] = [PAGES, PACKED_PAGES].map((pages) => pages.map(({ path }) => kindOf(path, MODEL)));
  assert.deepEqual([...(await kindsIn(SITE))].sort(), [...new Set(ofPages)].sort());
  assert.deepEqual([...(await kindsIn(PACKED))].filter((kind) => !ofPages.includes(kind)).sort(), [...new Set(ofPacked)].sort());
});

/** What axe finds: a line for each rule, with the elements that break it. */
async function violations() {
  const found = await page.evaluate(async (tags) => {
    const rules = Object.fromEntries(axe.getRules(tags).map(({ ruleId }) => [ruleId, { enabled: true }])); // those that are off by default as well
    return (await axe.run(document, { runOnly: tags, rules, resultTypes: ["violations"] })).violations;
  }, TAGS);
  return found.map(({ id, help, nodes }) => {
    const elements = nodes.map(({ target, any, all, none }) => `${target.join(" ")} (${[...any, ...all, ...none].map(({ message }) => message).join("; ")})`);
    return `${id}: ${help}: ${elements.length}: ${elements.slice(0, 5).join(", ")}`;
  });
}

/** What is wrong with how wide a page is: boxes may scroll sideways if the keyboard can do it and they have a name, the page never. */
const tooWide = (page) => page.evaluate(() => {
  const { scrollWidth, clientWidth } = document.documentElement;
  const scrolls = (box) => box.scrollWidth > box.clientWidth && ["auto", "scroll"].includes(getComputedStyle(box).overflowX);
  const named = (box) => box.tabIndex >= 0 && (box.hasAttribute("aria-label") || box.hasAttribute("aria-labelledby"));
  const boxes = [...document.querySelectorAll("body *")].filter((box) => box.checkVisibility() && scrolls(box) && !named(box));
  const wrong = boxes.map((box) => `cannot be scrolled by keyboard, or has no name: ${box.cloneNode(false).outerHTML}`);
  return scrollWidth > clientWidth ? [`${scrollWidth - clientWidth} px too wide`, ...wrong] : wrong;
});

/** Colours as they are drawn: each of `stacks` is CSS colours one over the other, the lowest first. */
const drawn = (stacks) => page.evaluate((stacks) => {
  const pixel = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
  return stacks.map((colors) => {
    for (const color of colors) {
      pixel.fillStyle = color;
      pixel.fillRect(0, 0, 1, 1);
    }
    return [...pixel.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  });
}, stacks);

/** Numbers what can be done on a page in the order of the document, and says what there is. */
const numberControls = () => page.evaluate(() => {
  const within = document.querySelector("dialog[open]") ?? document;
  const controls = [...within.querySelectorAll("a[href], button, input, select, textarea, summary, [tabindex]")].filter((control) =>
    control.tabIndex >= 0 && !control.disabled && control.checkVisibility({ visibilityProperty: true }) && (control.type !== "radio" || control.checked));
  controls.forEach((control, i) => (control.dataset.control = i));
  return controls.map((control) => control.cloneNode(false).outerHTML);
});

/** What has the focus: its number, whether it is on the screen, and how its focus shows. */
const focus = () => page.evaluate(() => {
  const element = document.activeElement;
  if (!element || element === document.body) return null;
  const box = element.getClientRects()[0] ?? element.getBoundingClientRect();
  const onScreen = box.width > 1 && box.height > 1 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
  const under = [];
  for (let up = element.parentElement; up; up = up.parentElement) under.unshift(getComputedStyle(up).backgroundColor);
  const { outlineStyle, outlineWidth, outlineColor } = getComputedStyle(element);
  const thick = outlineStyle === "none" ? 0 : Number.parseFloat(outlineWidth);
  return { control: Number(element.dataset.control), what: element.cloneNode(false).outerHTML, onScreen, thick, under, ring: [...under, outlineColor] };
});

/** What a kind of page owes. */
function look(kind) {
  test(`${kind.name}: axe finds nothing, in light and in dark`, async () => {
    await page.emulateMedia({ colorScheme: MODES[0] });
    await open(page, root, kind);
    await page.evaluate(axe.source); // no script element: the content policy would refuse it
    const found = {};
    for (const mode of MODES) {
      await page.emulateMedia({ colorScheme: mode });
      found[mode] = await violations();
    }
    assert.deepEqual(found, { light: [], dark: [] });
  });

  test(`${kind.name}: on a phone, enlarged, and with large letters`, async () => {
    const wrong = {};
    await open(page, root, kind);
    // 320 is what WCAG 1.4.10 asks for: 1280 pixels at 400 %
    for (const width of [360, 320]) {
      await page.setViewportSize({ width, height: 800 });
      wrong[`${width} px`] = await tooWide(page);
    }
    const enlarged = await browser.newPage({ viewport: { width: 640, height: 450 }, deviceScaleFactor: 2 }); // 1280 pixels at 200 %
    listen(enlarged);
    await open(enlarged, root, kind);
    wrong["200 %"] = await tooWide(enlarged);
    await enlarged.evaluate(() => (document.documentElement.style.fontSize = "200%"));
    const size = await enlarged.evaluate(() => getComputedStyle(document.body).fontSize);
    wrong["large letters"] = [...(size === "32px" ? [] : [`letters of ${size} where the reader asks for 32px`]), ...(await tooWide(enlarged))];
    await enlarged.close();
    assert.deepEqual(wrong, { "360 px": [], "320 px": [], "200 %": [], "large letters": [] });
  });

  test(`${kind.name}: nothing moves for those who ask for that`, async () => {
    await page.emulateMedia({ reducedMotion: "reduce" });
    await open(page, root, kind);
    const moving = await page.evaluate(() => {
      const seconds = (text) => Math.max(...text.split(",").map(Number.parseFloat));
      const moves = (element) => {
        const { animationName, transitionDuration, scrollBehavior } = getComputedStyle(element);
        return animationName !== "none" || seconds(transitionDuration) > 0 || scrollBehavior === "smooth";
      };
      return [document.getAnimations().length, ...[...document.querySelectorAll("*")].filter(moves).map((element) => element.cloneNode(false).outerHTML)];
    });
    assert.deepEqual(moving, [0]);
  });

  if (kind.over) return;
  test(`${kind.name}: all can be reached by Tab, in order, and shows that it has the focus`, async () => {
    await open(page, root, kind);
    const controls = await numberControls();
    const stops = [];
    await page.focus('[data-control="0"]');
    for (let stop = await focus(); stop && stops.length < controls.length + 20; stop = await focus()) {
      stops.push(stop);
      if (stop.control === controls.length - 1) break;
      await page.keyboard.press("Tab");
    }
    const reached = stops.map(({ control }) => control).filter((control) => !Number.isNaN(control)); // a browser may stop at boxes that scroll as well
    assert.deepEqual(controls.filter((_, i) => !reached.includes(i)), [], "not reached");
    assert.deepEqual(reached, controls.map((_, i) => i), "in the order of the document");
    const colors = await drawn(stops.flatMap(({ under, ring }) => [under, ring]));
    const shows = ({ onScreen, thick }, i) => onScreen && thick >= 2 && contrast(colors[2 * i], colors[2 * i + 1]) >= 3;
    assert.deepEqual(stops.filter((stop, i) => !shows(stop, i)).map(({ what }) => what), [], "no visible focus");
  });
}

PAGES.forEach(look);
describe("packed", () => {
  useSite(PACKED);
  PACKED_PAGES.forEach(look);
});

test("the arrows scroll a wide table, and do not leave the page", async () => {
  await page.setViewportSize({ width: 320, height: 800 });
  for (const kind of PAGES.filter(({ name }) => ["layer", "neuron"].includes(name))) {
    await open(page, root, { ...kind, path: kind.other });
    const table = page.locator(".scroll").first();
    await table.focus();
    await page.keyboard.press("ArrowRight");
    await page.waitForFunction(() => document.querySelector(".scroll").scrollLeft > 0, null, { timeout: 3000 });
    assert.equal(at(), kind.other);
  }
});

test("the shades of activations keep sign and order for every kind of colour vision, and their text is readable", async () => {
  const LEVELS = [1, 2, 3, 4, 5, 6, 7, 8];
  const JUST_SEEN = 0.02; // in OKLab
  await open(page, root, PAGES.find(({ name }) => name === "neuron"));
  await page.$eval(".tokens", (line, levels) => {
    const shades = ["p", "n"].flatMap((sign) => levels.map((level) => `t ${sign}${level}`));
    line.replaceChildren(...shades.map((className) => Object.assign(document.createElement("bdi"), { className })));
  }, LEVELS);
  for (const mode of MODES) {
    await page.emulateMedia({ colorScheme: mode });
    const styles = await page.$eval(".tokens", (line) => [...line.children].map((token) => {
      const { backgroundColor, color } = getComputedStyle(token);
      return [getComputedStyle(document.body).backgroundColor, backgroundColor, color];
    }));
    const [paper] = await drawn([styles[0].slice(0, 1)]);
    const shades = await drawn(styles.map((colors) => colors.slice(0, 2)));
    const texts = await drawn(styles);
    const readable = shades.map((shade, i) => contrast(shade, texts[i]).toFixed(2));
    assert.deepEqual(readable.filter((found) => found < 4.5), [], `${mode}: contrast of the text on p1 to p8 and n1 to n8: ${readable}`);
    for (const [name, vision] of Object.entries(VISIONS)) {
      const [positive, negative] = [shades.slice(0, 8), shades.slice(8)];
      LEVELS.forEach((level, i) => {
        const apart = difference(positive[i], negative[i], vision);
        assert.ok(apart >= 0.025 * level, `${mode}, ${name}: p${level} and n${level} are ${apart.toFixed(3)} apart`);
      });
      for (const side of [positive, negative]) {
        const far = [paper, ...side].map((shade) => difference(shade, paper, vision));
        assert.ok(LEVELS.every((level) => far[level] >= far[level - 1] + JUST_SEEN), `${mode}, ${name}: from the paper: ${far.map((x) => x.toFixed(3))}`);
      }
    }
  }
});
