// A growing list of token ids.
#ifndef COLROW_TEXT_TOKEN_IDS_H
#define COLROW_TEXT_TOKEN_IDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct token_ids {
    int32_t *ids;
    size_t n, capacity;
};

void token_ids_init(struct token_ids *list);
void token_ids_fini(struct token_ids *list);
enum status token_ids_append(struct token_ids *list, const int32_t *ids, size_t n) STATUS_MUST_USE;
enum status token_ids_push(struct token_ids *list, int32_t id) STATUS_MUST_USE;

#endif
