//! A machine for the pickles of state dictionaries. It executes nothing: a call is kept as what is called, with its
//! arguments.
//!
//! Objects lie side by side and refer to each other by number, so what is nested or repeated, however deep or often,
//! costs no more than the bytes that say so, and nothing here calls itself.

use std::collections::HashMap;

use super::Cause;

/// Length of a pickle; the dictionary of a model of 1,000 tensors takes 0.2 MB.
pub(super) const MOST_BYTES: u64 = 32 << 20;

/// Most steps of a pickle. Each step makes at most one object.
const MOST_STEPS: usize = 1 << 21;

/// Bytes of the name of a class or function, with its module's.
const MOST_GLOBAL: usize = 256;

/// A number of an object.
pub(super) type Id = u32;

#[derive(Debug)]
pub(super) enum Object {
    /// What is not looked at.
    Other,
    Integer(i64),
    Text(String),
    /// Module and name of a class or function.
    Global(String),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    /// What is called, and with what.
    Call(Id, Id),
    /// What the archive keeps beside the pickle.
    Persistent(Id),
}

/// The objects of a pickle.
pub(super) struct Objects {
    objects: Vec<Object>,
    pub(super) whole: Id,
}

impl Objects {
    pub(super) fn get(&self, id: Id) -> &Object {
        self.objects.get(id as usize).unwrap_or(&Object::Other)
    }

    pub(super) fn tuple(&self, id: Id) -> Option<&[Id]> {
        match self.get(id) {
            Object::Tuple(items) => Some(items),
            _ => None,
        }
    }

    pub(super) fn text(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn global(&self, id: Id) -> Option<&str> {
        match self.get(id) {
            Object::Global(name) => Some(name),
            _ => None,
        }
    }

    pub(super) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Integer(n) => usize::try_from(*n).ok(),
            _ => None,
        }
    }
}

struct Machine<'a> {
    bytes: &'a [u8],
    objects: Vec<Object>,
    stack: Vec<Id>,
    /// Lengths that the stack had at its marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Id>,
    /// Items of lists that were looked at for pairs so far.
    looked_at: usize,
}

/// Reads a pickle.
pub(super) fn read(bytes: &[u8]) -> Result<Objects, Cause> {
    let mut machine = Machine {
        bytes,
        objects: Vec::new(),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
        looked_at: 0,
    };
    for _ in 0..MOST_STEPS {
        if machine.step()? {
            let whole = machine.pop()?;
            return Ok(Objects {
                objects: machine.objects,
                whole,
            });
        }
    }
    Err(format!("its pickle has more than {MOST_STEPS} steps").into())
}

impl<'a> Machine<'a> {
    fn take(&mut self, n: u64) -> Result<&'a [u8], Cause> {
        let parts = usize::try_from(n)
            .ok()
            .and_then(|n| self.bytes.split_at_checked(n));
        let (taken, rest) = parts.ok_or("its pickle is cut off")?;
        self.bytes = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Cause> {
        let mut bytes = [0; N];
        bytes.copy_from_slice(self.take(N as u64)?);
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8, Cause> {
        Ok(self.array::<1>()?[0])
    }

    fn u32(&mut self) -> Result<u32, Cause> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Cause> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn line(&mut self) -> Result<&'a str, Cause> {
        let end = self.bytes.iter().position(|byte| *byte == b'\n');
        let line = self.take(end.ok_or("its pickle is cut off")? as u64 + 1)?;
        Ok(std::str::from_utf8(line)?.trim_end())
    }

    fn push(&mut self, object: Object) {
        self.stack.push(self.objects.len() as Id);
        self.objects.push(object);
    }

    fn push_text(&mut self, length: u64) -> Result<(), Cause> {
        let text = String::from_utf8_lossy(self.take(length)?).into_owned();
        self.push(Object::Text(text));
        Ok(())
    }

    fn pop(&mut self) -> Result<Id, Cause> {
        let bottom = self.marks.last().copied().unwrap_or(0);
        match self.stack.len() > bottom {
            true => self.stack.pop().ok_or_else(|| "its stack is empty".into()),
            false => Err("its stack is empty".into()),
        }
    }

    fn top(&mut self) -> Result<&mut Object, Cause> {
        let top = self.stack.last().map(|id| *id as usize);
        let top = top.and_then(|id| self.objects.get_mut(id));
        top.ok_or_else(|| "its stack is empty".into())
    }

    fn pop_to_mark(&mut self) -> Result<Vec<Id>, Cause> {
        let mark = self.marks.pop().ok_or("a mark is missing")?;
        Ok(self.stack.split_off(mark))
    }

    fn push_tuple(&mut self, n: usize) -> Result<(), Cause> {
        let mut items = Vec::with_capacity(n);
        for _ in 0..n {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Object::Tuple(items));
        Ok(())
    }

    fn remember(&mut self, key: u32) -> Result<(), Cause> {
        let top = *self.stack.last().ok_or("its stack is empty")?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> Result<(), Cause> {
        let known = self.memo.get(&key).copied();
        self.stack
            .push(known.ok_or("it refers to what is not there")?);
        Ok(())
    }

    fn set_items(&mut self, items: &[Id]) -> Result<(), Cause> {
        // objects of other classes are not state dictionaries, but may stand beside one
        if let Object::Dict(pairs) = self.top()? {
            let (whole, rest) = items.as_chunks::<2>();
            if !rest.is_empty() {
                return Err("a key has no value".into());
            }
            pairs.extend(whole.iter().map(|[key, value]| (*key, *value)));
        }
        Ok(())
    }

    fn append(&mut self, items: &[Id]) -> Result<(), Cause> {
        if let Object::List(list) = self.top()? {
            list.extend(items);
        }
        Ok(())
    }

    /// A call; of a dictionary, what it makes.
    fn call(&mut self) -> Result<(), Cause> {
        let (arguments, called) = (self.pop()?, self.pop()?);
        let name = match self.objects.get(called as usize) {
            Some(Object::Global(name)) => name.as_str(),
            _ => "",
        };
        let object = match name {
            "collections.OrderedDict" | "collections.defaultdict" | "builtins.dict" => {
                Object::Dict(self.pairs(arguments)?)
            }
            _ => Object::Call(called, arguments),
        };
        self.push(object);
        Ok(())
    }

    /// The pairs that a dictionary is made of, as Python 2 wrote it. A list costs as much each time as it is long, however
    /// few bytes refer to it.
    fn pairs(&mut self, arguments: Id) -> Result<Vec<(Id, Id)>, Cause> {
        let items = |id: Id| match self.objects.get(id as usize) {
            Some(Object::Tuple(items) | Object::List(items)) => items.as_slice(),
            _ => &[],
        };
        let (mut pairs, mut looked_at) = (Vec::new(), self.looked_at);
        for list in items(arguments) {
            looked_at += 1 + items(*list).len();
            if looked_at > MOST_STEPS {
                return Err(format!("its pickle has more than {MOST_STEPS} pairs").into());
            }
            for pair in items(*list) {
                if let [key, value] = items(*pair) {
                    pairs.push((*key, *value));
                }
            }
        }
        self.looked_at = looked_at;
        Ok(pairs)
    }

    fn push_global(&mut self, module: &str, name: &str) -> Result<(), Cause> {
        if module.len() + name.len() > MOST_GLOBAL {
            return Err(
                format!("the name of a class in it is longer than {MOST_GLOBAL} bytes").into(),
            );
        }
        self.push(Object::Global(format!("{module}.{name}")));
        Ok(())
    }

    /// Runs one step. Returns whether it was the last.
    fn step(&mut self) -> Result<bool, Cause> {
        match self.byte()? {
            b'.' => return Ok(true),
            // PROTO and FRAME
            0x80 => drop(self.byte()?),
            0x95 => drop(self.u64()?),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => match self.stack.len() == self.marks.last().copied().unwrap_or(0) {
                true => drop(self.marks.pop()),
                false => drop(self.pop()?),
            },
            b'1' => drop(self.pop_to_mark()?),
            b'2' => {
                let top = *self.stack.last().ok_or("its stack is empty")?;
                self.stack.push(top);
            }
            // None, True, False, floats, bytes and sets
            b'N' | 0x88 | 0x89 | 0x8f => self.push(Object::Other),
            b'G' => {
                self.take(8)?;
                self.push(Object::Other);
            }
            b'C' => {
                let n = self.byte()?;
                self.take(n.into())?;
                self.push(Object::Other);
            }
            b'B' => {
                let n = self.u32()?;
                self.take(n.into())?;
                self.push(Object::Other);
            }
            0x8e | 0x96 => {
                let n = self.u64()?;
                self.take(n)?;
                self.push(Object::Other);
            }
            0x90 => drop(self.pop_to_mark()?),
            0x91 => {
                self.pop_to_mark()?;
                self.push(Object::Other);
            }
            b'K' => {
                let n = self.byte()?;
                self.push(Object::Integer(n.into()));
            }
            b'M' => {
                let n = u16::from_le_bytes(self.array()?);
                self.push(Object::Integer(n.into()));
            }
            b'J' => {
                let n = i32::from_le_bytes(self.array()?);
                self.push(Object::Integer(n.into()));
            }
            0x8a => {
                let n = self.byte()?;
                let digits = self.take(n.into())?;
                self.push(integer(digits));
            }
            0x8b => {
                let n = self.u32()?;
                let digits = self.take(n.into())?;
                self.push(integer(digits));
            }
            0x8c | b'U' => {
                let n = self.byte()?;
                self.push_text(n.into())?;
            }
            b'X' | b'T' => {
                let n = self.u32()?;
                self.push_text(n.into())?;
            }
            0x8d => {
                let n = self.u64()?;
                self.push_text(n)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push_global(module, name)?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let text = |id: Id| match self.objects.get(id as usize) {
                    Some(Object::Text(text)) if text.len() <= MOST_GLOBAL => Ok(text.clone()),
                    Some(Object::Text(_)) => Err("the name of a class in it is too long"),
                    _ => Err("the name of a class is not a text"),
                };
                let (module, name) = (text(module)?, text(name)?);
                self.push_global(&module, &name)?;
            }
            b')' => self.push(Object::Tuple(Vec::new())),
            0x85 => self.push_tuple(1)?,
            0x86 => self.push_tuple(2)?,
            0x87 => self.push_tuple(3)?,
            b't' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Tuple(items));
            }
            b']' => self.push(Object::List(Vec::new())),
            b'l' => {
                let items = self.pop_to_mark()?;
                self.push(Object::List(items));
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_to_mark()?;
                self.append(&items)?;
            }
            b'}' => self.push(Object::Dict(Vec::new())),
            b'd' => {
                let items = self.pop_to_mark()?;
                self.push(Object::Dict(Vec::new()));
                self.set_items(&items)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let items = self.pop_to_mark()?;
                self.set_items(&items)?;
            }
            b'q' => {
                let key = self.byte()?;
                self.remember(key.into())?;
            }
            b'r' => {
                let key = self.u32()?;
                self.remember(key)?;
            }
            // MEMOIZE
            0x94 => self.remember(self.memo.len() as u32)?,
            b'h' => {
                let key = self.byte()?;
                self.recall(key.into())?;
            }
            b'j' => {
                let key = self.u32()?;
                self.recall(key)?;
            }
            b'Q' => {
                let id = self.pop()?;
                self.push(Object::Persistent(id));
            }
            // REDUCE and NEWOBJ
            b'R' | 0x81 => self.call()?,
            // NEWOBJ_EX
            0x92 => {
                self.pop()?;
                self.call()?;
            }
            // BUILD: sets the attributes of an object, which are not its items
            b'b' => drop(self.pop()?),
            code => {
                return Err(format!(
                    "its pickle has the instruction {code:#04x}, which is not read"
                )
                .into());
            }
        }
        Ok(false)
    }
}

/// A whole number of any length, if it fits.
fn integer(digits: &[u8]) -> Object {
    let negative = digits.last().is_some_and(|byte| *byte >= 0x80);
    let mut bytes = [if negative { 0xff } else { 0 }; 8];
    match bytes.get_mut(..digits.len()) {
        Some(low) => {
            low.copy_from_slice(digits);
            Object::Integer(i64::from_le_bytes(bytes))
        }
        None => Object::Other,
    }
}
