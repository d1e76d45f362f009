// Chat templates, first step: a template's text to tokens, as Jinja 3.1 with trim_blocks and
// lstrip_blocks.
#ifndef COLROW_TEXT_JINJA_LEXER_H
#define COLROW_TEXT_JINJA_LEXER_H

#include <stddef.h>
#include <stdint.h>

#include "base/memory.h"
#include "base/status.h"

enum { JINJA_TEMPLATE_BYTES_MAX = 1024 * 1024 };

enum jinja_token_kind {
    JINJA_TOKEN_DATA,        // text between tags
    JINJA_TOKEN_BLOCK_BEGIN, // {%
    JINJA_TOKEN_BLOCK_END,
    JINJA_TOKEN_PRINT_BEGIN, // {{
    JINJA_TOKEN_PRINT_END,
    JINJA_TOKEN_NAME,
    JINJA_TOKEN_STRING, // the text is unescaped
    JINJA_TOKEN_INT,
    JINJA_TOKEN_FLOAT,
    JINJA_TOKEN_OPERATOR,
    JINJA_TOKEN_END, // of the template
};

struct jinja_token {
    enum jinja_token_kind kind;
    int line;
    const char *text; // into the arena
    size_t length;
    int64_t number; // JINJA_TOKEN_INT
    double real;    // JINJA_TOKEN_FLOAT
};

struct jinja_tokens {
    struct jinja_token *items; // heap; the last one is JINJA_TOKEN_END
    size_t n, capacity;
};

// `arena` keeps the tokens' texts. Messages begin with `name` and the line.
enum status jinja_lex(const char *name, const char *text, size_t length, struct arena *arena,
                      struct jinja_tokens *out) STATUS_MUST_USE;
void jinja_tokens_fini(struct jinja_tokens *tokens);

#endif
