// The input is a chat template, rendered for two conversations.
#include "fuzz.h"

#include <string.h>

#include "text/chat_template.h"
#include "text/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const tokens[] = {"bos_token", "<s>", "eos_token", "</s>", NULL};
    static const struct chat_message messages[] = {
        {"system", " Be kind. "}, {"user", "Hi \xC3\xA9\n"}, {"assistant", NULL}, {"user", ""}};
    struct chat_template *chat;
    if (chat_template_parse("fuzz", (const char *)data, size, tokens, &chat) != OK)
        return 0;
    for (int n = 0; n <= 4; n += 4) {
        struct bytes out;
        size_t at;
        bytes_init(&out);
        if (chat_template_render(chat, messages, n, n > 0, &out) == OK)
            assert(utf8_check(out.data ? out.data : "", out.length, &at));
        bytes_fini(&out);
    }
    chat_template_close(chat);
    return 0;
}
