// Bad tokenizers and chat templates are refused with a sentence that names file and key; the rules
// are in bad_input.h.
#include "bad_input.h"

#include "base/json.h"
#include "text/chat_template.h"
#include "text/tokenizer.h"

static enum status open_tokenizer(const char *path)
{
    struct tokenizer *tokenizer;
    enum status status = tokenizer_open(path, &tokenizer);
    tokenizer_close(tokenizer);
    return status;
}

static enum status open_template(const char *path)
{
    struct chat_template *chat;
    enum status status = chat_template_open(path, &chat);
    chat_template_close(chat);
    return status;
}

#define FILE_OF(text_)                                                                             \
    {                                                                                              \
        {                                                                                          \
            .name = "tokenizer.json", .text = text_                                                \
        }                                                                                          \
    }
#define VOCAB "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define MODEL "\"model\":{" VOCAB ",\"merges\":[\"a b\"]}"
#define ROOT(more) FILE_OF("{" MODEL "," more "}")
#define MODEL_OF(inside) FILE_OF("{\"model\":{" inside "}}")
#define TOKEN(content, id, more)                                                                   \
    "\"added_tokens\":[{\"content\":" content ",\"id\":" id                                        \
    ",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":"   \
    "true}" more "]"
#define FLAGS                                                                                      \
    "\"single_word\":false,\"lstrip\":false,\"rstrip\":false,\"normalized\":false,\"special\":"    \
    "true"
#define SPLIT(pattern, behavior)                                                                   \
    ROOT("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":" pattern ",\"behavior\":" behavior    \
         ",\"invert\":false}")
#define REGEX(expression) SPLIT("{\"Regex\":\"" expression "\"}", "\"Isolated\"")
#define STEP(part, inside) ROOT("\"" part "\":{" inside "}")
#define T "tokenizer.json"

static const struct bad_case file_cases[] = {
    {"no file", {{0}}, {T, "is missing"}},
    {"a folder", {{.name = T}}, {T, "regular file"}},
    {"empty file", FILE_OF(""), {T, "not valid JSON"}},
    {"no JSON", FILE_OF("hello"), {T, "not valid JSON"}},
    {"an array", FILE_OF("[]"), {T, "an array", "an object"}},
    {"cut in the middle", FILE_OF("{\"model\":{\"vocab\":{\"a\":0"), {T, "not valid JSON"}},
    {"cut in a string", FILE_OF("{\"model\":{\"vocab\":{\"a"), {T, "not valid JSON"}},
    {"text behind", FILE_OF("{" MODEL "} x"), {T, "not valid JSON"}},
    {"half a surrogate pair", ROOT("\"note\":\"\\ud83d\""), {T, "not valid JSON", "surrogates"}},
    {"NaN", ROOT("\"note\":NaN"), {T, "not valid JSON", "NaN"}},
    {"invalid UTF-8",
     FILE_OF("{\"model\":{\"vocab\":{\"\xC3\":0},\"merges\":[]}}"),
     {T, "UTF-8", "0xc3", "column 21"}},
    {"deep",
     FILE_OF(
         "{\"normalizer\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[["),
     {T, "deeper"}},
    {"other version", ROOT("\"version\":\"2.0\""), {T, "\"version\"", "\"2.0\""}},
};

static const struct bad_case model_cases[] = {
    {"no model", FILE_OF("{}"), {T, "\"model\"", "missing"}},
    {"model is a number", FILE_OF("{\"model\":3}"), {T, "\"model\" is 3"}},
    {"other model",
     MODEL_OF("\"type\":\"Morfessor\""),
     {T, "model", "\"type\"", "Morfessor", "BPE, Unigram"}},
    {"Unigram without pieces",
     MODEL_OF("\"type\":\"Unigram\",\"unk_id\":0"),
     {T, "\"vocab\" is missing", "Unigram"}},
    {"Unigram, no such unk_id",
     MODEL_OF("\"type\":\"Unigram\",\"unk_id\":1,\"vocab\":[[\"a\",0.5]]"),
     {T, "model", "\"unk_id\" is 1", "one of 1 pieces"}},
    {"Unigram, tokens and ids", MODEL_OF("\"type\":\"Unigram\"," VOCAB), {T, "\"vocab\"", "'['"}},
    {"Unigram, a piece without score",
     MODEL_OF("\"type\":\"Unigram\",\"vocab\":[[\"a\"]]"),
     {T, "\"vocab\"", "','"}},
    {"Unigram, a score beyond a double",
     MODEL_OF("\"type\":\"Unigram\",\"vocab\":[[\"a\",-1e309]]"),
     {T, "\"vocab\"", "1e309"}},
    {"WordPiece without unk_token",
     MODEL_OF("\"type\":\"WordPiece\"," VOCAB),
     {T, "\"unk_token\" is missing"}},
    {"WordPiece without prefix",
     MODEL_OF("\"type\":\"WordPiece\",\"unk_token\":\"a\"," VOCAB),
     {T, "\"continuing_subword_prefix\" is missing"}},
    {"WordLevel, pieces and scores",
     MODEL_OF("\"type\":\"WordLevel\",\"unk_token\":\"a\",\"vocab\":[[\"a\",0]]"),
     {T, "\"vocab\"", "'{'"}},
    {"dropout", MODEL_OF("\"dropout\":0.1"), {T, "\"dropout\"", "null"}},
    {"prefix is a number",
     MODEL_OF("\"continuing_subword_prefix\":1"),
     {T, "\"continuing_subword_prefix\" is 1"}},
    {"prefix that a merge has not",
     MODEL_OF("\"continuing_subword_prefix\":\"##\"," VOCAB ",\"merges\":[\"a b\"]"),
     {T, "merge 0", "\"b\"", "##"}},
    {"fuse_unk is a text", MODEL_OF("\"fuse_unk\":\"yes\""), {T, "\"fuse_unk\"", "\"yes\""}},
    {"no vocab", MODEL_OF("\"merges\":[]"), {T, "\"vocab\" is missing"}},
    {"no merges", MODEL_OF(VOCAB), {T, "\"merges\" is missing"}},
    {"vocab is a list", MODEL_OF("\"vocab\":[],\"merges\":[]"), {T, "\"vocab\"", "'{'"}},
    {"vocab with escapes in its key",
     MODEL_OF("\"voc\\u0061b\":{\"a\":0},\"merges\":[]"),
     {T, "\"vocab\" is missing"}},
    {"nothing at all", MODEL_OF("\"vocab\":{},\"merges\":[]"), {T, "no tokens"}},
    {"negative id",
     MODEL_OF("\"vocab\":{\"a\":-1},\"merges\":[]"),
     {T, "vocab", "\"a\"", "-1", "0 to"}},
    {"huge id",
     MODEL_OF("\"vocab\":{\"a\":16777216},\"merges\":[]"),
     {T, "\"a\"", "16777216", "0 to"}},
    {"id beyond 64 bits",
     MODEL_OF("\"vocab\":{\"a\":99999999999999999999},\"merges\":[]"),
     {T, "\"a\"", "9223372036854775807"}},
    {"id with a fraction",
     MODEL_OF("\"vocab\":{\"a\":1.5},\"merges\":[]"),
     {T, "vocab", "an integer", "1.5"}},
    {"id is a text", MODEL_OF("\"vocab\":{\"a\":\"1\"},\"merges\":[]"), {T, "vocab", "an integer"}},
    {"same id",
     MODEL_OF("\"vocab\":{\"a\":3,\"b\":3},\"merges\":[]"),
     {T, "\"a\"", "\"b\"", "id 3"}},
    {"same token", MODEL_OF("\"vocab\":{\"a\":3,\"a\":4},\"merges\":[]"), {T, "\"a\"", "twice"}},
    {"comma at the end", MODEL_OF("\"vocab\":{\"a\":3,},\"merges\":[]"), {T, "vocab", "a string"}},
    {"bad escape", MODEL_OF("\"vocab\":{\"\\q\":3},\"merges\":[]"), {T, "vocab", "escapes"}},
    {"half a pair", MODEL_OF("\"vocab\":{\"\\ud83d\":3},\"merges\":[]"), {T, "vocab", "escapes"}},
    {"unknown left token",
     MODEL_OF(VOCAB ",\"merges\":[\"x b\"]"),
     {T, "merges", "merge 0", "\"x\""}},
    {"unknown right token",
     MODEL_OF(VOCAB ",\"merges\":[[\"a\",\"y\"]]"),
     {T, "merges", "merge 0", "\"y\""}},
    {"unknown result",
     MODEL_OF(VOCAB ",\"merges\":[\"a b\",\"b a\"]"),
     {T, "merges", "merge 1", "\"ba\""}},
    {"merge of three",
     MODEL_OF(VOCAB ",\"merges\":[\"a b a\"]"),
     {T, "merge 0", "a b a", "two tokens"}},
    {"merge of one", MODEL_OF(VOCAB ",\"merges\":[\"ab\"]"), {T, "merge 0", "two tokens"}},
    {"merge is a number", MODEL_OF(VOCAB ",\"merges\":[7]"), {T, "merges", "a merge", "7"}},
    {"merge is too long a list",
     MODEL_OF(VOCAB ",\"merges\":[[\"a\",\"b\",\"a\"]]"),
     {T, "merges", "']'"}},
    {"merges is an object", MODEL_OF(VOCAB ",\"merges\":{}"), {T, "merges", "'['"}},
};

static const struct bad_case added_cases[] = {
    {"no content", ROOT("\"added_tokens\":[{\"id\":3}]"), {T, "added_tokens[0]", "\"content\""}},
    {"no id", ROOT("\"added_tokens\":[{\"content\":\"x\"}]"), {T, "added_tokens[0]", "\"id\""}},
    {"no flag", ROOT("\"added_tokens\":[{\"content\":\"x\",\"id\":3}]"), {T, "\"single_word\""}},
    {"a text", ROOT("\"added_tokens\":[\"x\"]"), {T, "added_tokens[0]", "an object"}},
    {"negative id", ROOT(TOKEN("\"x\"", "-5", "")), {T, "added_tokens[0]", "\"id\" is -5"}},
    {"huge id", ROOT(TOKEN("\"x\"", "4294967296", "")), {T, "added_tokens[0]", "4294967296"}},
};

static const struct bad_case step_cases[] = {
    {"unknown normalizer", STEP("normalizer", "\"type\":\"Bert\""), {T, "normalizer", "Bert"}},
    {"unknown normalizer inside",
     STEP("normalizer", "\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFX\"}]"),
     {T, "normalizer", "NFX"}},
    {"normalizer without type", STEP("normalizer", ""), {T, "normalizer", "\"type\""}},
    {"normalizer is a text", ROOT("\"normalizer\":\"NFC\""), {T, "\"normalizer\"", "NFC"}},
    {"prepend without text",
     STEP("normalizer", "\"type\":\"Prepend\""),
     {T, "normalizer", "\"prepend\""}},
    {"replace without pattern",
     STEP("normalizer", "\"type\":\"Replace\",\"content\":\"x\""),
     {T, "normalizer", "\"pattern\""}},
    {"pattern of both kinds",
     STEP("normalizer",
          "\"type\":\"Replace\",\"content\":\"x\",\"pattern\":{\"String\":\"a\",\"Regex\":\"b\"}"),
     {T, "normalizer", "\"pattern\""}},
    {"BertNormalizer without flags",
     STEP("normalizer", "\"type\":\"BertNormalizer\",\"clean_text\":true"),
     {T, "normalizer", "\"handle_chinese_chars\" is missing"}},
    {"no character map",
     STEP("normalizer", "\"type\":\"Precompiled\""),
     {T, "normalizer", "\"precompiled_charsmap\" is missing"}},
    {"a character map that is no base64",
     STEP("normalizer", "\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AB!=\""),
     {T, "normalizer", "\"precompiled_charsmap\" is not base64"}},
    {"a short character map",
     STEP("normalizer", "\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAA=\""),
     {T, "normalizer", "\"precompiled_charsmap\" is too short"}},
    {"a character map shorter than it says",
     STEP("normalizer", "\"type\":\"Precompiled\",\"precompiled_charsmap\":\"////AAAA\""),
     {T, "normalizer", "\"precompiled_charsmap\" is shorter"}},
    {"an empty character map",
     STEP("normalizer", "\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAAAA==\""),
     {T, "normalizer", "\"precompiled_charsmap\" is shorter"}},
    {"a character map of other texts",
     STEP("normalizer", "\"type\":\"Precompiled\",\"precompiled_charsmap\":\"BAAAAAAAAAD/\""),
     {T, "normalizer", "\"precompiled_charsmap\" has texts that are not valid UTF-8"}},
    {"unknown pre-tokenizer",
     STEP("pre_tokenizer", "\"type\":\"Sentences\""),
     {T, "pre_tokenizer", "Sentences", "Whitespace, "}},
    {"delimiter of two characters",
     STEP("pre_tokenizer", "\"type\":\"CharDelimiterSplit\",\"delimiter\":\"ab\""),
     {T, "pre_tokenizer", "\"delimiter\"", "one character"}},
    {"no delimiter",
     STEP("pre_tokenizer", "\"type\":\"CharDelimiterSplit\""),
     {T, "pre_tokenizer", "\"delimiter\"", "missing"}},
    {"length of nothing",
     STEP("pre_tokenizer", "\"type\":\"FixedLength\",\"length\":0"),
     {T, "pre_tokenizer", "\"length\"", "is 0"}},
    {"unknown behavior",
     SPLIT("{\"String\":\"x\"}", "\"Isolate\""),
     {T, "pre_tokenizer", "\"behavior\"", "Isolate", "Isolated"}},
    {"broken regex", REGEX("(a"), {T, "pre_tokenizer", "\"pattern\"", "regular expression"}},
    {"broken class", REGEX("[a"), {T, "pre_tokenizer", "\"pattern\"", "regular expression"}},
    {"unknown property",
     REGEX("\\\\p{Xyz}"),
     {T, "pre_tokenizer", "\"pattern\"", "regular expression"}},
    {"class without case", REGEX("(?i)[a-z&&[^b]]"), {T, "pre_tokenizer", "&&"}},
    {"unknown property", REGEX("[\\\\p{Elvish}]"), {T, "pre_tokenizer", "Elvish"}},
    {"metaspace of two characters",
     STEP("pre_tokenizer", "\"type\":\"Metaspace\",\"replacement\":\"ab\""),
     {T, "pre_tokenizer", "\"replacement\"", "one character"}},
    {"metaspace that contradicts itself",
     STEP("pre_tokenizer",
          "\"type\":\"Metaspace\",\"replacement\":\"_\",\"add_prefix_space\":false,"
          "\"prepend_scheme\":\"first\""),
     {T, "pre_tokenizer", "add_prefix_space", "prepend_scheme"}},
    {"unknown decoder", STEP("decoder", "\"type\":\"CTR\""), {T, "decoder", "CTR", "CTC"}},
    {"CTC without its tokens",
     STEP("decoder", "\"type\":\"CTC\",\"cleanup\":true"),
     {T, "decoder", "\"pad_token\" is missing"}},
    {"BPEDecoder without suffix",
     STEP("decoder", "\"type\":\"BPEDecoder\""),
     {T, "decoder", "\"suffix\" is missing"}},
    {"WordPiece without cleanup",
     STEP("decoder", "\"type\":\"WordPiece\",\"prefix\":\"##\""),
     {T, "decoder", "\"cleanup\" is missing"}},
    {"strip of nothing",
     STEP("decoder", "\"type\":\"Strip\",\"content\":\"\",\"start\":1,\"stop\":0"),
     {T, "decoder", "\"content\""}},
    {"strip of negative length",
     STEP("decoder", "\"type\":\"Strip\",\"content\":\"a\",\"start\":-1,\"stop\":0"),
     {T, "decoder", "\"start\" is -1"}},
    {"unknown post-processor",
     STEP("post_processor", "\"type\":\"NoProcessing\""),
     {T, "post_processor", "NoProcessing", "TemplateProcessing"}},
    {"template of unknown token",
     STEP("post_processor", "\"type\":\"TemplateProcessing\",\"special_tokens\":{},\"single\":"
                            "[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}]"),
     {T, "post_processor", "<s>"}},
    {"template of unknown id",
     STEP("post_processor",
          "\"type\":\"TemplateProcessing\",\"special_tokens\":{\"<s>\":{\"ids\":[9]}},"
          "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\"}},{\"Sequence\":{\"id\":\"A\"}}]"),
     {T, "post_processor", "id 9"}},
};

#define C "tokenizer_config.json"
#define CONFIG(text_)                                                                              \
    {                                                                                              \
        {                                                                                          \
            .name = C, .text = text_                                                               \
        }                                                                                          \
    }
#define J "chat_template.jinja"
#define JINJA(text_)                                                                               \
    {                                                                                              \
        {                                                                                          \
            .name = J, .text = text_                                                               \
        }                                                                                          \
    }

static const struct bad_case template_cases[] = {
    {"template is a number",
     CONFIG("{\"chat_template\":3}"),
     {C, "\"chat_template\"", "an integer"}},
    {"no template of that name",
     CONFIG("{\"chat_template\":[{\"name\":\"tool\",\"template\":\"\"}]}"),
     {"\"tool\"", "default"}},
    {"config is a list", CONFIG("[]"), {C, "an array"}},
    {"config is no JSON", CONFIG("{"), {C, "not valid JSON"}},
    {"error in the config",
     CONFIG("{\"chat_template\":\"\\n{% if %}\"}"),
     {C, "chat_template", "line 2"}},
    {"no end of a tag", JINJA("a\n{{ x"), {J, "line 2", "}}"}},
    {"no end of a block", JINJA("{% if x"), {J, "line 1", "%}"}},
    {"no end of a comment", JINJA("\n\n{# x"), {J, "line 3", "#}"}},
    {"no end of a string", JINJA("{{ 'x }}"), {J, "line 1", "string"}},
    {"no end of an if", JINJA("{% if x %}\n{{ x }}"), {J, "line 2", "endif"}},
    {"no end of a for", JINJA("{% for x in y %}"), {J, "line 1", "endfor"}},
    {"end without a begin", JINJA("{% endif %}"), {J, "line 1", "endif"}},
    {"wrong end", JINJA("{% for x in y %}{% endif %}"), {J, "line 1", "endif"}},
    {"unknown statement", JINJA("{% frobnicate %}"), {J, "line 1", "frobnicate"}},
    {"macro without end", JINJA("{% macro f() %}"), {J, "line 1", "endmacro"}},
    {"caller without default",
     JINJA("{% macro f(caller) %}{{ caller }}{% endmacro %}"),
     {J, "line 1", "caller"}},
    {"loop assigned",
     JINJA("{% for a in b %}{% set loop = 1 %}{% endfor %}"),
     {J, "line 1", "loop"}},
    {"argument twice", JINJA("{{ f(a=1, a=2) }}"), {J, "line 1", "\"a\"", "twice"}},
    {"character by name", JINJA("{{ '\\N{BULLET}' }}"), {J, "line 1", "\\N"}},
    {"break outside", JINJA("{% break %}"), {J, "line 1", "break"}},
    {"no expression", JINJA("{{ }}"), {J, "line 1", "an expression"}},
    {"operator at the end", JINJA("{{ a + }}"), {J, "line 1", "an expression"}},
    {"two expressions", JINJA("{{ a b }}"), {J, "line 1", "\"b\""}},
    {"bracket not closed", JINJA("{{ a[1 }}"), {J, "line 1", "\"]\""}},
    {"bracket not opened", JINJA("{{ a) }}"), {J, "line 1", "\")\""}},
    {"other bracket", JINJA("{{ (a] }}"), {J, "line 1", "\"]\"", "\")\""}},
    {"strange character", JINJA("{{ a ? b }}"), {J, "line 1", "\"?\""}},
    {"strange escape", JINJA("{{ '\\x4' }}"), {J, "line 1", "hexadecimal"}},
    {"number too large", JINJA("{{ 99999999999999999999 }}"), {J, "line 1", "64 bits"}},
};

// These are refused while rendering: the template can be read.
static enum status render_template(const char *path)
{
    struct chat_template *chat;
    struct bytes out;
    const struct chat_message messages[] = {{"user", "hello"}, {"assistant", NULL}};
    enum status status = chat_template_open(path, &chat);
    bytes_init(&out);
    if (status == OK)
        status = chat_template_render(chat, messages, 2, true, &out);
    assert_int_equal(out.length, 0); // a failure writes nothing
    bytes_fini(&out);
    chat_template_close(chat);
    return status == OK ? OK : fail_in(status, "expected a failure");
}

static const struct bad_case render_cases[] = {
    {"exception", JINJA("a\n{{ raise_exception('no ' + 'way') }}"), {J, "line 2", "no way"}},
    {"item of nothing", JINJA("{{ nothing.x }}"), {J, "line 1", "nothing", "undefined"}},
    {"call of nothing", JINJA("{{ nothing() }}"), {J, "line 1", "nothing", "undefined"}},
    {"text plus number", JINJA("{{ 'a' + 1 }}"), {J, "line 1", "+", "a string", "an integer"}},
    {"text plus none", JINJA("{{ 'a' + messages[1].content }}"), {J, "line 1", "content"}},
    {"iterating none", JINJA("{% for x in none %}{% endfor %}"), {J, "line 1", "none"}},
    {"order of kinds", JINJA("{{ 'a' < 1 }}"), {J, "line 1", "no order"}},
    {"division by zero", JINJA("{{ 1 // 0 }}"), {J, "line 1", "divided"}},
    {"overflow", JINJA("{{ 9223372036854775807 + 1 }}"), {J, "line 1", "64 bits"}},
    {"unknown filter", JINJA("{{ 'a' | frob }}"), {J, "line 1", "frob"}},
    {"unknown test", JINJA("{{ 'a' is frob }}"), {J, "line 1", "frob"}},
    {"unknown method", JINJA("{{ 'a'.frob() }}"), {J, "line 1", "frob"}},
    {"set of a list", JINJA("{% set messages.x = 1 %}"), {J, "line 1", "namespace"}},
    {"without end",
     JINJA("{% for a in range(1000000) %}{% for b in range(1000000) %}{% endfor %}{% endfor %}"),
     {J, "line 1", "range"}},
    {"too much memory",
     JINJA("{% set ns = namespace(x='0123456789') %}{% for a in range(60) %}{% set ns.x = ns.x + "
           "ns.x %}"
           "{% endfor %}"),
     {J, "line 1", "bytes"}},
    {"too much text",
     JINJA("{% set ns = namespace(x='0123456789') %}{% for a in range(20) %}{% set ns.x = ns.x + "
           "ns.x %}"
           "{% endfor %}{% for a in range(9) %}{{ ns.x }}{% endfor %}"),
     {J, "line 1", "bytes"}},
};

static void tokenizers_are_refused(void **state)
{
    (void)state;
    run_cases(CASES(file_cases), open_tokenizer);
    run_cases(CASES(model_cases), open_tokenizer);
    run_cases(CASES(added_cases), open_tokenizer);
    run_cases(CASES(step_cases), open_tokenizer);
}

static void templates_are_refused(void **state)
{
    (void)state;
    run_cases(CASES(template_cases), open_template);
    run_cases(CASES(render_cases), render_template);
}

static void a_folder_without_template_is_unsupported(void **state)
{
    struct chat_template *chat;
    (void)state;
    assert_int_equal(chat_template_open("/nonexistent", &chat), ERR_UNSUPPORTED);
    assert_non_null(strstr(status_message(), "/nonexistent"));
    assert_non_null(strstr(status_message(), "no chat template"));
    assert_null(chat);
}

// A bracket in each place where one is allowed must not overflow the stack.
static void nesting_is_bounded(void **state)
{
    static const char *const parts[] = {"(",  "[",    "{1:",          "-",  "not ", "a[",
                                        "f(", "a|f(", "1 if a else ", "1+", "a.b"};
    (void)state;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        struct bytes text;
        struct chat_template *chat;
        struct bytes out;
        bytes_init(&text);
        bytes_init(&out);
        assert_int_equal(bytes_text(&text, "{{ "), OK);
        for (int k = 0; k < 50000; k++)
            assert_int_equal(bytes_text(&text, parts[i]), OK);
        assert_int_equal(bytes_text(&text, "1 }}"), OK);
        enum status status = chat_template_parse("t", text.data, text.length, NULL, &chat);
        if (status == OK)
            status = chat_template_render(chat, NULL, 0, false, &out);
        assert_int_not_equal(status, OK);
        bytes_fini(&text);
        bytes_fini(&out);
        chat_template_close(chat);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokenizers_are_refused),
        cmocka_unit_test(templates_are_refused),
        cmocka_unit_test(a_folder_without_template_is_unsupported),
        cmocka_unit_test(nesting_is_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
