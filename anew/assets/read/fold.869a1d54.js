const LEFT_OUT = /[\u{ad}\u{300}-\u{36f}\u{591}-\u{5bd}\u{5bf}\u{5c1}\u{5c2}\u{5c4}\u{5c5}\u{5c7}\u{610}-\u{61a}\u{640}\u{64b}-\u{65f}\u{670}\u{6d6}-\u{6dc}\u{6df}-\u{6e4}\u{6e7}\u{6e8}\u{6ea}-\u{6ed}\u{180b}-\u{180d}\u{1ab0}-\u{1aff}\u{1dc0}-\u{1dff}\u{200b}\u{200d}\u{2060}\u{20d0}-\u{20ff}\u{fe00}-\u{fe0f}\u{fe20}-\u{fe2f}\u{feff}\u{e0100}-\u{e01ef}]/u;
const WITHOUT_STROKE = { ø: "o", ł: "l", đ: "d", ħ: "h", ŧ: "t", æ: "ae", œ: "oe" };
const small = (c) => Array.from(c.toLowerCase().toUpperCase(), (capital) => capital.toLowerCase()).join("");
function foldCharacter(c) {
const parts = Array.from(c.normalize("NFKD"));
if (parts.length > 1 && parts[0] === " ") return c; // a standalone accent is not a space
const kept = parts.filter((part) => !LEFT_OUT.test(part));
return Array.from(kept.map(small).join(""), (letter) => WITHOUT_STROKE[letter] ?? letter).join("");
}
export const fold = (text) => text.replace(/[A-Z]|[^\0-\x7f]/gu, foldCharacter);
const SPACELESS = String.raw`[\p{scx=Han}\p{scx=Hiragana}\p{scx=Katakana}\p{scx=Thai}\p{scx=Lao}\p{scx=Khmer}\p{scx=Myanmar}\p{scx=Tai_Le}\p{scx=New_Tai_Lue}\p{scx=Tai_Tham}\p{scx=Tai_Viet}\p{scx=Ahom}]`;
const UNIT = new RegExp(String.raw`([[\p{L}\p{N}]&&${SPACELESS}][\p{M}&&${SPACELESS}]*|[\p{M}&&${SPACELESS}]+)|[[\p{L}\p{M}\p{N}]--${SPACELESS}]+`, "gv");
const LONGEST = 32; // characters of a word that is indexed
export function words(text) {
const units = Array.from(fold(text).matchAll(UNIT), ({ 0: unit, 1: spaceless, index }) => ({ unit, spaceless: spaceless !== undefined, from: index, until: index + unit.length }));
const touch = (before, next) => before?.spaceless && next?.spaceless && before.until === next.from;
const found = units.flatMap((unit, i) => {
if (touch(units[i - 1], unit)) return [units[i - 1].unit + unit.unit];
return touch(unit, units[i + 1]) ? [] : [unit.unit]; // the first of a pair is in it
});
return found.filter((word) => [...word].length <= LONGEST);
}
