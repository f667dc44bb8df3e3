"""How far apart two scans of one model are, read from its records in their sites (`neuroscope build --neuron-json`):
`compare.py EXPECTED FOUND`, the folders of the model in the sites. Prints the distances as JSON."""

import json
import math
import pathlib
import sys
from array import array
from base64 import b64decode


class Distance:
    """Differences of one kind, each as a share of what it is compared with.

    The root mean square is that of the differences; the largest is what one of them is beyond the difference allowed to it.
    """

    def __init__(self):
        self.n, self.squares, self.max, self.at = 0, 0.0, 0.0, None
        self.of_neurons = {}

    def add(self, difference, name, what, allowed=0.0):
        if not math.isfinite(difference):
            difference = 1e30
        self.n += 1
        self.squares += difference * difference
        beyond = max(difference - allowed, 0.0)
        self.of_neurons[name] = max(self.of_neurons.get(name, 0.0), beyond)
        if beyond > self.max:
            self.max, self.at = beyond, f"{name} {what}"

    def value(self):
        rms = math.sqrt(self.squares / self.n) if self.n else 0.0
        return {"max": self.max, "rms": rms, "at": self.at, "n": self.n}


def records(folder):
    """Every neuron's record, by `layer.neuron`."""
    files = folder.glob("[0-9]*/[0-9]*.json")
    return {f"{file.parent.name}.{file.stem}": json.loads(file.read_text()) for file in files}


def peaks(record):
    """Index of each example by its document and the position of its peak."""
    examples = record["examples"]
    places = zip(examples["doc"], examples["start"], examples["peak"])
    return {(doc, start + peak): row for row, (doc, start, peak) in enumerate(places)}


def window(examples, row):
    """Position, value and half a step of every value around a peak."""
    scale, peak, start = examples["scale"][row], examples["peak"][row], examples["start"][row]
    steps = array("b", b64decode(examples["values"][row]))
    return [(start + at, step * scale, scale / 2) for at, step in enumerate(steps) if at != peak and step != -128]


# in these an example's place follows from the value that the record has of it
BY_VALUE = ["top", "bottom", "gate+_in+", "gate+_in-", "gate-_in+", "gate-_in-"]
# one example in so many has the values around its peak compared: there are many
WINDOWS_ARE_OF = 4
KINDS = ["lists", "values", "windows", "moments", "signs", "shares", "members"]


def compare(expected, found):
    """Distances of each kind, what differs that must not, and `over`: the neurons that two scans in f32 may not differ in so far.

    lists     the k-th largest value of a list, whoever has it
    values    the value at one position of the text, if both scans list it
    windows   the values around some of these; eight bits allow each half a step
    moments   mean, standard deviation, smallest and largest, also of special positions; of sign cases, largest values
    signs     of each sign case, sums of gate, activation, linear input and product
      these are shares of the neuron's largest value, or of the largest of that quantity
    shares    positions in another bin of the histogram; frequencies
    members   places that only one of the two has in a list
    """
    kinds = {kind: Distance() for kind in KINDS}
    wrong = []
    if expected.keys() != found.keys() or not expected:
        wrong.append(f"{len(expected)} neurons, and {len(found)}")
    for name in sorted(expected.keys() & found.keys()):
        neuron(name, expected[name], found[name], kinds, wrong)
    over = {name for kind, most in MOST_F32.items() if kind != "members" for name, far in kinds[kind].of_neurons.items() if far > most}
    counts = {"n_wrong": len(wrong), "n_neurons": len(found), "n_over": len(over)}
    return {"wrong": wrong[:10], "over": sorted(over)[:10]} | counts | {kind: kinds[kind].value() for kind in KINDS}


def neuron(name, a, b, kinds, wrong):
    (p, q) = (a["stats"], b["stats"])
    largest = max(abs(p["min"] or 0.0), abs(p["max"] or 0.0)) or 1.0

    def differ(kind, what, x, y, of):
        if x is None and y is None:
            return
        kinds[kind].add(abs(x - y) / of if None not in (x, y) else math.inf, name, what)

    def must_equal(what, x, y):
        if x != y:
            wrong.append(f"{name} {what}: {x}, and {y}")

    must_equal("count", p["count"], q["count"])
    must_equal("not_finite", p["not_finite"], q["not_finite"])
    for what in ["mean", "min", "max"]:
        differ("moments", what, p[what], q[what], largest)
    differ("moments", "variance", *(math.sqrt(max(stats["variance"] or 0.0, 0.0)) for stats in (p, q)), largest)
    for part in ["special", "hook_post"]:
        if part not in p:
            continue
        must_equal(f"{part} count", p[part]["count"], q[part]["count"])
        most = max(abs(p[part]["min"] or 0.0), abs(p[part]["max"] or 0.0)) or 1.0
        for what in ["mean", "min", "max"]:
            differ("moments", f"{part} {what}", p[part][what], q[part][what], most)
    differ("shares", "frequency", p["frequency"], q["frequency"], 1.0)
    differ("shares", "frequency_abs", p["frequency_abs"]["value"], q["frequency_abs"]["value"], 1.0)
    bins = [{stats["histogram"]["first_bin"] + i: n for i, n in enumerate(stats["histogram"]["counts"])} for stats in (p, q)]
    moved = sum(abs(bins[0].get(i, 0) - bins[1].get(i, 0)) for i in bins[0].keys() | bins[1].keys()) / 2
    differ("shares", "histogram", moved / max(p["count"], 1), 0.0, 1.0)

    for case, signs in a.get("signs", {}).items():
        others = b["signs"][case]
        differ("shares", case, signs["frequency"], others["frequency"], 1.0)
        for what in ["gate", "act", "in", "post"]:
            most = max(abs(c[what]["extreme"] or 0.0) for c in a["signs"].values()) or 1.0
            sums = [(s[what]["mean"] or 0.0) * s["frequency"] for s in (signs, others)]
            differ("signs", f"{case} {what}", *sums, most)
            differ("moments", f"{case} {what}", *((s[what]["extreme"] or 0.0) for s in (signs, others)), most)

    (places, others) = (peaks(a), peaks(b))
    for key in sorted(a["lists"].keys() | b["lists"].keys()):
        rows = [record["lists"].get(key, {"rows": []})["rows"] for record in (a, b)]
        if key in BY_VALUE:
            values = [[record["examples"]["value"][row] for row in own] for record, own in zip((a, b), rows)]
            for rank, (x, y) in enumerate(zip(*values)):
                differ("lists", f"{key} {rank}", x, y, largest)
        at = {place for place, row in places.items() if row in rows[0]}
        also = {place for place, row in others.items() if row in rows[1]}
        kinds["members"].add(len(at ^ also) / max(len(at | also), 1), name, key)
    for place in places.keys() & others.keys():
        row, other = places[place], others[place]
        differ("values", f"document {place[0]}, position {place[1]}", a["examples"]["value"][row], b["examples"]["value"][other], largest)
        if row % WINDOWS_ARE_OF:
            continue
        around = {at: (value, half) for at, value, half in window(b["examples"], other)}
        for at, value, half in window(a["examples"], row):
            if at in around:
                other_value, other_half = around[at]
                allowed = (half + other_half) / largest
                kinds["windows"].add(abs(value - other_value) / largest, name, f"document {place[0]}, position {at}", allowed)


# f32: what two orders of adding leave, which is about what a change of every weight by a millionth does (up to 8e-5 in the models of
# the tests, most in Gemma's). A position near the border of a bin may be in the next one, and one near the end of a list may be
# missing; the latter is rare, so its root mean square counts.
MOST_F32 = {"lists": 2e-4, "values": 2e-4, "windows": 2e-4, "moments": 2e-4, "signs": 2e-4, "shares": 3e-3, "members": 0.05}
# 16 bits: as a multiple of how far bf16 on the CPU is from f32 there, by the root mean square. A GPU also rounds the stream and the
# hooks, which the CPU does not; PyTorch, which does, is up to 1.7 times as far from f32 as the CPU is (docs/models.md).
MOST_16_BITS = {"bf16": 3.0, "f16": 1.0}
# What may be added to that: a bin is a quarter of an octave, and bf16 rounds by up to a 64th of that; and what f32 allows of lists.
MOST_BESIDES = {"shares": 0.03, "members": MOST_F32["members"]}


def judge(dtype, distance, reference):
    """Why a scan cannot be right, if it cannot: `distance` from the CPU in f32, `reference` that of bf16 on the CPU."""
    reasons = [*distance["wrong"]]
    if dtype == "f32":
        for kind, most in MOST_F32.items():
            measure = distance[kind]["rms" if kind == "members" else "max"]
            if measure > most:
                reasons.append(f"{kind}: {measure:.2e} over {most:.0e}, at {distance[kind]['at']}")
        return reasons
    for kind in KINDS:
        found, most = distance[kind]["rms"], MOST_16_BITS[dtype] * reference[kind]["rms"] + MOST_BESIDES.get(kind, 0.0)
        if found > most:
            reasons.append(f"{kind}: {found:.2e} over {most:.2e}, at most at {distance[kind]['at']}")
    return reasons


if __name__ == "__main__":
    expected, found = (records(pathlib.Path(folder)) for folder in sys.argv[1:])
    print(json.dumps(compare(expected, found)))
