#include "cmd/chat_input.h"

#include <string.h>

#include "base/utf8.h"

static const char fence[] = "\"\"\"";
enum { FENCE_BYTES = sizeof fence - 1 };

static bool line_ends_with(const struct bytes *text, size_t from, const char *end)
{
    size_t n = strlen(end);
    return text->length >= from + n && memcmp(text->data + text->length - n, end, n) == 0;
}

static void shorten_text(struct bytes *text, size_t n)
{
    text->length -= n;
    text->data[text->length] = '\0';
}

static void shorten_front(struct bytes *text, size_t n)
{
    memmove(text->data, text->data + n, text->length - n);
    shorten_text(text, n);
}

// `text` is all so far, its last line begins at `line`. Whether another one belongs to it.
static bool wants_more(struct bytes *text, size_t line, bool pasted, bool *fenced)
{
    if (line == 0 && text->length >= FENCE_BYTES && memcmp(text->data, fence, FENCE_BYTES) == 0) {
        *fenced = true;
        shorten_front(text, FENCE_BYTES);
    }
    if (*fenced) {
        if (!line_ends_with(text, line, fence))
            return true;
        shorten_text(text, FENCE_BYTES);
        return false;
    }
    if (line_ends_with(text, line, "\\")) {
        shorten_text(text, 1);
        return true;
    }
    return pasted;
}

static enum status check_message(const struct bytes *text)
{
    size_t at;
    if (text->length && memchr(text->data, '\0', text->length))
        return fail(ERR_INPUT, "standard input: holds a NUL byte; expected text");
    if (text->length && !utf8_check(text->data, text->length, &at))
        return fail(ERR_INPUT, "standard input: is not valid UTF-8: byte 0x%02X at offset %zu",
                    (unsigned char)text->data[at], at);
    return OK;
}

enum status chat_input_read(struct line_editor *editor, struct bytes *text,
                            enum line_result *result)
{
    enum { TEXT_BYTES_MAX = 16 << 20 };
    bool fenced = false, more = true;
    bytes_clear(text);
    for (size_t line = 0; more; line = text->length) {
        TRY(line_editor_read(editor, line ? "... " : ">>> ", text, result));
        if (*result == LINE_STOPPED)
            return OK;
        if (*result == LINE_END) {
            if (text->length)
                *result = LINE_READ; // the end comes again
            break;
        }
        if (text->length > TEXT_BYTES_MAX)
            return fail(ERR_INPUT, "standard input: a message has more than %d bytes",
                        TEXT_BYTES_MAX);
        more = wants_more(text, line, *result == LINE_CONTINUES, &fenced);
        if (more)
            TRY(bytes_text(text, "\n"));
    }
    if (*result == LINE_CONTINUES)
        *result = LINE_READ;
    while (text->length && strchr("\r\n \t", text->data[text->length - 1]))
        shorten_text(text, 1);
    return check_message(text);
}
