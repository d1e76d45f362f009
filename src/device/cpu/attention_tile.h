// Attention in tiles: the loops over queries, groups and pages, once for every instruction set. A
// tile is a few tokens times the query heads of a group ("rows", token after token); every page is
// read once for all of its rows. An instruction set brings the steps that compute.
#ifndef COLROW_DEVICE_CPU_ATTENTION_TILE_H
#define COLROW_DEVICE_CPU_ATTENTION_TILE_H

#include "device/cpu/kv_codes.h"
#include "device/kernels.h"

enum { TILE_ROWS_MAX = 192, TILE_COLUMNS = 16 };

// How the numbers of a page's keys or values lie. PAGE_F32 is that of struct kv_view or of a
// widened page.
enum page_form { PAGE_F32, PAGE_BF16, PAGE_F16 };

// Rows whose sums stay in registers during a pass over a page. It does not show in the results.
// Compilers take minutes to check six unrolled rows.
#ifdef COLROW_SANITIZED
enum { PASS_ROWS = 2 };
#else
enum { PASS_ROWS = 6 };
#endif

struct attention_tile {
    enum compute_type type, out_type;
    int *shape;   // 0, then what AMX's registers were last told; the steps' own
    int rows_max; // TILE_ROWS_MAX, fewer with large heads
    int head_dim;
    int value_dim, width; // width: value_dim rounded up to TILE_COLUMNS
    int n_heads;          // row i is of head i % n_heads
    // Scores are products times `scale`. Where `adjusts`, `scale` is 1 and adjust() has made them
    // of the products: `product_scale`, `softcap` or 0, `slopes` or NULL.
    bool adjusts;
    float scale, product_scale, softcap;
    const float *slopes;
    int64_t position; // of the page's first key
    // as many bytes as scores() or add_values() reads, wanted next; NULL for none
    const char *ahead;
    bool fresh; // the group's first page: o counts as zero, whatever it holds
    float *q;   // [rows][head_dim], or what load_queries() made of it
    float *p;   // [rows][KV_PAGE_TOKENS]: products q . k, then weights rounded for the next product
    uint64_t *visible;            // [rows]: bit j is set where the row sees position j of the page
    float *m, *l, *c;             // [rows]: of the current group; c scales o before a page is added
    float *o;                     // [rows][width]
    float *all_m, *all_l, *all_o; // of the groups before it
    float *keys;                  // [head_dim][KV_PAGE_TOKENS]: a page widened
    float *values;                // [KV_PAGE_TOKENS][width], finite from value_dim on
    char *numbers[2];             // of codes: a page of keys, of values, as in a plain cache
};

// Rows are [row, end). `stride`: of values in PAGE_F32, floats from one position to the next.
struct attention_steps {
    int widen_rows;         // a page is widened for this many rows or more; fewer read it as it is
    int chunk_rows;         // so many take all steps before others do: p, o stay in the first cache
    enum page_form widened; // what widen_keys() and widen_values() make
    kv_expand expand;       // of a cache of codes
    void (*load_query)(const struct attention_tile *tile, int row, const void *q);
    void (*widen_keys)(const struct attention_tile *tile, const void *page);
    void (*widen_values)(const struct attention_tile *tile, const void *page);
    // p = q . k
    void (*scores)(const struct attention_tile *tile, int row, int end, const void *keys,
                   enum page_form form);
    // p = the scores, where they are more than the products times a scale
    void (*adjust)(const struct attention_tile *tile, int row, int end);
    // p = the weights of the visible scores p * scale, 0 elsewhere; m, l and c go on
    void (*weights)(const struct attention_tile *tile, int row, int end);
    // o = o * c + p . v; called with whole blocks of TILE_COLUMNS, except in PAGE_F32 where
    // `stride` is so wide
    void (*add_values)(const struct attention_tile *tile, int row, int end, const void *values,
                       enum page_form form, size_t stride);
    void (*merge)(const struct attention_tile *tile, int row, int end); // the group into all_*
    void (*store)(const struct attention_tile *tile, int row,
                  void *out); // all_o / all_l, rounded, value_dim numbers
    // out[64] = fma(weights[i], relu(p of row i), out) for ascending i < n
    void (*add_heads)(const struct attention_tile *tile, const float *weights, int n, float *out);
};

void attention_run(const struct attention *args, const struct attention_steps *steps);
// The same steps for an indexer: load_query, widen_keys, scores and add_heads.
void index_run(const struct index_scoring *args, const struct attention_steps *steps);

#endif
