// tokenizer.json's "post_processor": the special tokens around a text.
#ifndef COLROW_TEXT_POST_PROCESSOR_H
#define COLROW_TEXT_POST_PROCESSOR_H

#include <jansson.h>

#include "base/status.h"
#include "text/token_ids.h"

enum {
    POST_PROCESSOR_IDS_MAX = 1024,
    POST_PROCESSOR_TEXT = -1, // in a layout: here stand the ids of the text
};

// What comes out, in order: ids of special tokens and POST_PROCESSOR_TEXT, which may stand there
// more than once or never.
struct post_processor {
    struct token_ids with_special; // when special tokens are asked for
    struct token_ids plain;        // when they are not
};

void post_processor_fini(struct post_processor *post);
// `root` is the whole tokenizer.json, `where` its path.
enum status post_processor_parse(const json_t *root, const char *where,
                                 struct post_processor *post) STATUS_MUST_USE;
// Puts `id` in front of everything, or behind it, where special tokens are asked for.
enum status post_processor_prepend(struct post_processor *post, int32_t id) STATUS_MUST_USE;
enum status post_processor_append(struct post_processor *post, int32_t id) STATUS_MUST_USE;

#endif
