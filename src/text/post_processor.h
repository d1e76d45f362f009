// tokenizer.json's "post_processor": the special tokens before and after a text.
#ifndef COLROW_TEXT_POST_PROCESSOR_H
#define COLROW_TEXT_POST_PROCESSOR_H

#include <jansson.h>

#include "base/status.h"
#include "text/token_ids.h"

enum { POST_PROCESSOR_IDS_MAX = 1024 };

struct post_processor {
    struct token_ids before, after;
};

void post_processor_init(struct post_processor *post);
void post_processor_fini(struct post_processor *post);
// `root` is the whole tokenizer.json, `where` its path.
enum status post_processor_parse(const json_t *root, const char *where,
                                 struct post_processor *post) STATUS_MUST_USE;

#endif
