// Made by tools/make_regex_classes.py from tokenizers' Oniguruma 6.9.10 (Unicode 16).
#ifndef COLROW_TEXT_REGEX_CLASS_TABLE_H
#define COLROW_TEXT_REGEX_CLASS_TABLE_H

#include <stdint.h>

// clang-format off

enum young_flag { YOUNG_ALPHABETIC = 1, YOUNG_UPPERCASE = 2, YOUNG_LOWERCASE = 4, YOUNG_IDEOGRAPHIC = 8, YOUNG_EMOJI = 16 };

// Characters that came after Unicode 14: the last one of each run, its category, script and flags.
static const struct {
    uint32_t begin, end;
    char category[3];
    uint8_t flags;
    const char *script;
} young_runs[] = {
    {0x897, 0x897, "Mn", 1, "arabic"}, {0xCF3, 0xCF3, "Mc", 1, "kannada"}, {0xECE, 0xECE, "Mn", 0, "lao"},
    {0x1B4E, 0x1B4F, "Po", 0, "balinese"}, {0x1B7F, 0x1B7F, "Po", 0, "balinese"},
    {0x1C89, 0x1C89, "Lu", 3, "cyrillic"}, {0x1C8A, 0x1C8A, "Ll", 5, "cyrillic"},
    {0x2427, 0x2429, "So", 0, "common"}, {0x2FFC, 0x2FFF, "So", 0, "common"}, {0x31E4, 0x31E5, "So", 0, "common"},
    {0x31EF, 0x31EF, "So", 0, "common"}, {0xA7CB, 0xA7CC, "Lu", 3, "latin"}, {0xA7CD, 0xA7CD, "Ll", 5, "latin"},
    {0xA7DA, 0xA7DA, "Lu", 3, "latin"}, {0xA7DB, 0xA7DB, "Ll", 5, "latin"}, {0xA7DC, 0xA7DC, "Lu", 3, "latin"},
    {0x105C0, 0x105F3, "Lo", 1, "todhri"}, {0x10D40, 0x10D49, "Nd", 0, "garay"},
    {0x10D4A, 0x10D4D, "Lo", 1, "garay"}, {0x10D4E, 0x10D4E, "Lm", 1, "garay"},
    {0x10D4F, 0x10D4F, "Lo", 1, "garay"}, {0x10D50, 0x10D65, "Lu", 3, "garay"},
    {0x10D69, 0x10D69, "Mn", 1, "garay"}, {0x10D6A, 0x10D6D, "Mn", 0, "garay"},
    {0x10D6E, 0x10D6E, "Pd", 0, "garay"}, {0x10D6F, 0x10D6F, "Lm", 1, "garay"},
    {0x10D70, 0x10D85, "Ll", 5, "garay"}, {0x10D8E, 0x10D8F, "Sm", 0, "garay"},
    {0x10EC2, 0x10EC4, "Lo", 1, "arabic"}, {0x10EFC, 0x10EFC, "Mn", 1, "arabic"},
    {0x10EFD, 0x10EFF, "Mn", 0, "arabic"}, {0x1123F, 0x11240, "Lo", 1, "khojki"},
    {0x11241, 0x11241, "Mn", 1, "khojki"}, {0x11380, 0x11389, "Lo", 1, "tulutigalari"},
    {0x1138B, 0x1138B, "Lo", 1, "tulutigalari"}, {0x1138E, 0x1138E, "Lo", 1, "tulutigalari"},
    {0x11390, 0x113B5, "Lo", 1, "tulutigalari"}, {0x113B7, 0x113B7, "Lo", 1, "tulutigalari"},
    {0x113B8, 0x113BA, "Mc", 1, "tulutigalari"}, {0x113BB, 0x113C0, "Mn", 1, "tulutigalari"},
    {0x113C2, 0x113C2, "Mc", 1, "tulutigalari"}, {0x113C5, 0x113C5, "Mc", 1, "tulutigalari"},
    {0x113C7, 0x113CA, "Mc", 1, "tulutigalari"}, {0x113CC, 0x113CD, "Mc", 1, "tulutigalari"},
    {0x113CE, 0x113CE, "Mn", 0, "tulutigalari"}, {0x113CF, 0x113CF, "Mc", 0, "tulutigalari"},
    {0x113D0, 0x113D0, "Mn", 0, "tulutigalari"}, {0x113D1, 0x113D1, "Lo", 1, "tulutigalari"},
    {0x113D2, 0x113D2, "Mn", 0, "tulutigalari"}, {0x113D3, 0x113D3, "Lo", 1, "tulutigalari"},
    {0x113D4, 0x113D5, "Po", 0, "tulutigalari"}, {0x113D7, 0x113D8, "Po", 0, "tulutigalari"},
    {0x113E1, 0x113E2, "Mn", 0, "tulutigalari"}, {0x116D0, 0x116E3, "Nd", 0, "myanmar"},
    {0x11B00, 0x11B09, "Po", 0, "devanagari"}, {0x11BC0, 0x11BE0, "Lo", 1, "sunuwar"},
    {0x11BE1, 0x11BE1, "Po", 0, "sunuwar"}, {0x11BF0, 0x11BF9, "Nd", 0, "sunuwar"},
    {0x11F00, 0x11F01, "Mn", 1, "kawi"}, {0x11F02, 0x11F02, "Lo", 1, "kawi"}, {0x11F03, 0x11F03, "Mc", 1, "kawi"},
    {0x11F04, 0x11F10, "Lo", 1, "kawi"}, {0x11F12, 0x11F33, "Lo", 1, "kawi"}, {0x11F34, 0x11F35, "Mc", 1, "kawi"},
    {0x11F36, 0x11F3A, "Mn", 1, "kawi"}, {0x11F3E, 0x11F3F, "Mc", 1, "kawi"}, {0x11F40, 0x11F40, "Mn", 1, "kawi"},
    {0x11F41, 0x11F41, "Mc", 0, "kawi"}, {0x11F42, 0x11F42, "Mn", 0, "kawi"}, {0x11F43, 0x11F4F, "Po", 0, "kawi"},
    {0x11F50, 0x11F59, "Nd", 0, "kawi"}, {0x11F5A, 0x11F5A, "Mn", 0, "kawi"},
    {0x1342F, 0x1342F, "Lo", 1, "egyptianhieroglyphs"}, {0x13439, 0x1343F, "Cf", 0, "egyptianhieroglyphs"},
    {0x13440, 0x13440, "Mn", 0, "egyptianhieroglyphs"}, {0x13441, 0x13446, "Lo", 1, "egyptianhieroglyphs"},
    {0x13447, 0x13455, "Mn", 0, "egyptianhieroglyphs"}, {0x13460, 0x143FA, "Lo", 1, "egyptianhieroglyphs"},
    {0x16100, 0x1611D, "Lo", 1, "gurungkhema"}, {0x1611E, 0x16129, "Mn", 1, "gurungkhema"},
    {0x1612A, 0x1612C, "Mc", 1, "gurungkhema"}, {0x1612D, 0x1612E, "Mn", 1, "gurungkhema"},
    {0x1612F, 0x1612F, "Mn", 0, "gurungkhema"}, {0x16130, 0x16139, "Nd", 0, "gurungkhema"},
    {0x16D40, 0x16D42, "Lm", 1, "kiratrai"}, {0x16D43, 0x16D6A, "Lo", 1, "kiratrai"},
    {0x16D6B, 0x16D6C, "Lm", 1, "kiratrai"}, {0x16D6D, 0x16D6F, "Po", 0, "kiratrai"},
    {0x16D70, 0x16D79, "Nd", 0, "kiratrai"}, {0x18CFF, 0x18CFF, "Lo", 9, "khitansmallscript"},
    {0x1B132, 0x1B132, "Lo", 1, "hiragana"}, {0x1B155, 0x1B155, "Lo", 1, "katakana"},
    {0x1CC00, 0x1CCEF, "So", 0, "common"}, {0x1CCF0, 0x1CCF9, "Nd", 0, "common"},
    {0x1CD00, 0x1CEB3, "So", 0, "common"}, {0x1D2C0, 0x1D2D3, "No", 0, "common"},
    {0x1DF25, 0x1DF2A, "Ll", 5, "latin"}, {0x1E030, 0x1E06D, "Lm", 5, "cyrillic"},
    {0x1E08F, 0x1E08F, "Mn", 1, "cyrillic"}, {0x1E4D0, 0x1E4EA, "Lo", 1, "nagmundari"},
    {0x1E4EB, 0x1E4EB, "Lm", 1, "nagmundari"}, {0x1E4EC, 0x1E4EF, "Mn", 0, "nagmundari"},
    {0x1E4F0, 0x1E4F9, "Nd", 0, "nagmundari"}, {0x1E5D0, 0x1E5ED, "Lo", 1, "olonal"},
    {0x1E5EE, 0x1E5EF, "Mn", 0, "olonal"}, {0x1E5F0, 0x1E5F0, "Lo", 1, "olonal"},
    {0x1E5F1, 0x1E5FA, "Nd", 0, "olonal"}, {0x1E5FF, 0x1E5FF, "Po", 0, "olonal"},
    {0x1F6DC, 0x1F6DC, "So", 16, "common"}, {0x1F774, 0x1F776, "So", 0, "common"},
    {0x1F77B, 0x1F77F, "So", 0, "common"}, {0x1F7D9, 0x1F7D9, "So", 0, "common"},
    {0x1F8B2, 0x1F8BB, "So", 0, "common"}, {0x1F8C0, 0x1F8C1, "So", 0, "common"},
    {0x1FA75, 0x1FA77, "So", 16, "common"}, {0x1FA87, 0x1FA89, "So", 16, "common"},
    {0x1FA8F, 0x1FA8F, "So", 16, "common"}, {0x1FAAD, 0x1FAAF, "So", 16, "common"},
    {0x1FABB, 0x1FABF, "So", 16, "common"}, {0x1FAC6, 0x1FAC6, "So", 16, "common"},
    {0x1FACE, 0x1FACF, "So", 16, "common"}, {0x1FADA, 0x1FADC, "So", 16, "common"},
    {0x1FADF, 0x1FADF, "So", 16, "common"}, {0x1FAE8, 0x1FAE9, "So", 16, "common"},
    {0x1FAF7, 0x1FAF8, "So", 16, "common"}, {0x1FBCB, 0x1FBEF, "So", 0, "common"},
    {0x2B739, 0x2B739, "Lo", 9, "han"}, {0x2EBF0, 0x2EE5D, "Lo", 9, "han"}, {0x31350, 0x323AF, "Lo", 9, "han"},
};

// For UTF-8 of three bytes, by the first one's last four bits: which second bytes begin one of them.
static const uint64_t young_seconds[16] = {
    0x808000400000000, 0x4200000000000, 0x8000000000010000, 0x80, 0x0, 0x0, 0x0, 0x0, 0x0, 0x0, 0x80000000, 0x0, 0x0, 0x0, 0x0, 0x0};

// Oniguruma's names without "_".
static const char *const script_names[] = {
    "adlam", "ahom", "anatolianhieroglyphs", "arabic", "armenian", "avestan", "balinese", "bamum", "bassavah",
    "batak", "bengali", "bhaiksuki", "bopomofo", "brahmi", "braille", "buginese", "buhid", "canadianaboriginal",
    "carian", "caucasianalbanian", "chakma", "cham", "cherokee", "chorasmian", "common", "coptic", "cuneiform",
    "cypriot", "cyprominoan", "cyrillic", "deseret", "devanagari", "divesakuru", "dogra", "duployan",
    "egyptianhieroglyphs", "elbasan", "elymaic", "ethiopic", "garay", "georgian", "glagolitic", "gothic",
    "grantha", "greek", "gujarati", "gunjalagondi", "gurmukhi", "gurungkhema", "han", "hangul", "hanifirohingya",
    "hanunoo", "hatran", "hebrew", "hiragana", "imperialaramaic", "inherited", "inscriptionalpahlavi",
    "inscriptionalparthian", "javanese", "kaithi", "kannada", "katakana", "kawi", "kayahli", "kharoshthi",
    "khitansmallscript", "khmer", "khojki", "khudawadi", "kiratrai", "lao", "latin", "lepcha", "limbu", "lineara",
    "linearb", "lisu", "lycian", "lydian", "mahajani", "makasar", "malayalam", "mandaic", "manichaean", "marchen",
    "masaramgondi", "medefaidrin", "meeteimayek", "mendekikakui", "meroiticcursive", "meroitichieroglyphs", "miao",
    "modi", "mongolian", "mro", "multani", "myanmar", "nabataean", "nagmundari", "nandinagari", "newtailue",
    "newa", "nko", "nushu", "nyiakengpuachuehmong", "ogham", "olchiki", "olonal", "oldhungarian", "olditalic",
    "oldnortharabian", "oldpermic", "oldpersian", "oldsogdian", "oldsoutharabian", "oldturkic", "olduyghur",
    "oriya", "osage", "osmanya", "pahawhhmong", "palmyrene", "paucinhau", "phagspa", "phoenician",
    "psalterpahlavi", "rejang", "runic", "samaritan", "saurashtra", "sharada", "shavian", "siddham", "signwriting",
    "sinhala", "sogdian", "sorasompeng", "soyombo", "sundanese", "sunuwar", "sylotinagri", "syriac", "tagalog",
    "tagbanwa", "taile", "taitham", "taiviet", "takri", "tamil", "tangsa", "tangut", "telugu", "thaana", "thai",
    "tibetan", "tifinagh", "tirhuta", "todhri", "toto", "tulutigalari", "ugaritic", "vai", "vithkuqi", "wancho",
    "warangciti", "yezidi", "yi", "zanabazarsquare",
};

static const struct {
    const char *name;
    uint32_t begin, end;
} blocks[] = {
    {"inbasiclatin", 0x0, 0x7F}, {"inlatin1supplement", 0x80, 0xFF}, {"inlatinextendeda", 0x100, 0x17F},
    {"inlatinextendedb", 0x180, 0x24F}, {"inipaextensions", 0x250, 0x2AF},
    {"inspacingmodifierletters", 0x2B0, 0x2FF}, {"incombiningdiacriticalmarks", 0x300, 0x36F},
    {"ingreekandcoptic", 0x370, 0x3FF}, {"incyrillic", 0x400, 0x4FF}, {"incyrillicsupplement", 0x500, 0x52F},
    {"inarmenian", 0x530, 0x58F}, {"inhebrew", 0x590, 0x5FF}, {"inarabic", 0x600, 0x6FF},
    {"insyriac", 0x700, 0x74F}, {"inarabicsupplement", 0x750, 0x77F}, {"inthaana", 0x780, 0x7BF},
    {"innko", 0x7C0, 0x7FF}, {"insamaritan", 0x800, 0x83F}, {"inmandaic", 0x840, 0x85F},
    {"inarabicextendeda", 0x8A0, 0x8FF}, {"inarabicextendedb", 0x870, 0x89F}, {"indevanagari", 0x900, 0x97F},
    {"inbengali", 0x980, 0x9FF}, {"ingurmukhi", 0xA00, 0xA7F}, {"ingujarati", 0xA80, 0xAFF},
    {"inoriya", 0xB00, 0xB7F}, {"intamil", 0xB80, 0xBFF}, {"intelugu", 0xC00, 0xC7F}, {"inkannada", 0xC80, 0xCFF},
    {"inmalayalam", 0xD00, 0xD7F}, {"insinhala", 0xD80, 0xDFF}, {"inthai", 0xE00, 0xE7F}, {"inlao", 0xE80, 0xEFF},
    {"intibetan", 0xF00, 0xFFF}, {"inmyanmar", 0x1000, 0x109F}, {"ingeorgian", 0x10A0, 0x10FF},
    {"inhanguljamo", 0x1100, 0x11FF}, {"inethiopic", 0x1200, 0x137F}, {"incherokee", 0x13A0, 0x13FF},
    {"inkhmer", 0x1780, 0x17FF}, {"inmongolian", 0x1800, 0x18AF}, {"inphoneticextensions", 0x1D00, 0x1D7F},
    {"inphoneticextensionssupplement", 0x1D80, 0x1DBF}, {"inlatinextendedadditional", 0x1E00, 0x1EFF},
    {"ingreekextended", 0x1F00, 0x1FFF}, {"ingeneralpunctuation", 0x2000, 0x206F},
    {"insuperscriptsandsubscripts", 0x2070, 0x209F}, {"incurrencysymbols", 0x20A0, 0x20CF},
    {"incombiningdiacriticalmarksforsymbols", 0x20D0, 0x20FF}, {"inletterlikesymbols", 0x2100, 0x214F},
    {"innumberforms", 0x2150, 0x218F}, {"inarrows", 0x2190, 0x21FF}, {"inmathematicaloperators", 0x2200, 0x22FF},
    {"inmiscellaneoustechnical", 0x2300, 0x23FF}, {"incontrolpictures", 0x2400, 0x243F},
    {"inopticalcharacterrecognition", 0x2440, 0x245F}, {"inenclosedalphanumerics", 0x2460, 0x24FF},
    {"inboxdrawing", 0x2500, 0x257F}, {"inblockelements", 0x2580, 0x259F}, {"ingeometricshapes", 0x25A0, 0x25FF},
    {"inmiscellaneoussymbols", 0x2600, 0x26FF}, {"indingbats", 0x2700, 0x27BF},
    {"inmiscellaneousmathematicalsymbolsa", 0x27C0, 0x27EF}, {"insupplementalarrowsa", 0x27F0, 0x27FF},
    {"inbraillepatterns", 0x2800, 0x28FF}, {"insupplementalarrowsb", 0x2900, 0x297F},
    {"inmiscellaneousmathematicalsymbolsb", 0x2980, 0x29FF},
    {"insupplementalmathematicaloperators", 0x2A00, 0x2AFF}, {"inmiscellaneoussymbolsandarrows", 0x2B00, 0x2BFF},
    {"inlatinextendedc", 0x2C60, 0x2C7F}, {"incyrillicextendeda", 0x2DE0, 0x2DFF},
    {"insupplementalpunctuation", 0x2E00, 0x2E7F}, {"incjkradicalssupplement", 0x2E80, 0x2EFF},
    {"inkangxiradicals", 0x2F00, 0x2FDF}, {"inideographicdescriptioncharacters", 0x2FF0, 0x2FFF},
    {"incjksymbolsandpunctuation", 0x3000, 0x303F}, {"inhiragana", 0x3040, 0x309F}, {"inkatakana", 0x30A0, 0x30FF},
    {"inbopomofo", 0x3100, 0x312F}, {"inhangulcompatibilityjamo", 0x3130, 0x318F}, {"inkanbun", 0x3190, 0x319F},
    {"inbopomofoextended", 0x31A0, 0x31BF}, {"incjkstrokes", 0x31C0, 0x31EF},
    {"inkatakanaphoneticextensions", 0x31F0, 0x31FF}, {"inenclosedcjklettersandmonths", 0x3200, 0x32FF},
    {"incjkcompatibility", 0x3300, 0x33FF}, {"incjkunifiedideographsextensiona", 0x3400, 0x4DBF},
    {"inyijinghexagramsymbols", 0x4DC0, 0x4DFF}, {"incjkunifiedideographs", 0x4E00, 0x9FFF},
    {"inyisyllables", 0xA000, 0xA48F}, {"inyiradicals", 0xA490, 0xA4CF}, {"incyrillicextendedb", 0xA640, 0xA69F},
    {"inmodifiertoneletters", 0xA700, 0xA71F}, {"inlatinextendedd", 0xA720, 0xA7FF},
    {"inhanguljamoextendeda", 0xA960, 0xA97F}, {"inlatinextendede", 0xAB30, 0xAB6F},
    {"inhangulsyllables", 0xAC00, 0xD7AF}, {"inhanguljamoextendedb", 0xD7B0, 0xD7FF},
    {"inprivateusearea", 0xE000, 0xF8FF}, {"incjkcompatibilityideographs", 0xF900, 0xFAFF},
    {"inalphabeticpresentationforms", 0xFB00, 0xFB4F}, {"inarabicpresentationformsa", 0xFB50, 0xFDFF},
    {"invariationselectors", 0xFE00, 0xFE0F}, {"inverticalforms", 0xFE10, 0xFE1F},
    {"incombininghalfmarks", 0xFE20, 0xFE2F}, {"incjkcompatibilityforms", 0xFE30, 0xFE4F},
    {"insmallformvariants", 0xFE50, 0xFE6F}, {"inarabicpresentationformsb", 0xFE70, 0xFEFF},
    {"inhalfwidthandfullwidthforms", 0xFF00, 0xFFEF}, {"inspecials", 0xFFF0, 0xFFFF},
    {"inkanasupplement", 0x1B000, 0x1B0FF}, {"inkanaextendeda", 0x1B100, 0x1B12F},
    {"inkanaextendedb", 0x1AFF0, 0x1AFFF}, {"insmallkanaextension", 0x1B130, 0x1B16F},
    {"inmathematicalalphanumericsymbols", 0x1D400, 0x1D7FF},
    {"inenclosedalphanumericsupplement", 0x1F100, 0x1F1FF}, {"inenclosedideographicsupplement", 0x1F200, 0x1F2FF},
    {"inmiscellaneoussymbolsandpictographs", 0x1F300, 0x1F5FF}, {"inemoticons", 0x1F600, 0x1F64F},
    {"inornamentaldingbats", 0x1F650, 0x1F67F}, {"intransportandmapsymbols", 0x1F680, 0x1F6FF},
    {"inalchemicalsymbols", 0x1F700, 0x1F77F}, {"ingeometricshapesextended", 0x1F780, 0x1F7FF},
    {"insupplementalarrowsc", 0x1F800, 0x1F8FF}, {"insupplementalsymbolsandpictographs", 0x1F900, 0x1F9FF},
    {"inchesssymbols", 0x1FA00, 0x1FA6F}, {"insymbolsandpictographsextendeda", 0x1FA70, 0x1FAFF},
    {"insymbolsforlegacycomputing", 0x1FB00, 0x1FBFF}, {"incjkunifiedideographsextensionb", 0x20000, 0x2A6DF},
    {"incjkunifiedideographsextensionc", 0x2A700, 0x2B73F}, {"incjkunifiedideographsextensiond", 0x2B740, 0x2B81F},
    {"incjkunifiedideographsextensione", 0x2B820, 0x2CEAF}, {"incjkunifiedideographsextensionf", 0x2CEB0, 0x2EBEF},
    {"incjkunifiedideographsextensiong", 0x30000, 0x3134F}, {"incjkunifiedideographsextensionh", 0x31350, 0x323AF},
    {"incjkunifiedideographsextensioni", 0x2EBF0, 0x2EE5F},
    {"incjkcompatibilityideographssupplement", 0x2F800, 0x2FA1F}, {"intags", 0xE0000, 0xE007F},
    {"invariationselectorssupplement", 0xE0100, 0xE01EF}, {"insupplementaryprivateuseareaa", 0xF0000, 0xFFFFF},
    {"insupplementaryprivateuseareab", 0x100000, 0x10FFFF},
};

// clang-format on

#endif
