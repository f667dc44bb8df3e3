// Tokens as people can read them: the same rules as src/site/display.rs.

const NAMED = new Map([["\n", "↵"], ["\t", "→"], ["\r", "␍"], ["\x7f", "␡"]]);
const UNSEEN = /[\u0080-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/u;

/** Text with nothing invisible. */
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

const bytesOf = (hex) => hex.match(/../g).map((pair) => parseInt(pair, 16));
const lengthOf = (byte) => (byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1);

/**
 * What to show for each token. Tokens that hold pieces of one character show it where it begins; the other pieces
 * show nothing of their own. `bytes` are the record's, for the tokens that need it.
 */
export function shown(tokens, bytes = {}) {
  const out = tokens.map((token) => ({ text: visible(token), piece: false }));
  for (let from = 0; from < tokens.length; from++) {
    if (!(from in bytes)) continue;
    let until = from;
    const run = []; // [byte, token]
    while (until < tokens.length && until in bytes) {
      for (const byte of bytesOf(bytes[until])) run.push([byte, until]);
      out[until++] = { text: "", piece: true };
    }
    for (let at = 0; at < run.length; ) {
      const [first, owner] = run[at];
      const piece = run.slice(at, at + lengthOf(first)).map(([byte]) => byte);
      let text;
      try {
        text = visible(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(new Uint8Array(piece)));
        at += piece.length;
      } catch {
        text = `⟨${first.toString(16).toUpperCase().padStart(2, "0")}⟩`; // the rest of the character is not here
        at += 1;
      }
      out[owner] = { text: out[owner].text + text, piece: false };
    }
    from = until;
  }
  return out;
}

/** Shade of a value on a scale that is symmetric around 0: `p8` is +max, `n8` is −max. */
export function shade(value, max) {
  const level = value === null || !max ? 0 : Math.round((8 * Math.abs(value)) / max);
  return level === 0 ? "" : `${value < 0 ? "n" : "p"}${Math.min(level, 8)}`;
}

/** A number with three significant digits. */
export function number(value) {
  if (value === null || value === undefined) return "–";
  const magnitude = Math.abs(value);
  if (magnitude === 0) return "0";
  if (magnitude < 1e-4 || magnitude >= 1e6) return value.toExponential(2);
  return value.toFixed(Math.max(0, 2 - Math.floor(Math.log10(magnitude))));
}
