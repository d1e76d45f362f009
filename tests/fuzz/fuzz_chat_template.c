// The input is a chat template, rendered with nested variables and as two conversations. Behind a
// NUL it brings variables of its own, as JSON.
#include "fuzz.h"

#include <string.h>

#include "base/utf8.h"
#include "text/chat_template.h"

static void check_text(struct bytes *out)
{
    size_t at;
    assert(utf8_check(out->data ? out->data : "", out->length, &at));
    bytes_fini(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const tokens[] = {"bos_token", "<s>", "eos_token", "</s>", NULL};
    static const struct chat_message messages[] = {
        {"system", " Be kind. "}, {"user", "Hi \xC3\xA9\n"}, {"assistant", NULL}, {"user", ""}};
    static const char variables[] =
        "{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"text\", \"text\": "
        "\"a\"}]}],"
        "\"s\": \"\\u00df \\u03a3\\u0000\\ud83c\\udf89 x\", \"n\": -9223372036854775808, \"x\": "
        "2.5,"
        "\"d\": {\"a\": 1, \"b\": [[[[[[[[{\"k\": {\"k\": {\"k\": []}}}]]]]]]]]}, \"e\": NaN,"
        "\"tools\": [{\"function\": {\"parameters\": {\"properties\": {\"p\": {\"enum\": [1, "
        "null]}}}}}]}";
    const uint8_t *end = size ? memchr(data, '\0', size) : NULL;
    const char *given = end ? (const char *)end + 1 : variables;
    size_t given_bytes = end ? size - (size_t)(end - data) - 1 : strlen(variables);
    struct chat_template *chat;
    struct bytes out;
    size = end ? (size_t)(end - data) : size;
    if (chat_template_parse("fuzz", (const char *)data, size, tokens, &chat) != OK)
        return 0;
    bytes_init(&out);
    if (chat_template_evaluate(chat, "variables", given, given_bytes, &out) == OK)
        check_text(&out);
    bytes_fini(&out);
    for (int n = 1; n <= 4; n += 3) {
        bytes_init(&out);
        if (chat_template_render(chat, messages, n, n > 1, &out) == OK)
            check_text(&out);
        bytes_fini(&out);
    }
    chat_template_close(chat);
    return 0;
}
