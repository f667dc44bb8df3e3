const NAMED = new Map([["\n", "↵"], ["\t", "→"], ["\r", "␍"], ["\x7f", "␡"]]);
const UNSEEN = /[\u0080-\u00a0\u00ad\u061c\u1680\u2000-\u200f\u2028-\u202f\u205f-\u206f\u3000\ufeff\ufff9-\ufffb]/u;
export function visible(text) {
let out = "";
for (const c of text) {
const code = c.codePointAt(0);
if (NAMED.has(c)) out += NAMED.get(c);
else if (code < 0x20) out += String.fromCodePoint(0x2400 + code);
else if (UNSEEN.test(c)) out += `⟨${code.toString(16).toUpperCase().padStart(4, "0")}⟩`;
else out += c;
}
return out;
}
export const tokenText = (text) => visible(text).replaceAll(" ", "␣") || "∅";
const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const hex = (byte) => byte.toString(16).toUpperCase().padStart(2, "0");
export const hexOf = (bytes) => Array.from(bytes, hex).join(" ");
function characterAt(bytes, at) {
const first = bytes[at];
if (first < 0x80) return String.fromCharCode(first);
const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
try {
return utf8.decode(bytes.subarray(at, at + length));
} catch {
return undefined;
}
}
const lengthOf = (character) => {
const code = character.codePointAt(0);
return code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
};
export function cells(tokens) {
const bytes = new Uint8Array(tokens.reduce((sum, token) => sum + token.length, 0));
const out = [];
let [end, at, from, text] = [0, 0, 0, ""];
for (const token of tokens) {
bytes.set(token, end);
end += token.length;
}
end = 0;
tokens.forEach((token, i) => {
end += token.length;
while (at < end) {
const character = characterAt(bytes, at);
text += character === undefined ? `⟨${hex(bytes[at])}⟩` : visible(character);
at += character === undefined ? 1 : lengthOf(character);
}
if (at > end) return; // the next token has the rest of the character
out.push({ from, until: i + 1, text });
[from, text] = [i + 1, ""];
});
return out;
}
export function shade(value, max) {
const level = value === null || !max ? 0 : Math.round((8 * Math.abs(value)) / max);
return level === 0 ? "" : `${value < 0 ? "n" : "p"}${Math.min(level, 8)}`;
}
export function number(value) {
if (value === null || value === undefined) return "–";
if (value === 0) return "0";
const [digits, power] = value.toExponential(2).split("e");
const exponent = Number(power);
if (exponent < -3 || exponent >= 6) return `${digits}e${exponent}`;
return exponent >= 3 ? value.toFixed(0) : Number(`${digits}e${power}`).toFixed(2 - exponent);
}
export const signed = (value) => `${value > 0 ? "+" : ""}${number(value)}`;
export function percent(share) {
if (share === null || share === undefined) return "–";
return `${number(share * 100)} %`;
}
export const measured = (value, unit) => (unit === "share" ? percent : number)(value);
export const count = (n) => (n < 10000 ? String(n) : String(n).replace(/\B(?=(\d{3})+$)/g, "\u202f"));
