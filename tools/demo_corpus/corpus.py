"""Reads the text that the demo model learns, and turns it into conversations.

The format is described in tools/README.md: entries of `Q:` patterns with one `A:`, conversations of
`U:` and `A:` lines, and `templates.txt` with the ways of asking that many entries share.
"""

import itertools
import random
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

EXPANSIONS_MAX = 40  # of one pattern; more than that are sampled
HELD_OUT = 0.08  # of the questions, chosen by a hash of their words
HELD_OUT_WORDS = 3  # at least: nobody can guess what "Howdy" means without having seen it

ARTICLE = re.compile(r"^(?:a|an|the) ", re.IGNORECASE)
CHOICE = re.compile(r"\[([^\[\]]*\|[^\[\]]*)\]|\{(\w+)\}")


@dataclass
class Entry:
    """One answer and the questions that it answers."""

    title: str
    file: str
    patterns: list[str] = field(default_factory=list)
    answer: str = ""
    more: str = ""
    train: list[str] = field(default_factory=list)
    held_out: list[str] = field(default_factory=list)


@dataclass
class Corpus:
    entries: dict[str, Entry]
    dialogues: list[list[tuple[list[str], str]]]  # turns of (ways to ask, answer)
    more: list[str]  # ways to ask for more
    systems: list[str]  # system prompts seen in training
    prefixes: list[str]
    suffixes: list[str]
    held_out: set[str]  # the words of all held-out questions


def normal(text: str) -> str:
    """The words alone: two questions that differ only in case or punctuation are one question."""
    return " ".join(re.findall(r"\w+", text.lower()))


def stable_hash(text: str) -> float:
    return zlib.crc32(text.encode()) / 2**32


def expand(pattern: str, lists: dict[str, list[str]]) -> list[str]:
    """All texts of a pattern with `[one|other]` choices and `{list}` names."""
    parts, at = [], 0
    for match in CHOICE.finditer(pattern):
        parts.append([pattern[at : match.start()]])
        if match[1] is not None:
            parts.append(match[1].split("|"))
        elif match[2] in lists:
            parts.append(lists[match[2]])
        else:
            raise ValueError(f"no list named {{{match[2]}}} for: {pattern}")
        at = match.end()
    parts.append([pattern[at:]])
    count = 1
    for part in parts:
        count *= len(part)
    if count <= EXPANSIONS_MAX:
        choices = itertools.product(*parts)
    else:
        rng = random.Random(zlib.crc32(pattern.encode()))
        choices = ([rng.choice(part) for part in parts] for _ in range(EXPANSIONS_MAX))
    texts = (re.sub(r"\s+([?.!,])", r"\1", " ".join("".join(c).split())) for c in choices)
    return list(dict.fromkeys(text[:1].upper() + text[1:] for text in texts))


def logical_lines(path: Path):
    """Lines without comments; an indented line continues the one before."""
    line = None
    for raw in path.read_text(encoding="utf-8").splitlines():
        if raw.startswith("#"):
            continue
        if raw[:1].isspace() and raw.strip() and line is not None:
            line += " " + raw.strip()
            continue
        if line is not None:
            yield line
        line = raw.strip()
    if line is not None:
        yield line


def read_templates(path: Path) -> dict[str, list[str]]:
    templates, name = {}, None
    for line in logical_lines(path):
        if line.startswith("== "):
            name = line[3:]
            templates[name] = []
        elif line:
            templates[name].append(line)
    return templates


def fill(templates: list[str], key: str, names: str) -> list[str]:
    """The patterns of one `Define: a; b` or `Compare: a / b; c / d` line."""
    out = []
    for name in (n.strip() for n in names.split(";")):
        pairs = [tuple(p.strip() for p in name.split(" / "))]
        if key == "Compare":
            pairs.append(pairs[0][::-1])
        for pair in pairs:
            for template in templates:
                text = template.replace("{x}", pair[0]).replace("{bare}", ARTICLE.sub("", pair[0]))
                out.append(text.replace("{y}", pair[-1]))
    return out


def plural(template: str) -> str:
    for one, many in ((r"(Wh\w+) is\b", r"\1 are"), (r"'s \{x", " are {x"), (r"\{x\} is\b", "{x} are"),
                      (r"\{x\} means", "{x} mean"), (r"does \{x\}", "do {x}"), (r"\{x\} works", "{x} work")):
        template = re.sub(one, many, template)
    return template


def read_entries(path: Path, templates: dict[str, list[str]]) -> list[Entry]:
    entries, lists = [], {}
    for line in logical_lines(path):
        if not line:
            continue
        if line.startswith("== "):
            entries.append(Entry(line[3:], path.stem))
            continue
        key, _, value = line.partition(": ")
        if key.startswith("List "):
            lists[key[5:]] = [v.strip() for v in value.split(";")]
            continue
        entry = entries[-1]
        if key == "Q":
            entry.patterns += expand(value, lists)
        elif key == "A":
            entry.answer = value
        elif key == "More":
            entry.more = value
        elif key.removesuffix("-many") in templates:
            ways = templates[key.removesuffix("-many")]
            ways = [plural(t) for t in ways] if key.endswith("-many") else ways
            for pattern in fill(ways, key, value):
                entry.patterns += expand(pattern, lists)
        else:
            raise ValueError(f"{path.name}: {entry.title}: unknown key: {line}")
    return entries


def read_dialogues(path: Path, entries: dict[str, Entry]) -> list:
    dialogues = []
    for line in logical_lines(path):
        if line.startswith("== "):
            dialogues.append([])
        elif line.startswith("U: "):
            dialogues[-1].append([expand(line[3:], {}), None])
        elif line.startswith("A: "):
            answer = line[3:]
            if answer.startswith("@"):
                answer = entries[answer[1:]].answer
            dialogues[-1][-1][1] = answer
    assert all(answer for dialogue in dialogues for _, answer in dialogue)
    return dialogues


def read_corpus(folder: Path) -> Corpus:
    templates = read_templates(folder / "templates.txt")
    entries, owner = {}, {}
    skip = {"templates", "conversations"}
    for path in sorted(p for p in folder.glob("*.txt") if p.stem not in skip):
        for entry in read_entries(path, templates):
            if entry.title in entries or not entry.answer or not entry.patterns:
                raise ValueError(f"{path.name}: {entry.title}: named twice, or without Q: or A:")
            entries[entry.title] = entry
    # Text written for one entry wins over the product of a pattern in `unknown.txt`.
    for entry in sorted(entries.values(), key=lambda e: e.file == "unknown"):
        for text in dict.fromkeys(entry.patterns):
            key = normal(text) or text
            if owner.setdefault(key, entry.title) != entry.title:
                if entry.file != "unknown":
                    raise ValueError(f"{text!r} belongs to {owner[key]!r} and {entry.title!r}")
                continue
            held_out = stable_hash(key) < HELD_OUT and len(key.split()) >= HELD_OUT_WORDS
            (entry.held_out if held_out else entry.train).append(text)
    dialogues = read_dialogues(folder / "conversations.txt", entries)
    more = [text for pattern in templates["More"] for text in expand(pattern, {})]
    held_out = {normal(text) for entry in entries.values() for text in entry.held_out}
    return Corpus(entries, dialogues, more, templates["System"], templates["Prefix"],
                  templates["Suffix"], held_out)


NEIGHBOURS = {a: b for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm") for a, b in zip(row, row[1:])}
SMALL_WORDS = {"a", "an", "the", "is", "are", "does", "do", "of", "to", "please", "me", "you", "can"}


def typo(text: str, rng: random.Random) -> str:
    """One slip of the finger inside a word, or a small word left out."""
    words = text.split(" ")
    small = [i for i, w in enumerate(words) if w.lower() in SMALL_WORDS]
    if small and len(words) > 3 and rng.random() < 0.25:
        del words[rng.choice(small)]
        return " ".join(words)
    long = [i for i, w in enumerate(words) if len(w) > 3 and w.isascii() and w.isalpha()]
    if not long:
        return text
    i = rng.choice(long)
    w, at = words[i], rng.randrange(1, len(words[i]) - 1)
    words[i] = rng.choice((
        w[:at] + w[at + 1] + w[at] + w[at + 2 :],
        w[:at] + w[at + 1 :],
        w[:at] + w[at] + w[at:],
        w[:at] + NEIGHBOURS.get(w[at], w[at]) + w[at + 1 :],
    ))
    return " ".join(words)


def vary(text: str, corpus: Corpus, rng: random.Random) -> str:
    """The question as people type it: often without capitals, punctuation or care."""
    said = text
    if rng.random() < 0.10:
        prefix = rng.choice(corpus.prefixes)
        text = prefix + " " + (text if prefix[-1] in ".!:" else text[:1].lower() + text[1:])
    if rng.random() < 0.07:
        text = text.rstrip("?.! ") + rng.choice(corpus.suffixes)
    if rng.random() < 0.30:
        text = text.lower()
    elif rng.random() < 0.02:
        text = text.upper()
    if rng.random() < 0.25:
        text = text.rstrip("?.! ") or text
    elif rng.random() < 0.05:
        text = text.rstrip("?.!") + rng.choice(("!", "??", " ?", "?!", "...", "."))
    for _ in range(rng.choices((0, 1, 2), (0.80, 0.15, 0.05))[0]):
        text = typo(text, rng)
    return said if normal(text) in corpus.held_out else text
