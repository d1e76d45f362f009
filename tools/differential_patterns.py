"""Random regular expressions in Oniguruma's syntax, for differential_tokenizers.py."""

REAL = [
    r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+",
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[一-龥぀-ゟ゠-ヿ]+", r"\p{N}{1,3}", r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"[\p{Han}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]*[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]+",
    r"\d{1,2}(?=(\d{3})+\b)|\d", r"(?<=[。！])|\s", r"[\p{L}&&[^\p{Han}]]+", r"[[:punct:]]+", r"\r?\n", r"\b\w+\b",
]

CLASSES = [r"\p{L}", r"\p{Lu}", r"\p{Ll}", r"\p{N}", r"\p{Nd}", r"\p{P}", r"\p{S}", r"\p{M}", r"\p{Z}", r"\p{C}", r"\p{Han}",
           r"\p{Hiragana}", r"\p{Latin}", r"\p{Cyrillic}", r"\p{Arabic}", r"\p{Common}", r"\p{Letter}", r"\p{Alnum}",
           r"\p{Punct}", r"\p{Upper}", r"\p{^L}", r"\P{L}", r"\w", r"\W", r"\s", r"\S", r"\d", r"\D", r"\h", r"\H",
           r"\p{InCJK_Unified_Ideographs}", r"\p{Alphabetic}", r"\p{White_Space}", r"\p{Emoji}", r"\p{Script_Foo}"]
POSIX = ["alpha", "alnum", "upper", "lower", "digit", "punct", "space", "word", "xdigit", "cntrl", "graph", "print", "blank",
         "ascii", "^alpha", "^space"]
LITERALS = ["a", "b", "A", " ", "'s", "世", r"\n", r"\.", r"\u4e00", r"\x41", r"\x{e9}", "é", "-", "_", "1", r"\t", "]", "{", "}",
            r"\-", r"\q", "ſ", "k", r"\e"]
TEXTS = ["a", "b", "A", "B", " ", "  ", "\n", "\r\n", "世", "界", "。", "、", "ー", "あ", "ら", "é", "e\u0301", "É", "1", "٣", "½", "'s",
         "'S", "'ſ", "_", "-", ".", ",", "¢", "😀", "\u200d", "\u0345", "ß", "ss", "K", "\u1c89", "\U00010d50", "\U0001fae9",
         "\u00a0", "\u3000", "\u180e", "\x85", "\t", "\x00", "ǅ", "ª", "\u2160", "ⓐ", "\U0001f1e6", "\ue000", "]", "{", "}", "q",
         "ب", "ж", "α", "\u0301", "<s>", "Z", "z", "\x1b", "\u0378", "\u061c", "\u06dd"]


def item(rng):
    r = rng.random()
    if r < .35:
        return rng.choice(CLASSES)
    if r < .5:
        return "[:" + rng.choice(POSIX) + ":]"
    if r < .65:
        return rng.choice(["a-z", "A-Z", "0-9", r"\u4e00-\u9fff", r"\x41-\x5a", "一-龥", "à-ÿ", r"\t-\r"])
    if r < .75:
        return "[" + ("^" if rng.random() < .3 else "") + item(rng) + "]"
    return rng.choice(["a", "b", "é", r"\]", r"\\", ".", ",", r"\n", " ", "_", "。", r"\-"])


def char_class(rng):
    out = "[" + ("^" if rng.random() < .3 else "") + "".join(item(rng) for _ in range(rng.randrange(1, 4)))
    if rng.random() < .25:
        out += "&&" + "".join(item(rng) for _ in range(rng.randrange(1, 3)))
    return out + "]"


def atom(rng, depth):
    r = rng.random()
    if r < .3:
        return rng.choice(CLASSES)
    if r < .55:
        return char_class(rng)
    if r < .8 or depth > 2:
        return rng.choice(LITERALS)
    if r < .95:
        return rng.choice(["(", "(?:", "(?:", "(?i:", "(?>", "(?=", "(?!", "(?<=", "(?<!", "(?m:", "(?<n>"]) + sequence(rng, depth + 1) + ")"
    return rng.choice([".", "^", "$", r"\b", r"\B", r"\A", r"\z", r"\Z", r"\R", r"\X", r"(?i)", r"\G", r"\1"])


def sequence(rng, depth=0):
    out = ""
    for _ in range(rng.randrange(1, 4)):
        out += atom(rng, depth)
        if rng.random() < .4:
            out += rng.choice(["+", "*", "?", "+?", "*?", "??", "++", "*+", "?+", "{2}", "{1,2}", "{,2}", "{2}?", "{1,2}+", "{1,2}?"])
    if depth < 3 and rng.random() < .25:
        out += "|" + sequence(rng, depth + 1)
    return out


def random_pattern(rng, real_only):
    return rng.choice(REAL) if real_only or rng.random() < .15 else sequence(rng)


def random_pattern_text(rng, pattern):
    return "".join(rng.choice(TEXTS) for _ in range(rng.randrange(1, 24)))
