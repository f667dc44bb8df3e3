// Very many dots as a picture: the denser they lie, the fuller is their colour.

const FAINT = 0.45; // opacity of the densest place of the neurons that are not kept, to 1 of those that are

/** A dot's radius in px and its opacity: the more of them, the smaller and the fainter. */
function dotOf(n) {
  if (n <= 1000) return { radius: 2.6, opacity: 0.75 };
  if (n <= 10_000) return { radius: 2, opacity: 0.5 };
  if (n <= 60_000) return { radius: 1.3, opacity: 0.4 };
  if (n <= 200_000) return { radius: 0.8, opacity: 0.35 };
  return { radius: 0.5, opacity: 0.3 }; // a pixel
}

/** A dot as offsets in a picture of `width`, each with the share of its pixel that the dot covers. */
function stampOf(radius, width) {
  const [offsets, weights] = [[], []];
  const reach = Math.ceil(radius);
  for (let y = -reach; y <= reach; y++) {
    for (let x = -reach; x <= reach; x++) {
      const weight = Math.min(1, radius + 0.5 - Math.hypot(x, y));
      if (weight <= 0) continue;
      offsets.push(y * width + x);
      weights.push(weight);
    }
  }
  return { offsets: Int32Array.from(offsets), weights: Float32Array.from(weights) };
}

/** How many dots have their middle on each pixel, of the others and of those kept. */
function countsOf({ x, y, keep, from, until }, { width, height }) {
  const counts = [0, 1].map(() => new Uint32Array(width * height));
  const [[across, up], [left, top]] = [[x, y].map(({ codes }) => codes), [x, y].map(({ pixels }) => pixels)];
  const [others, kept] = counts;
  for (let i = from; i < until; i++) {
    const [code, other] = [across[i], up[i]];
    if (code === 0 || other === 0) continue;
    const at = top[other] * width + left[code];
    if (keep[i] === 0) others[at]++;
    else kept[at]++;
  }
  return counts;
}

/** How many dots cover each pixel, and the most that cover one. */
function densityOf(counts, { offsets, weights }) {
  const density = new Float32Array(counts.length);
  let most = 1;
  for (let at = 0; at < counts.length; at++) {
    const n = counts[at];
    if (n === 0) continue;
    for (let j = 0; j < offsets.length; j++) {
      const sum = density[at + offsets[j]] + n * weights[j];
      density[at + offsets[j]] = sum;
      if (sum > most) most = sum;
    }
  }
  return { density, most };
}

/** Turns densities into opacities: one dot has its own, the densest place `full`; between them it grows with the logarithm. */
function fade({ density, most }, one, full) {
  const slope = (full - one) / (Math.log(most) || 1);
  for (let at = 0; at < density.length; at++) {
    const value = density[at];
    if (value > 0) density[at] = value < 1 ? value * one : one + slope * Math.log(value);
  }
  return density;
}

/** The bytes [red, green, blue] of a colour as style sheets write it. */
function bytesOf(color) {
  const to = new OffscreenCanvas(1, 1).getContext("2d");
  to.fillStyle = color;
  to.fillRect(0, 0, 1, 1);
  return to.getImageData(0, 0, 1, 1).data.subarray(0, 3);
}

/**
 * Paints the neurons [from, until) of `dots` on a canvas: those kept over the others. `x` and `y` have each neuron's
 * `codes`, and `pixels` by code; `colors` are those of the others and of those kept, `ratio` the pixels of a px.
 */
export function paintDots(canvas, dots, colors, ratio) {
  const { keep, from, until } = dots;
  let nKept = 0;
  for (let i = from; i < until; i++) nKept += keep[i];
  const counts = countsOf(dots, canvas);
  const layers = [until - from - nKept, nKept].map((n, kept) => {
    const { radius, opacity } = dotOf(n);
    const share = kept ? 1 : FAINT;
    const density = densityOf(counts[kept], stampOf(radius * ratio, canvas.width));
    return { opacities: fade(density, opacity * share, share), color: bytesOf(colors[kept]) };
  });
  canvas.getContext("2d").putImageData(blended(layers, canvas), 0, 0);
}

/** Two layers as an image, the second over the first. */
function blended([under, over], { width, height }) {
  const image = new ImageData(width, height);
  const { data } = image;
  const [unders, overs] = [under.opacities, over.opacities];
  for (let at = 0; at < unders.length; at++) {
    const above = overs[at];
    const below = unders[at] * (1 - above);
    const sum = above + below;
    if (sum === 0) continue;
    for (let c = 0; c < 3; c++) data[4 * at + c] = (over.color[c] * above + under.color[c] * below) / sum;
    data[4 * at + 3] = 255 * sum;
  }
  return image;
}
