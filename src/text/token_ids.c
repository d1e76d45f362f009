#include "text/token_ids.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/memory.h"

void token_ids_init(struct token_ids *list)
{
    *list = (struct token_ids){0};
}

void token_ids_fini(struct token_ids *list)
{
    free(list->ids);
    token_ids_init(list);
}

enum status token_ids_append(struct token_ids *list, const int32_t *ids, size_t n)
{
    assert(list && (ids || n == 0));
    size_t wanted;
    if (!checked_add(list->n, n, &wanted))
        return fail_memory(SIZE_MAX, "token ids");
    TRY(memory_grow(&list->ids, &list->capacity, wanted, sizeof *list->ids, "token ids"));
    if (n > 0)
        memcpy(list->ids + list->n, ids, n * sizeof *ids);
    list->n = wanted;
    return OK;
}

enum status token_ids_push(struct token_ids *list, int32_t id)
{
    assert(list && list->n <= list->capacity);
    if (list->n == list->capacity)
        TRY(memory_grow(&list->ids, &list->capacity, list->n + 1, sizeof *list->ids, "token ids"));
    list->ids[list->n++] = id;
    return OK;
}
