// Packed files: what docs/format.md says of them, and no more. Each is records by column, in gzip.

const MAGIC = 0x4b50534e; // NSPK
const VERSION = 1;
const HEAD = 17; // bytes: magic, version, build, checksum
const [ABSENT, NULL] = [0, 1]; // states of a row, and 2 where it is there
const HAS_STATES = 0x80;
const COSINE_STEPS = 10000;
const STEPS_OF_OCTAVE = 8;
const HAS_COLUMNS = new Set([8, 9, 10]); // kinds
const SAME = 13;
const WORTH_NAMING = 8; // bytes
const GZIP = 0x8b1f;

const utf8 = new TextDecoder("utf-8", { ignoreBOM: true });
const absent = Symbol("absent");

/** A number of `digits` that an f32 holds. */
const rounded = (single, digits) => Number(single.toPrecision(digits));

/** The number with the fewest digits that is nearest to an f32. */
function shortest(single) {
  for (let digits = 1; digits < 9; digits += 1) {
    const number = rounded(single, digits);
    if (Math.fround(number) === single) return number;
  }
  return rounded(single, 9);
}

/** A count of which the logarithm was kept. */
const coarse = (code) => (code === 0 ? 0 : Math.round(2 ** ((code - 1) / STEPS_OF_OCTAVE)));

class Bytes {
  constructor(bytes) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = 0;
    this.columns = []; // that may be named again
  }

  byte() {
    if (this.at >= this.bytes.length) throw new Error("it is cut off");
    return this.bytes[this.at++];
  }

  take(n) {
    if (this.at + n > this.bytes.length) throw new Error("it is cut off");
    this.at += n;
    return this.bytes.subarray(this.at - n, this.at);
  }

  /** Seven bits a byte, the lowest first. */
  unsigned() {
    let [n, unit] = [0, 1];
    for (;;) {
      const byte = this.byte();
      n += (byte & 0x7f) * unit;
      if (byte < 0x80) return n;
      unit *= 0x80;
    }
  }

  signed() {
    const n = this.unsigned();
    return n % 2 === 0 ? n / 2 : -(n + 1) / 2;
  }

  times(n, read) {
    if (n > this.bytes.length * 8) throw new Error("it is damaged");
    return Array.from({ length: n }, () => read());
  }

  text(length) {
    return utf8.decode(this.take(length));
  }

  /** Numbers of `size` bytes, byte by byte, the lowest first; below them are zeros up to `whole`. */
  planes(n, size, whole, read) {
    const planes = this.take(n * size);
    const one = new DataView(new ArrayBuffer(whole));
    return Array.from({ length: n }, (_, row) => {
      for (let plane = 0; plane < size; plane += 1) one.setUint8(whole - size + plane, planes[plane * n + row]);
      return read(one);
    });
  }

  /** Integers of `size` bytes that are not negative, byte by byte, the lowest first. */
  naturals(n, size) {
    const planes = this.take(n * size);
    return Array.from({ length: n }, (_, row) => {
      let natural = 0;
      for (let plane = size - 1; plane >= 0; plane -= 1) natural = natural * 256 + planes[plane * n + row];
      return natural;
    });
  }

  /** The values of a kind of column, in `n` rows. */
  values(kind, n) {
    switch (kind) {
      case 0: return [];
      case 1: return this.times(n, () => this.byte() === 1);
      case 2: return this.times(n, () => this.signed());
      case 3: return this.planes(n, 4, 4, (one) => rounded(one.getFloat32(0, true), 6));
      case 4: return this.planes(n, 8, 8, (one) => one.getFloat64(0, true));
      case 5: return this.planes(n, 4, 4, (one) => shortest(one.getFloat32(0, true)));
      case 6: return this.planes(n, 3, 4, (one) => rounded(one.getFloat32(0, true), 6));
      case 7: return this.texts(n);
      case 8: return this.objects(n);
      case 9: return this.lists(n);
      case 10: return this.tuples(n);
      case 11: return this.runs(n);
      case 12: return this.planes(n, 2, 2, (one) => one.getInt16(0, true) / COSINE_STEPS);
      case 14: return this.times(n, () => coarse(this.byte()));
      case 15: return this.naturals(n, this.byte());
      default: throw new Error(`it has a column of kind ${kind}`);
    }
  }

  texts(n) {
    const lengths = this.times(this.unsigned(), () => this.unsigned());
    const texts = lengths.map((length) => this.text(length));
    return this.times(n, () => texts[this.unsigned()]);
  }

  objects(n) {
    const all = this.times(n, () => ({}));
    for (let fields = this.unsigned(); fields > 0; fields -= 1) {
      const name = this.text(this.unsigned());
      this.column(n).forEach((value, row) => {
        if (value !== absent) all[row][name] = value;
      });
    }
    return all;
  }

  lists(n) {
    const lengths = this.times(n, () => this.unsigned());
    const elements = this.column(lengths.reduce((sum, length) => sum + length, 0));
    let end = 0;
    return lengths.map((length) => elements.slice(end, (end += length)));
  }

  tuples(n) {
    const parts = this.times(this.unsigned(), () => this.column(n));
    return Array.from({ length: n }, (_, row) => parts.map((part) => part[row]));
  }

  runs(n) {
    const lengths = this.times(n, () => this.unsigned());
    return lengths.map((length) => this.take(length));
  }

  column(n) {
    const from = this.at;
    const head = this.byte();
    if (head === SAME) return this.named(this.unsigned());
    const values = this.whole(head, n);
    if (!HAS_COLUMNS.has(head & ~HAS_STATES) && this.at - from >= WORTH_NAMING) this.columns.push(values);
    return values;
  }

  /** An earlier column. */
  named(number) {
    if (number >= this.columns.length) throw new Error("it is damaged");
    return this.columns[number];
  }

  whole(head, n) {
    const kind = head & ~HAS_STATES;
    if (kind === head) return this.values(kind, n);
    const states = this.take(n);
    const there = this.values(kind, states.filter((state) => state > NULL).length);
    let next = 0;
    return Array.from(states, (state) => (state === ABSENT ? absent : state === NULL ? null : there[next++]));
  }
}

const TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  let crc = n;
  for (let bit = 0; bit < 8; bit += 1) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  return crc;
});

function crc32(bytes) {
  let crc = ~0;
  for (const byte of bytes) crc = TABLE[(crc ^ byte) & 0xff] ^ (crc >>> 8);
  return ~crc >>> 0;
}

/** What gzip made of some bytes; the bytes themselves if a host has already unpacked them. */
export async function unpacked(bytes) {
  if (bytes.length < 2 || (bytes[0] | (bytes[1] << 8)) !== GZIP) return bytes;
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  try {
    return new Uint8Array(await new Response(stream).arrayBuffer());
  } catch {
    throw new Error("it is damaged or cut off");
  }
}

const isPack = (bytes) => bytes.length >= 4 && new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) === MAGIC;

/** What a file of a packed model holds: JSON in gzip, or one packed record. */
export async function dataOf(packed) {
  const bytes = await unpacked(packed);
  return isPack(bytes) ? (await recordsOf(bytes)).records[0] : JSON.parse(utf8.decode(bytes));
}

/** The records of a packed file, and the build that it is of. Throws what is wrong with it. */
export async function recordsOf(packed) {
  const bytes = await unpacked(packed);
  if (!isPack(bytes) || bytes.length < HEAD) throw new Error("it is not a packed file, or it is cut off");
  const head = new DataView(bytes.buffer, bytes.byteOffset, HEAD);
  const version = head.getUint8(4);
  if (version !== VERSION) throw new Error(`it is of version ${version}, and this page reads ${VERSION}`);
  const content = bytes.subarray(HEAD);
  if (crc32(content) !== head.getUint32(13, true)) throw new Error("it is damaged or cut off");
  const build = Array.from(bytes.subarray(5, 13), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const reader = new Bytes(content);
  return { build, records: reader.column(reader.unsigned()) };
}
