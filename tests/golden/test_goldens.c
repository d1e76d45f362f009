// Tiny checkpoints against what Transformers computes with them (shared/goldens), with one rank:
// every folder there whose config.json is of a family that colrow has.
#include "model_runner.h"

#include <dirent.h>
#include <math.h>

#include "base/file.h"
#include "hf/safetensors.h"
#include "model/state_layout.h"

enum { CHUNK_MAX = 640, PAGES = 16 };

static struct dirent **names;
static int n_names;

struct golden {
    struct safetensors_header header;
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
};

static void golden_open(const char *name, struct golden *g)
{
    snprintf(g->folder, sizeof g->folder, "%s/goldens/%s", SHARED_DIR, name);
    snprintf(g->path, sizeof g->path, "%.4000s/golden.safetensors", g->folder);
    assert_int_equal(safetensors_open(g->path, &g->header), OK);
}

// Whether the folder holds a golden of a model that colrow knows.
static int is_known(const struct dirent *entry)
{
    char folder[FILE_PATH_MAX], path[FILE_PATH_MAX];
    struct model_config config;
    snprintf(folder, sizeof folder, "%s/goldens/%s", SHARED_DIR, entry->d_name);
    snprintf(path, sizeof path, "%.4000s/golden.safetensors", folder);
    FILE *file = fopen(path, "rb");
    if (!file)
        return 0;
    fclose(file);
    if (model_config_read(folder, &config) == OK)
        return 1;
    printf("not known: %s\n", status_message());
    return 0;
}

static int find_goldens(void **state)
{
    (void)state;
    n_names = scandir(SHARED_DIR "/goldens", &names, is_known, alphasort);
    return n_names >= 6 ? 0 : -1; // those of Llama and Mistral, with which it began
}

static int free_goldens(void **state)
{
    (void)state;
    for (int i = 0; i < n_names; i++)
        free(names[i]);
    free(names);
    return 0;
}

static void golden_close(struct golden *g)
{
    safetensors_close(&g->header);
}

// A tensor's bytes on the heap.
static void *tensor(const struct golden *g, const char *name, int64_t *n)
{
    const struct tensor_info *info = safetensors_find(&g->header, name);
    assert_non_null(info);
    void *data = malloc(info->bytes);
    FILE *file = fopen(g->path, "rb");
    assert_non_null(data);
    assert_non_null(file);
    assert_int_equal(fseek(file, (long)info->offset, SEEK_SET), 0);
    assert_int_equal(fread(data, 1, info->bytes, file), info->bytes);
    fclose(file);
    *n = (int64_t)(info->bytes / element_bytes(info->type));
    return data;
}

static int32_t *token_tensor(const struct golden *g, const char *name, int *n)
{
    int64_t count;
    int64_t *wide = tensor(g, name, &count);
    int32_t *ids = malloc((size_t)count * sizeof *ids);
    assert_non_null(ids);
    for (int64_t i = 0; i < count; i++)
        ids[i] = (int32_t)wide[i];
    free(wide);
    *n = (int)count;
    return ids;
}

static double metadata_or(const struct golden *g, const char *key, double absent)
{
    for (int i = 0; i < g->header.n_metadata; i++)
        if (strcmp(g->header.metadata[2 * i], key) == 0)
            return atof(g->header.metadata[2 * i + 1]);
    return absent;
}

static double metadata(const struct golden *g, const char *key)
{
    double value = metadata_or(g, key, -1);
    if (value < 0)
        FAIL_TEST("no metadata %s", key);
    return value;
}

struct error {
    double largest, mean, median;
    double best;    // the median, or, of models with states, that of rows that err least
    double allowed; // in float32
};

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static struct error compare(const float *found, const float *expected, int64_t n)
{
    struct error e = {0};
    double *all = malloc((size_t)n * sizeof *all);
    assert_non_null(all);
    double least = HUGE_VAL, most = -HUGE_VAL;
    for (int64_t i = 0; i < n; i++) {
        double d = fabs((double)found[i] - (double)expected[i]);
        assert_true(d == d);
        all[i] = d;
        e.largest = d > e.largest ? d : e.largest;
        e.mean += d / (double)n;
        least = fmin(least, (double)expected[i]);
        most = fmax(most, (double)expected[i]);
    }
    e.allowed = fmax(5e-4, 2e-4 * (most - least));
    qsort(all, (size_t)n, sizeof *all, ascending);
    e.median = all[n / 2];
    free(all);
    return e;
}

static bool keeps_states(const struct model_config *config)
{
    for (int layer = 0; layer < config->num_hidden_layers; layer++)
        if (state_sublayer(config, layer) >= 0)
            return true;
    return false;
}

// What an early token's experts have left in a state all later tokens see. The median of the
// quarter of the rows that err least is that of rows which it has faded from.
static double median_of_best_rows(const float *found, const float *expected, int n_rows,
                                  size_t width)
{
    double *medians = calloc((size_t)n_rows, sizeof *medians);
    assert_non_null(medians);
    for (int row = 0; row < n_rows; row++)
        medians[row] =
            compare(found + (size_t)row * width, expected + (size_t)row * width, (int64_t)width)
                .median;
    qsort(medians, (size_t)n_rows, sizeof *medians, ascending);
    const double median = medians[n_rows / 8];
    free(medians);
    return median;
}

static void open_model(const struct golden *g, enum compute_type compute, int n_threads,
                       struct comm *comm, struct runner *r)
{
    struct runner_options options = {.folder = g->folder,
                                     .compute = compute,
                                     .n_threads = n_threads,
                                     .rows_max = CHUNK_MAX,
                                     .n_pages = PAGES};
    if (runner_open(&options, comm, NULL, r) != OK)
        FAIL_TEST("%s", status_message());
}

static void check(enum status status)
{
    if (status != OK)
        FAIL_TEST("%s", status_message());
}

static struct error short_error(const struct golden *g, struct runner *r,
                                struct error *hidden_error)
{
    int n;
    int64_t count, hidden_count;
    int32_t *ids = token_tensor(g, "input_ids", &n);
    float *expected = tensor(g, "logits", &count), *found = calloc((size_t)count, sizeof *found);
    float *states = tensor(g, "hidden_states", &hidden_count),
          *own = calloc((size_t)hidden_count, sizeof *own);
    assert_int_equal(count, (int64_t)n * r->config.vocab_size);
    check(runner_logits(r, ids, n, CHUNK_MAX, found, own));
    struct error e = compare(found, expected, count);
    *hidden_error = compare(own, states, hidden_count);
    e.best = keeps_states(&r->config)
                 ? median_of_best_rows(found, expected, n, (size_t)r->config.vocab_size)
                 : e.median;
    free(ids);
    free(expected);
    free(found);
    free(states);
    free(own);
    return e;
}

static struct error long_error(const struct golden *g, struct runner *r)
{
    int n, n_positions;
    int64_t count;
    int32_t *ids = token_tensor(g, "long_input_ids", &n),
            *positions = token_tensor(g, "long_positions", &n_positions);
    float *expected = tensor(g, "long_logits", &count);
    size_t vocab = (size_t)r->config.vocab_size;
    float *found = calloc((size_t)n * vocab, sizeof *found),
          *picked = calloc((size_t)count, sizeof *picked);
    check(runner_logits(r, ids, n, CHUNK_MAX, found, NULL));
    for (int i = 0; i < n_positions; i++)
        memcpy(picked + (size_t)i * vocab, found + (size_t)positions[i] * vocab,
               vocab * sizeof *found);
    struct error e = compare(picked, expected, count);
    free(ids);
    free(positions);
    free(expected);
    free(found);
    free(picked);
    return e;
}

// Greedy ids are Transformers' wherever its margin exceeds twice the error (two logits may err
// towards each other). After a step that could go either way, we go on with its choice.
static int greedy_mismatches(const struct golden *g, struct runner *r, double error)
{
    int n, n_greedy, mismatches = 0;
    int64_t count;
    int32_t *ids = token_tensor(g, "input_ids", &n),
            *greedy = token_tensor(g, "greedy_ids", &n_greedy);
    float *margin = tensor(g, "greedy_margin", &count);
    int64_t length = model_config_long_length(&r->config);
    assert_true(!length || n > length || n + n_greedy <= length); // or all would be computed anew
    r->is_long = length && n > length;
    check(runner_step(r, ids, n, 0, false));
    int32_t best = runner_best(r, n - 1);
    for (int i = 0; i < n_greedy; i++) {
        if (best != greedy[i] && (double)margin[i] > 2 * error)
            mismatches++;
        check(runner_step(r, &greedy[i], 1, n + i, false));
        best = runner_best(r, 0);
    }
    free(ids);
    free(greedy);
    free(margin);
    return mismatches;
}

static void test_float32(void **state)
{
    (void)state;
    struct comm *comm;
    assert_int_equal(comm_open_self(&comm), OK);
    for (int i = 0; i < n_names; i++) {
        struct golden g;
        struct runner r;
        struct error hidden;
        golden_open(names[i]->d_name, &g);
        open_model(&g, COMPUTE_F32, 1, comm, &r);
        struct error logits = short_error(&g, &r, &hidden), longer = long_error(&g, &r);
        int mismatches = greedy_mismatches(&g, &r, logits.largest);
        printf("%-18s float32   logits %.2e  long %.2e  hidden %.2e  greedy mismatches %d\n",
               names[i]->d_name, logits.largest, longer.largest, hidden.largest, mismatches);
        assert_true(logits.largest <= logits.allowed);
        assert_true(longer.largest <= longer.allowed);
        assert_true(hidden.largest <= hidden.allowed);
        assert_int_equal(mismatches, 0);
        runner_close(&r);
        golden_close(&g);
    }
    comm_close(comm);
}

static void test_sixteen_bits(void **state)
{
    (void)state;
    struct comm *comm;
    assert_int_equal(comm_open_self(&comm), OK);
    for (int i = 0; i < n_names; i++) {
        struct golden g;
        struct runner r;
        struct error hidden;
        golden_open(names[i]->d_name, &g);
        double mean = metadata(&g, "bf16_mean_abs"), largest = metadata(&g, "bf16_max_abs");
        for (int half = 0; half < 2; half++) {
            open_model(&g, half ? COMPUTE_F16 : COMPUTE_BF16, 1, comm, &r);
            struct error e = short_error(&g, &r, &hidden);
            int mismatches = greedy_mismatches(&g, &r, e.largest);
            printf("%-18s %-9s mean %.3e (%.2f of Transformers' bfloat16)  largest %.3e (%.2f)  "
                   "greedy mismatches %d\n",
                   names[i]->d_name, half ? "float16" : "bfloat16", e.mean, e.mean / mean,
                   e.largest, e.largest / largest, mismatches);
            if (metadata_or(&g, "min_topk_gap", HUGE_VAL) < HUGE_VAL) {
                // a router near a tie may choose otherwise, which makes any mean and maximum, and
                // in a step that these do not know of, another token
                const double most = 1.5 * metadata(&g, "bf16_median_abs");
                assert_true(e.median <= most || (!half && e.best <= most));
            } else {
                assert_true(e.mean <= 1.25 * mean);
                assert_true(e.largest <= 2 * largest);
                assert_int_equal(mismatches, 0);
            }
            runner_close(&r);
        }
        golden_close(&g);
    }
    comm_close(comm);
}

// The same bits whatever the chunks and the threads.
static void test_chunks_and_threads(void **state)
{
    (void)state;
    static const int chunks[] = {CHUNK_MAX, 1, 7, 64}, threads[] = {1, 2, 3};
    struct comm *comm;
    assert_int_equal(comm_open_self(&comm), OK);
    for (int i = 0; i < n_names; i++) {
        struct golden g;
        int n;
        golden_open(names[i]->d_name, &g);
        int32_t *ids = token_tensor(&g, "long_input_ids", &n);
        n = n < 200 ? n : 200; // three pages and a part; chunks of one token are slow with
                               // reference kernels
        for (int compute = COMPUTE_BF16; compute <= COMPUTE_F32; compute++) {
            float *first = NULL, *logits = NULL;
            size_t bytes = 0;
            for (int t = 0; t < 3; t++) {
                struct runner r;
                open_model(&g, (enum compute_type)compute, threads[t], comm, &r);
                bytes = (size_t)n * (size_t)r.config.vocab_size * sizeof *first;
                first = first ? first : calloc(1, bytes);
                logits = logits ? logits : calloc(1, bytes);
                for (int c = 0; c < (t ? 2 : 4); c++) {
                    bool is_first = t == 0 && c == 0;
                    check(runner_logits(&r, ids, n, chunks[c], is_first ? first : logits, NULL));
                    if (!is_first && memcmp(first, logits, bytes))
                        FAIL_TEST("%s: chunks of %d with %d threads give other bits",
                                  names[i]->d_name, chunks[c], threads[t]);
                }
                runner_close(&r);
            }
            free(first);
            free(logits);
        }
        free(ids);
        golden_close(&g);
    }
    comm_close(comm);
}

int main(void)
{
    if (!have_shared())
        return TEST_SKIPPED;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_float32),
        cmocka_unit_test(test_sixteen_bits),
        cmocka_unit_test(test_chunks_and_threads),
    };
    return cmocka_run_group_tests(tests, find_goldens, free_goldens);
}
