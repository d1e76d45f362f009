#!/usr/bin/env python3
"""src/text/regex_class_table.h and tests/data/regex_classes.json: Oniguruma's character classes, from `tokenizers`.

    python3 tools/make_regex_classes.py [table|golden]

The table holds what PCRE2 10.42 cannot know: characters that came after Unicode 14 (Python 3.11's unicodedata) with
their category, script and a few properties, and Oniguruma's blocks. The golden file holds, for each class that may
stand in an expression, how many characters match and a hash of all of them. Needs tokenizers 0.23 and Python 3.11;
the golden file takes some minutes.
"""
import json
import os
import sys
import unicodedata

os.environ["RUST_BACKTRACE"] = "0"
from tokenizers import Regex, pre_tokenizers  # noqa: E402

ROOT = os.path.normpath(os.path.join(os.path.dirname(__file__), ".."))
CATEGORIES = "Cc Cf Cn Co Ll Lm Lo Lt Lu Mc Me Mn Nd Nl No Pc Pd Pe Pf Pi Po Ps Sc Sk Sm So Zl Zp Zs".split()
FLAGS = ["Alphabetic", "Uppercase", "Lowercase", "Ideographic", "Emoji"]
SCRIPTS = """Adlam Ahom Anatolian_Hieroglyphs Arabic Armenian Avestan Balinese Bamum Bassa_Vah Batak Bengali Bhaiksuki Bopomofo
Brahmi Braille Buginese Buhid Canadian_Aboriginal Carian Caucasian_Albanian Chakma Cham Cherokee Chorasmian Common
Coptic Cuneiform Cypriot Cypro_Minoan Cyrillic Deseret Devanagari Dives_Akuru Dogra Duployan Egyptian_Hieroglyphs
Elbasan Elymaic Ethiopic Garay Georgian Glagolitic Gothic Grantha Greek Gujarati Gunjala_Gondi Gurmukhi Gurung_Khema
Han Hangul Hanifi_Rohingya Hanunoo Hatran Hebrew Hiragana Imperial_Aramaic Inherited Inscriptional_Pahlavi
Inscriptional_Parthian Javanese Kaithi Kannada Katakana Kawi Kayah_Li Kharoshthi Khitan_Small_Script Khmer Khojki
Khudawadi Kirat_Rai Lao Latin Lepcha Limbu Linear_A Linear_B Lisu Lycian Lydian Mahajani Makasar Malayalam Mandaic
Manichaean Marchen Masaram_Gondi Medefaidrin Meetei_Mayek Mende_Kikakui Meroitic_Cursive Meroitic_Hieroglyphs Miao
Modi Mongolian Mro Multani Myanmar Nabataean Nag_Mundari Nandinagari New_Tai_Lue Newa Nko Nushu
Nyiakeng_Puachue_Hmong Ogham Ol_Chiki Ol_Onal Old_Hungarian Old_Italic Old_North_Arabian Old_Permic Old_Persian
Old_Sogdian Old_South_Arabian Old_Turkic Old_Uyghur Oriya Osage Osmanya Pahawh_Hmong Palmyrene Pau_Cin_Hau Phags_Pa
Phoenician Psalter_Pahlavi Rejang Runic Samaritan Saurashtra Sharada Shavian Siddham SignWriting Sinhala Sogdian
Sora_Sompeng Soyombo Sundanese Sunuwar Syloti_Nagri Syriac Tagalog Tagbanwa Tai_Le Tai_Tham Tai_Viet Takri Tamil
Tangsa Tangut Telugu Thaana Thai Tibetan Tifinagh Tirhuta Todhri Toto Tulu_Tigalari Ugaritic Vai Vithkuqi Wancho
Warang_Citi Yezidi Yi Zanabazar_Square""".split()
BLOCKS = """In_Basic_Latin In_Latin_1_Supplement In_Latin_Extended_A In_Latin_Extended_B In_IPA_Extensions
In_Spacing_Modifier_Letters In_Combining_Diacritical_Marks In_Greek_and_Coptic In_Cyrillic In_Cyrillic_Supplement
In_Armenian In_Hebrew In_Arabic In_Syriac In_Arabic_Supplement In_Thaana In_NKo In_Samaritan In_Mandaic
In_Arabic_Extended_A In_Arabic_Extended_B In_Devanagari In_Bengali In_Gurmukhi In_Gujarati In_Oriya In_Tamil
In_Telugu In_Kannada In_Malayalam In_Sinhala In_Thai In_Lao In_Tibetan In_Myanmar In_Georgian In_Hangul_Jamo
In_Ethiopic In_Cherokee In_Khmer In_Mongolian In_Phonetic_Extensions In_Phonetic_Extensions_Supplement
In_Latin_Extended_Additional In_Greek_Extended In_General_Punctuation In_Superscripts_and_Subscripts
In_Currency_Symbols In_Combining_Diacritical_Marks_for_Symbols In_Letterlike_Symbols In_Number_Forms In_Arrows
In_Mathematical_Operators In_Miscellaneous_Technical In_Control_Pictures In_Optical_Character_Recognition
In_Enclosed_Alphanumerics In_Box_Drawing In_Block_Elements In_Geometric_Shapes In_Miscellaneous_Symbols In_Dingbats
In_Miscellaneous_Mathematical_Symbols_A In_Supplemental_Arrows_A In_Braille_Patterns In_Supplemental_Arrows_B
In_Miscellaneous_Mathematical_Symbols_B In_Supplemental_Mathematical_Operators In_Miscellaneous_Symbols_and_Arrows
In_Latin_Extended_C In_Cyrillic_Extended_A In_Supplemental_Punctuation In_CJK_Radicals_Supplement In_Kangxi_Radicals
In_Ideographic_Description_Characters In_CJK_Symbols_and_Punctuation In_Hiragana In_Katakana In_Bopomofo
In_Hangul_Compatibility_Jamo In_Kanbun In_Bopomofo_Extended In_CJK_Strokes In_Katakana_Phonetic_Extensions
In_Enclosed_CJK_Letters_and_Months In_CJK_Compatibility In_CJK_Unified_Ideographs_Extension_A
In_Yijing_Hexagram_Symbols In_CJK_Unified_Ideographs In_Yi_Syllables In_Yi_Radicals In_Cyrillic_Extended_B
In_Modifier_Tone_Letters In_Latin_Extended_D In_Hangul_Jamo_Extended_A In_Latin_Extended_E In_Hangul_Syllables
In_Hangul_Jamo_Extended_B In_Private_Use_Area In_CJK_Compatibility_Ideographs In_Alphabetic_Presentation_Forms
In_Arabic_Presentation_Forms_A In_Variation_Selectors In_Vertical_Forms In_Combining_Half_Marks
In_CJK_Compatibility_Forms In_Small_Form_Variants In_Arabic_Presentation_Forms_B In_Halfwidth_and_Fullwidth_Forms
In_Specials In_Kana_Supplement In_Kana_Extended_A In_Kana_Extended_B In_Small_Kana_Extension
In_Mathematical_Alphanumeric_Symbols In_Enclosed_Alphanumeric_Supplement In_Enclosed_Ideographic_Supplement
In_Miscellaneous_Symbols_and_Pictographs In_Emoticons In_Ornamental_Dingbats In_Transport_and_Map_Symbols
In_Alchemical_Symbols In_Geometric_Shapes_Extended In_Supplemental_Arrows_C In_Supplemental_Symbols_and_Pictographs
In_Chess_Symbols In_Symbols_and_Pictographs_Extended_A In_Symbols_for_Legacy_Computing
In_CJK_Unified_Ideographs_Extension_B In_CJK_Unified_Ideographs_Extension_C In_CJK_Unified_Ideographs_Extension_D
In_CJK_Unified_Ideographs_Extension_E In_CJK_Unified_Ideographs_Extension_F In_CJK_Unified_Ideographs_Extension_G
In_CJK_Unified_Ideographs_Extension_H In_CJK_Unified_Ideographs_Extension_I
In_CJK_Compatibility_Ideographs_Supplement In_Tags In_Variation_Selectors_Supplement
In_Supplementary_Private_Use_Area_A In_Supplementary_Private_Use_Area_B""".split()
# What golden data is made of besides categories: expressions for one character.
MORE = [r"\w", r"\W", r"\s", r"\S", r"\d", r"\D", r"\h", r"\H", ".", r"[\w]", r"[^\w]", r"[\s\S]", r"[^\s\p{L}\p{N}]",
        r"[^\r\n\p{L}\p{N}]", r"[^\r\n\p{L}\p{P}\p{S}]", r"[\p{L}\p{M}]", r"[\p{P}\p{S}]", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]",
        r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]", r"[\p{L}&&[^\p{Han}]]", r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]", r"[a[bc]\p{Nd}]",
        r"[^\S\n]", r"\P{L}", r"\p{^Han}", r"(?i)[\p{L}]", r"(?i)[a-z]", r"(?i)[^s]", r"(?i)k", r"[\u4e00-\u9fff]",
        r"\p{Letter}", r"\p{Uppercase_Letter}", r"\p{Nonspacing_Mark}", r"\p{Alnum}", r"\p{Alpha}", r"\p{Punct}", r"\p{PosixPunct}",
        r"\p{Blank}", r"\p{Cntrl}", r"\p{Digit}", r"\p{Graph}", r"\p{Lower}", r"\p{Print}", r"\p{Space}", r"\p{Upper}", r"\p{XDigit}",
        r"\p{Word}", r"\p{ASCII}", r"\p{Any}", r"\p{Assigned}", r"\p{White_Space}", r"\p{Alphabetic}", r"\p{Uppercase}",
        r"\p{Lowercase}", r"\p{Ideographic}", r"\p{Emoji}", r"\p{C}", r"\p{L}", r"\p{LC}", r"\p{M}", r"\p{N}", r"\p{P}", r"\p{S}", r"\p{Z}",
        r"\p{InCJK_Unified_Ideographs}", r"\p{In_Hiragana}", r"\p{In_Halfwidth_and_Fullwidth_Forms}"] + [
    f"[[:{c}:]]" for c in "alnum alpha ascii blank cntrl digit graph lower print punct space upper xdigit word ^space ^punct".split()]
# Long runs of characters of one kind, of which a few at both ends are looked at (all: MORE_TIME=1).
ALIKE = [(0x3402, 0x4DBD), (0x4E02, 0x9FFD), (0xAC02, 0xD7A0), (0xE002, 0xF8FD), (0x17002, 0x187F5), (0x20002, 0x2A6DD),
         (0x2A703, 0x2B735), (0x2B743, 0x2B81B), (0x2B823, 0x2CE9D), (0x2CEB3, 0x2EBDD), (0x2EBF2, 0x2EE5B), (0x2EE60, 0x2F7FE),
         (0x2FA20, 0x2FFFD), (0x30002, 0x31347), (0x31352, 0x323AD), (0x323B2, 0xE0000), (0xE01F2, 0xEFFFD), (0xF0002, 0xFFFFC),
         (0x100002, 0x10FFFC)]
ENDS = {} if os.environ.get("MORE_TIME") else dict(ALIKE)
SKIPPED = {c for a, b in ENDS.items() for c in range(a + 1, b)}
CODES = [c for c in range(0x110000) if not 0xD800 <= c <= 0xDFFF and c not in SKIPPED]
TEXT = "".join(map(chr, CODES))


def runs(expression):
    """The characters that match, as ranges (surrogates do not interrupt one)."""
    cut = pre_tokenizers.Split(Regex(f"(?:{expression})+"), "removed", invert=True)
    return [(CODES[a], CODES[b - 1]) for _, (a, b) in cut.pre_tokenize_str(TEXT)]


def count(ranges):
    return sum(b - a + 1 - (2048 if a < 0xD800 and b > 0xDFFF else 0) for a, b in ranges)


def members(expression):
    return {c for a, b in runs(expression) for c in range(a, b + 1)}


def hash_of(ranges):
    value = 0xCBF29CE484222325
    for number in [n for r in ranges for n in r]:
        for shift in (0, 8, 16):
            value = ((value ^ (number >> shift & 255)) * 0x100000001B3) & (1 << 64) - 1
    return value


def table():
    assert unicodedata.unidata_version.startswith("14.")
    young = sorted(c for c in CODES if unicodedata.category(chr(c)) == "Cn" and c not in members.cn)
    sets = {k: members(r"\p{%s}" % k) for k in CATEGORIES + FLAGS if k != "Cn"}
    scripts = {k: members(r"\p{%s}" % k) for k in SCRIPTS}
    rows = []
    for c in young:
        what = (next(k for k in CATEGORIES if k != "Cn" and c in sets[k]), next(k for k in SCRIPTS if c in scripts[k]),
                sum(1 << i for i, k in enumerate(FLAGS) if c in sets[k]))
        if rows and rows[-1][1] == c - 1 and rows[-1][2] == what:
            rows[-1][1] = c
        else:
            rows.append([c, c, what])
    blocks = []
    for name in BLOCKS:
        r = runs(r"\p{%s}" % name)
        assert len(r) == 1
        blocks.append((name.lower().replace("_", ""), *r[0]))
    write_table(rows, blocks)


def write_table(rows, blocks):
    with open(f"{ROOT}/src/text/regex_class_table.h", "w") as f:
        f.write("// Made by tools/make_regex_classes.py from tokenizers' Oniguruma 6.9.10 (Unicode 16).\n#ifndef COLROW_TEXT_REGEX_CLASS_TABLE_H\n"
                "#define COLROW_TEXT_REGEX_CLASS_TABLE_H\n\n#include <stdint.h>\n\n// clang-format off\n\n"
                "enum young_flag { " + ", ".join(f"YOUNG_{k.upper()} = {1 << i}" for i, k in enumerate(FLAGS)) + " };\n\n"
                "// Characters that came after Unicode 14: the last one of each run, its category, script and flags.\n"
                "static const struct {\n    uint32_t begin, end;\n    char category[3];\n    uint8_t flags;\n    const char *script;\n} young_runs[] = {\n")
        line = ""
        for a, b, (category, script, flag) in rows:
            item = f'{{0x{a:X}, 0x{b:X}, "{category}", {flag}, "{script.lower().replace("_", "")}"}}, '
            if len(line) + len(item) > 112:
                f.write("    " + line.rstrip() + "\n")
                line = ""
            line += item
        f.write("    " + line.rstrip() + "\n};\n\n// For UTF-8 of three bytes, by the first one's last four bits: which second bytes begin one of them.\n"
                "static const uint64_t young_seconds[16] = {\n")
        seconds = [0] * 16
        for a, b, _ in rows + [[0x1171E, 0x1171E, None]]:
            for c in range(a, b + 1):
                utf8 = chr(c).encode()
                if len(utf8) == 3:
                    seconds[utf8[0] & 15] |= 1 << (utf8[1] & 63)
        f.write("    " + ", ".join(f"0x{n:X}" for n in seconds) + "};\n\n// Oniguruma's names without \"_\".\nstatic const char *const script_names[] = {\n")
        line = ""
        for name in SCRIPTS:
            item = f'"{name.lower().replace("_", "")}", '
            if len(line) + len(item) > 112:
                f.write("    " + line.rstrip() + "\n")
                line = ""
            line += item
        f.write("    " + line.rstrip() + "\n};\n\nstatic const struct {\n    const char *name;\n    uint32_t begin, end;\n} blocks[] = {\n")
        line = ""
        for name, a, b in blocks:
            item = f'{{"{name}", 0x{a:X}, 0x{b:X}}}, '
            if len(line) + len(item) > 112:
                f.write("    " + line.rstrip() + "\n")
                line = ""
            line += item
        f.write("    " + line.rstrip() + "\n};\n\n// clang-format on\n\n#endif\n")


def golden():
    expressions = [r"\p{%s}" % k for k in CATEGORIES + SCRIPTS] + MORE
    out = []
    for e in expressions:
        ranges = runs(e)
        out.append([e, count(ranges), f"{hash_of(ranges):016x}"])
        print(e, out[-1], flush=True)
    with open(f"{ROOT}/tests/data/regex_classes.json", "w") as f:
        f.write("[\n" + ",\n".join(json.dumps(r) for r in out) + "\n]\n")


def main():
    what = sys.argv[1] if len(sys.argv) > 1 else "table"
    if what == "table":
        members.cn = members(r"\p{Cn}")
        table()
    else:
        golden()


if __name__ == "__main__":
    main()
