// Lists, and dicts that keep the order of insertion as Python's do.
#include "text/jinja_run.h"

#include <assert.h>

#include "base/checked.h"

enum { LINEAR_MAX = 8 }; // entries that are looked through without a table

enum status jinja_list_new(struct jinja_run *run, enum jinja_type type, size_t capacity,
                           struct jinja_list **list, struct jinja_value *out)
{
    assert((type == JINJA_LIST || type == JINJA_TUPLE) && list && out);
    TRY(jinja_take(run, 1, sizeof **list, list));
    TRY(jinja_take(run, capacity, sizeof *(*list)->items, &(*list)->items));
    (*list)->n = 0;
    *out = (struct jinja_value){.type = (uint8_t)type, .list = *list};
    return OK;
}

enum status jinja_pair(struct jinja_run *run, struct jinja_value a, struct jinja_value b,
                       struct jinja_value *out)
{
    struct jinja_list *list;
    TRY(jinja_list_new(run, JINJA_TUPLE, 2, &list, out));
    list->items[0] = a;
    list->items[1] = b;
    list->n = 2;
    return OK;
}

enum status jinja_push(struct jinja_run *run, struct jinja_builder *builder,
                       struct jinja_value item)
{
    assert(run && builder && builder->n <= builder->capacity);
    if (builder->n == builder->capacity) {
        struct jinja_value *items;
        size_t capacity = builder->capacity ? builder->capacity * 2 : 8;
        TRY(jinja_take(run, capacity, sizeof *items, &items));
        if (builder->n > 0)
            memcpy(items, builder->items, builder->n * sizeof *items);
        builder->items = items;
        builder->capacity = capacity;
    }
    builder->items[builder->n++] = item;
    return jinja_step(run, 1);
}

enum status jinja_built(struct jinja_run *run, enum jinja_type type,
                        const struct jinja_builder *builder, struct jinja_value *out)
{
    assert(builder && builder->n <= builder->capacity && out);
    struct jinja_list *list;
    TRY(jinja_take(run, 1, sizeof *list, &list));
    *list = (struct jinja_list){.n = builder->n, .items = builder->items};
    *out = (struct jinja_value){.type = (uint8_t)type, .list = list};
    return OK;
}

// ---- dicts ----

enum status jinja_dict_new(struct jinja_run *run, struct jinja_dict **out)
{
    TRY(jinja_take(run, 1, sizeof **out, out));
    **out = (struct jinja_dict){0};
    return OK;
}

// `*index` is where the key is, or n.
static enum status find_key(struct jinja_run *run, const struct jinja_dict *dict,
                            struct jinja_value key, uint64_t hash, size_t *index)
{
    assert(dict && index);
    bool same;
    *index = dict->n;
    if (!dict->slots) {
        for (size_t i = 0; i < dict->n; i++) {
            if (dict->entries[i].hash != hash)
                continue;
            TRY(jinja_equal(run, dict->entries[i].key, key, &same));
            if (same) {
                *index = i;
                return OK;
            }
        }
        return OK;
    }
    size_t mask = dict->n_slots - 1;
    for (size_t at = (size_t)hash & mask; dict->slots[at] != 0; at = (at + 1) & mask) {
        const struct jinja_entry *entry = &dict->entries[dict->slots[at] - 1];
        TRY(jinja_step(run, 1));
        if (entry->hash != hash)
            continue;
        TRY(jinja_equal(run, entry->key, key, &same));
        if (same) {
            *index = dict->slots[at] - 1;
            return OK;
        }
    }
    return OK;
}

enum status jinja_dict_get(struct jinja_run *run, const struct jinja_dict *dict,
                           struct jinja_value key, const struct jinja_value **out)
{
    assert(run && dict && dict->n <= dict->capacity && out);
    uint64_t hash;
    size_t index;
    TRY(jinja_hash(run, key, &hash));
    TRY(find_key(run, dict, key, hash, &index));
    *out = index < dict->n ? &dict->entries[index].value : NULL;
    return OK;
}

static enum status fill_slots(struct jinja_run *run, struct jinja_dict *dict)
{
    size_t n_slots = dict->capacity * 2; // a power of two
    TRY(jinja_take(run, n_slots, sizeof *dict->slots, &dict->slots));
    memset(dict->slots, 0, n_slots * sizeof *dict->slots);
    dict->n_slots = n_slots;
    for (size_t i = 0; i < dict->n; i++) {
        size_t at = (size_t)dict->entries[i].hash & (n_slots - 1);
        while (dict->slots[at] != 0)
            at = (at + 1) & (n_slots - 1);
        dict->slots[at] = (uint32_t)i + 1;
    }
    return OK;
}

static enum status grow_dict(struct jinja_run *run, struct jinja_dict *dict)
{
    struct jinja_entry *entries;
    size_t capacity = dict->capacity ? dict->capacity * 2 : 4;
    TRY(jinja_take(run, capacity, sizeof *entries, &entries));
    if (dict->n > 0)
        memcpy(entries, dict->entries, dict->n * sizeof *entries);
    dict->entries = entries;
    dict->capacity = capacity;
    return capacity > LINEAR_MAX ? fill_slots(run, dict) : OK;
}

enum status jinja_dict_set(struct jinja_run *run, struct jinja_dict *dict, struct jinja_value key,
                           struct jinja_value value)
{
    assert(run && dict && dict->n <= dict->capacity);
    uint64_t hash;
    size_t index;
    TRY(jinja_step(run, 1));
    TRY(jinja_hash(run, key, &hash));
    TRY(find_key(run, dict, key, hash, &index));
    if (index < dict->n) {
        dict->entries[index].value = value;
        return OK;
    }
    if (dict->n == dict->capacity)
        TRY(grow_dict(run, dict));
    dict->entries[dict->n++] = (struct jinja_entry){key, value, hash};
    if (dict->slots) {
        size_t mask = dict->n_slots - 1, at = (size_t)hash & mask;
        while (dict->slots[at] != 0)
            at = (at + 1) & mask;
        dict->slots[at] = (uint32_t)dict->n;
    }
    return OK;
}
