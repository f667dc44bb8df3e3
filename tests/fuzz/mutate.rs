//! Damage, the same for the same number.

use serde_json::{Map, Value, json};

/// Numbers that look random (SplitMix64).
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// A number below `n`, which is not 0.
    pub fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    pub fn of<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

/// Numbers at which readers go wrong.
const EDGES: [u64; 16] = [
    0,
    1,
    2,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0xFFFF,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1_0000_0000,
    0x7FFF_FFFF_FFFF_FFFF,
    0x8000_0000_0000_0000,
    0xFFFF_FFFF_FFFF_FFF0,
    0xFFFF_FFFF_FFFF_FFFF,
];

/// Damages bytes once to four times.
pub fn bytes(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = seed.to_vec();
    for _ in 0..1 + random.below(4) {
        once(&mut out, random);
    }
    out
}

/// Damages the first `n` bytes, where lengths and types stand, and now and then the rest.
pub fn head(seed: &[u8], n: usize, random: &mut Random) -> Vec<u8> {
    if random.below(4) == 0 {
        return bytes(seed, random);
    }
    let (head, rest) = seed.split_at(n.min(seed.len()));
    [&bytes(head, random), rest].concat()
}

fn once(out: &mut Vec<u8>, random: &mut Random) {
    if out.is_empty() {
        out.push(random.next() as u8);
        return;
    }
    let at = random.below(out.len());
    let len = 1 + random.below(16).min(out.len() - at - 1);
    match random.below(8) {
        0 => out[at] ^= 1 << random.below(8),
        1 => out[at] = random.next() as u8,
        2 | 3 => {
            let width = *random.of(&[1, 2, 4, 8]);
            let edge = random.of(&EDGES).to_le_bytes();
            for (to, from) in out[at..].iter_mut().zip(&edge[..width]) {
                *to = *from;
            }
        }
        4 => out.truncate(at),
        5 => drop(out.drain(at..at + len)),
        6 => {
            let piece = out[at..at + len].to_vec();
            let times = *random.of(&[1, 2, 100]);
            let more: Vec<u8> = (0..times).flat_map(|_| piece.clone()).collect();
            let to = random.below(out.len() + 1);
            out.splice(to..to, more);
        }
        _ => {
            let byte = *random.of(&[0, 0xFF, b' ', b'"', b'{', b'[', b'-', b'9']);
            out[at..at + len].fill(byte);
        }
    }
}

/// Damages JSON: in four of five cases some values of it, else its bytes.
pub fn json(seed: &[u8], random: &mut Random) -> Vec<u8> {
    let mut value: Value = serde_json::from_slice(seed).unwrap();
    if random.below(5) == 0 {
        return bytes(seed, random);
    }
    for _ in 0..1 + random.below(3) {
        let n = count(&value);
        let mut at = random.below(n);
        change(&mut value, &mut at, random);
    }
    serde_json::to_vec(&value).unwrap()
}

/// The number of values in a value, itself included.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count).sum(),
        Value::Object(fields) => fields.values().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value that is `at` steps ahead; answers whether it was reached.
fn change(value: &mut Value, at: &mut usize, random: &mut Random) -> bool {
    if *at == 0 {
        *value = odd(value, random);
        return true;
    }
    *at -= 1;
    match value {
        Value::Array(items) => items.iter_mut().any(|item| change(item, at, random)),
        Value::Object(fields) => fields.values_mut().any(|item| change(item, at, random)),
        _ => false,
    }
}

/// Something that does not belong there, or no longer does.
fn odd(value: &Value, random: &mut Random) -> Value {
    let deep = |n: usize| (0..n).fold(json!(0), |inner, _| json!([inner]));
    match (random.below(12), value) {
        (0, _) => Value::Null,
        (1, _) => json!([]),
        (2, _) => json!({}),
        (3, _) => json!(*random.of(&EDGES)),
        (4, _) => json!(*random.of(&[-1.0, 0.5, 1e300, -1e-300, 4_294_967_296.5])),
        (5, _) => json!(*random.of(&[
            "",
            "..",
            "../../x",
            "/etc/passwd",
            "a\0b",
            "\u{202e}",
            "NaN",
            "1e999"
        ])),
        (6, _) => json!("x".repeat(100_000)),
        (7, _) => deep(100),
        (8, Value::Object(fields)) if !fields.is_empty() => {
            let mut fields = fields.clone();
            let key = fields.keys().nth(random.below(fields.len())).cloned();
            fields.remove(&key.unwrap());
            Value::Object(fields)
        }
        (8 | 9, Value::Array(items)) if !items.is_empty() => {
            let mut items = items.clone();
            match random.below(2) {
                0 => drop(items.remove(random.below(items.len()))),
                _ => items.push(random.of(&items.clone()).clone()),
            }
            Value::Array(items)
        }
        (9, Value::Object(fields)) => {
            let mut out = Map::new();
            out.extend(
                fields
                    .iter()
                    .map(|(key, value)| (key.to_uppercase(), value.clone())),
            );
            Value::Object(out)
        }
        (_, Value::Number(number)) => {
            let number = number.as_i64().unwrap_or(3);
            json!(number.saturating_add(*random.of(&[-1, 1, 1000, 1 << 40])))
        }
        (_, Value::String(text)) => {
            let mut text = text.clone().into_bytes();
            once(&mut text, random);
            json!(String::from_utf8_lossy(&text))
        }
        (_, Value::Bool(is)) => json!(!is),
        (_, value) => json!([value, value]),
    }
}
