// Colours as people see them. A colour is [red, green, blue] of sRGB, 0 to 255.

const linear = (color) => color.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
const times = (matrix, vector) => matrix.map((row) => row.reduce((sum, x, i) => sum + x * vector[i], 0));

/** WCAG 2: contrast of two colours, 1 to 21. */
export function contrast(a, b) {
  const [high, low] = [a, b].map((color) => times([[0.2126, 0.7152, 0.0722]], linear(color))[0]).sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
}

// Machado, Oliveira and Fernandes, "A physiologically-based model for simulation of color vision deficiency" (IEEE TVCG
// 15(6), 2009), severity 1.0: https://www.inf.ufrgs.br/~oliveira/pubs_files/CVD_Simulation/CVD_Simulation.html
export const VISIONS = {
  "common vision": [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
  protanopia: [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
  deuteranopia: [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.01182, 0.04294, 0.968881]],
  tritanopia: [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.3039]],
};

// Ottosson, "A perceptual color space for image processing" (2020): https://bottosson.github.io/posts/oklab/
const LMS = [[0.4122214708, 0.5363325363, 0.0514459929], [0.2119034982, 0.6806995451, 0.1073969566], [0.0883024619, 0.2817188376, 0.6299787005]];
const LAB = [[0.2104542553, 0.793617785, -0.0040720468], [1.9779984951, -2.428592205, 0.4505937099], [0.0259040371, 0.7827717662, -0.808675766]];

/** How far apart two colours are to somebody's eyes: their distance in OKLab, of which about 0.02 is just seen. */
export function difference(a, b, vision) {
  const seen = (color) => times(vision, linear(color)).map((c) => Math.min(1, Math.max(0, c)));
  const [p, q] = [a, b].map((color) => times(LAB, times(LMS, seen(color)).map(Math.cbrt)));
  return Math.hypot(...p.map((x, i) => x - q[i]));
}
