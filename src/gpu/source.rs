//! The numbers that the kernels' source defines, for the host.

/// A number that the kernels' source defines, so that it stands in one place.
pub(super) const fn defined(name: &str) -> usize {
    let (text, name) = (include_str!("kernels.cu").as_bytes(), name.as_bytes());
    let head = b"#define ";
    let mut at = 0;
    while at + head.len() + name.len() < text.len() {
        if is_at(text, at, head) && is_at(text, at + head.len(), name) {
            let mut digit = at + head.len() + name.len();
            if text[digit] == b' ' {
                digit += 1;
                let mut number = 0;
                assert!(text[digit].is_ascii_digit());
                while text[digit].is_ascii_digit() {
                    number = number * 10 + (text[digit] - b'0') as usize;
                    digit += 1;
                }
                return number;
            }
        }
        at += 1;
    }
    panic!("the kernels define no such number")
}

const fn is_at(text: &[u8], at: usize, wanted: &[u8]) -> bool {
    let mut i = 0;
    while i < wanted.len() {
        if text[at + i] != wanted[i] {
            return false;
        }
        i += 1;
    }
    true
}
