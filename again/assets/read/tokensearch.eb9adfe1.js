import { FILES } from "../base/address.d2b61dda.js";
import { element } from "../base/dom.951b2e7b.js";
import { count, tokenText } from "./tokens.7e7233e7.js";
const SHOWN = 200; // results
const MOST_FILES = 5; // of names, that one query loads
const bare = (text) => text.replace(/^ +(?=[^ ])/, "");
export const key = (text) => bare(text).toLowerCase();
const fold = (text) => text.toLowerCase().replaceAll("ς", "σ");
const TYPED = /\\([nt#\\␣∅⟨↵→\u2400-\u2421])|([␣↵→␡\u2400-\u241f])|⟨([0-9A-F]{4})⟩/g;
const SPELLED = new Map([["n", "\n"], ["t", "\t"]]);
const STANDS_FOR = new Map([["␣", " "], ["↵", "\n"], ["→", "\t"], ["␡", "\x7f"]]);
export function parseQuery(typed, whole = false) {
const id = /^\s*#(\d+)\s*$/.exec(typed)?.[1];
if (id) return { id: Number(id) };
const text = typed.replace(TYPED, (_, escaped, sign, code) => {
if (escaped) return SPELLED.get(escaped) ?? escaped;
if (sign) return STANDS_FOR.get(sign) ?? String.fromCodePoint(sign.codePointAt(0) - 0x2400);
return String.fromCodePoint(parseInt(code, 16));
});
return { text, whole, caseCounts: text !== text.toLowerCase() };
}
export function matches(text, query) {
const same = query.caseCounts ? (x) => x : fold;
const sought = same(query.text);
const fits = (x) => (query.whole ? same(x) === sought : same(x).startsWith(sought));
return fits(text) || (!query.text.startsWith(" ") && fits(bare(text)));
}
export function order(tokens, query) {
const [exact, folded] = [bare(query.text), fold(bare(query.text))];
const rank = (text) => (text === query.text ? 0 : bare(text) === exact ? 1 : fold(bare(text)) === folded ? 2 : 3);
return tokens
.map((token) => ({ token, rank: rank(token[1]) }))
.sort((a, b) => a.rank - b.rank || a.token[1].length - b.token[1].length || a.token[0] - b.token[0])
.map(({ token }) => token);
}
export function filesOf(names, { text, whole }) {
const [low, high] = [key(text).replaceAll("σ", "ς"), key(text).replaceAll("ς", "σ")];
const all = names.map((_, i) => i);
const files = all.filter((i) => (i + 1 === names.length || names[i + 1] >= low) && (names[i] <= high || (!whole && names[i].startsWith(high))));
return /^ +$/.test(text) && !whole ? [...new Set([...files, ...all])] : files;
}
export const tokenNodes = ([id, text]) =>
text === undefined ? [`#${id}`] : [element("span", { class: "token" }, tokenText(text)), " ", element("small", {}, `#${id}`)];
export function summary({ n, searched, of }, { id, whole }, shown = SHOWN) {
if (id !== undefined) return n === 0 ? "There is no such token" : "1 token";
const some = searched < of;
const rest = some ? `; ${searched} of ${of} files were searched, type more to search the others` : "";
if (n === 0) return `${some ? "No token found so far" : `No token ${whole ? "is" : "begins with"} this`}${rest}`;
const what = `${some ? "At least " : ""}${count(n)} ${n === 1 ? "token" : "tokens"}`;
const how = whole ? (n === 1 ? "is" : "are") : n === 1 ? "begins with" : "begin with";
return `${what} ${how} this${n > shown ? `, the first ${shown} shown` : ""}${rest}`;
}
export async function tokenOf(read, id) {
const { n_tokens, tokens_per_file } = await read(FILES.tokens);
if (id >= n_tokens) throw new Error(`There is no token ${id}: ids are 0 to ${n_tokens - 1}`);
const first = Math.floor(id / tokens_per_file) * tokens_per_file;
return (await read(FILES.tokensFrom(first))).tokens[id - first];
}
export async function findTokens(read, query, { shown = SHOWN, mostFiles = MOST_FILES } = {}) {
if (query.id !== undefined) return { tokens: [[query.id, (await tokenOf(read, query.id)).text]], n: 1, searched: 1, of: 1 };
if (query.text === "") return { tokens: [], n: 0, searched: 0, of: 0 };
const files = filesOf((await read(FILES.tokens)).names, query);
const names = await Promise.all(files.slice(0, mostFiles).map((i) => read(FILES.tokenNames(i))));
const found = names.flatMap(({ tokens }) => tokens).filter(([, text]) => matches(text, query));
return { tokens: order(found, query).slice(0, shown), n: found.length, searched: names.length, of: files.length };
}
