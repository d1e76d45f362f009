// A whole model on one rank: against a plain forward pass in double precision, and what opening and
// stepping promise.
#include "model_runner.h"
#include "tiny_model.h"

enum { TOKENS = 150 }; // more than two pages

static const struct tiny_spec specs[] = {
    {4, 2, 16, 48, 96, 100, 2, false, false, 0, ELEMENT_F32, false},
    {6, 3, 8, 64, 70, 131, 2, true, true, 0, ELEMENT_BF16, false},
    {12, 4, 16, 96, 224, 64, 2, false, false, 40, ELEMENT_F16, false},
    {5, 5, 4, 34, 22, 33, 3, false, true, 0, ELEMENT_NONE,
     false}, // 34 columns: nothing is a multiple of a vector
    {8, 1, 64, 128, 160, 257, 1, true, false, 0, ELEMENT_NONE, true},
};
enum { N_SPECS = sizeof specs / sizeof specs[0] };

static struct comm *self;

static void check(enum status status)
{
    if (status != OK)
        FAIL_TEST("%s", status_message());
}

static struct runner open_tiny(const struct tiny_model *m, enum compute_type compute, int rows_max,
                               int n_threads)
{
    struct runner r;
    const struct runner_options options = {
        .folder = m->folder, .compute = compute, .rows_max = rows_max, .n_threads = n_threads};
    check(runner_open(&options, self, NULL, &r));
    return r;
}

// In float32 only f32's own rounding is in the way; 16-bit modes round each product's input.
static void test_against_double(void **state)
{
    (void)state;
    static const double tolerance[] = {
        [COMPUTE_BF16] = 0.3, [COMPUTE_F16] = 0.03, [COMPUTE_F32] = 3e-5};
    int32_t tokens[TOKENS];
    for (int i = 0; i < N_SPECS; i++) {
        struct tiny_model m;
        tiny_make(&m, &specs[i], (uint64_t)i + 1);
        size_t n = (size_t)TOKENS * (size_t)specs[i].vocab;
        double *expected = tiny_doubles(n);
        float *found = calloc(n, sizeof *found);
        tiny_tokens(tokens, TOKENS, specs[i].vocab);
        tiny_forward(&m, tokens, TOKENS, expected);
        double spread = 0;
        for (size_t k = 0; k < n; k++)
            spread += expected[k] * expected[k] / (double)n;
        spread = sqrt(spread);
        for (int compute = COMPUTE_BF16; compute <= COMPUTE_F32; compute++) {
            struct runner r = open_tiny(&m, (enum compute_type)compute, TOKENS, 1);
            check(runner_logits(&r, tokens, TOKENS, TOKENS, found, NULL));
            double largest = 0;
            for (size_t k = 0; k < n; k++) {
                double d = fabs((double)found[k] - expected[k]) / spread;
                largest = d > largest || d != d ? d : largest;
            }
            printf("model %d %-8s largest error %.1e of the logits' deviation\n", i,
                   compute_name((enum compute_type)compute), largest);
            // With spikes the softmax is nearly a choice, which rounding to 16 bits may turn over.
            assert_true(largest <= tolerance[compute] * (specs[i].spiky ? 100 : 1));
            runner_close(&r);
        }
        free(expected);
        free(found);
        tiny_remove(&m);
    }
}

// What the plan predicts is what is reserved and read, to the byte.
static void test_memory_is_as_planned(void **state)
{
    (void)state;
    for (int i = 0; i < N_SPECS; i++) {
        struct tiny_model m;
        tiny_make(&m, &specs[i], 1);
        for (int compute = COMPUTE_BF16; compute <= COMPUTE_F32; compute++) {
            struct runner r = open_tiny(&m, (enum compute_type)compute, 33, 2);
            struct model_memory found;
            struct plan_memory planned;
            model_memory(r.model, &found);
            check(plan_memory(r.plan, r.checkpoint, 0, 33, 33, 2, &planned));
            assert_int_equal(found.weight_bytes, planned.weight_bytes);
            assert_int_equal(found.scratch_bytes, planned.scratch_bytes);
            assert_int_equal(found.kv_bytes, planned.kv_page_bytes * (uint64_t)r.n_pages);
            assert_int_equal(found.file_bytes_read, planned.file_bytes);
            assert_int_equal(planned.kv_page_bytes, planned.kv_bytes_per_token * KV_PAGE_TOKENS);
            uint64_t stored = 0;
            for (int t = 0; t < m.n_tensors; t++)
                stored += (uint64_t)(m.tensors[t].rows * m.tensors[t].columns) *
                          element_bytes(m.tensors[t].type);
            assert_int_equal(found.file_bytes_read, stored);
            runner_close(&r);
        }
        tiny_remove(&m);
    }
}

// Sequences of different lengths in one batch, prefill beside decode, greedy rows beside full ones:
// each row has the bits that it has alone.
static void test_batch(void **state)
{
    (void)state;
    enum { SEQUENCES = 5, CONTEXT = 100, PAGES_EACH = 3, VOCAB = 64 };
    static const int fed[SEQUENCES] = {0, 1, 63, 64, 70}, news[SEQUENCES] = {30, 1, 2, 1, 7};
    int32_t tokens[CONTEXT];
    struct tiny_model m;
    tiny_make(&m, &specs[2], 5);
    tiny_tokens(tokens, CONTEXT, VOCAB);
    for (int compute = COMPUTE_BF16; compute <= COMPUTE_F32; compute++) {
        struct runner r = open_tiny(&m, (enum compute_type)compute, CONTEXT, 3);
        float *alone = calloc(CONTEXT * VOCAB, sizeof *alone);
        check(runner_logits(&r, tokens, CONTEXT, CONTEXT, alone, NULL));
        // Each sequence is the same text, in pages of its own.
        int32_t pages[SEQUENCES][PAGES_EACH], batch[CONTEXT], rows[CONTEXT];
        uint8_t full[CONTEXT];
        struct step_sequence sequences[SEQUENCES];
        for (int s = 0; s < SEQUENCES; s++) {
            for (int p = 0; p < PAGES_EACH; p++)
                pages[s][p] = (7 * (s * PAGES_EACH + p) + 3) % r.n_pages;
            int32_t *own = r.pages;
            r.pages = pages[s];
            r.n_pages = PAGES_EACH;
            if (fed[s])
                check(runner_step(&r, tokens, fed[s], 0, false));
            r.pages = own;
            r.n_pages = 16;
        }
        int n = 0;
        for (int s = 0; s < SEQUENCES; s++) {
            sequences[s] = (struct step_sequence){.first_row = n,
                                                  .n_tokens = news[s],
                                                  .position = fed[s],
                                                  .pages = pages[s],
                                                  .n_pages = PAGES_EACH,
                                                  .pages_stride = PAGES_EACH};
            for (int t = 0; t < news[s]; t++, n++) {
                batch[n] = tokens[fed[s] + t];
                rows[n] = n;
                full[n] = n % 3 != 1;
            }
        }
        const struct step step = {.n_rows = n,
                                  .tokens = batch,
                                  .n_sequences = SEQUENCES,
                                  .sequences = sequences,
                                  .n_logits = n,
                                  .logit_rows = rows,
                                  .logit_full = full};
        memset(r.results.logits, 0xff, (size_t)n * VOCAB * sizeof(float));
        check(model_forward(r.model, &step, &r.results));
        for (int s = 0, row = 0; s < SEQUENCES; s++)
            for (int t = 0; t < news[s]; t++, row++) {
                const float *expected = alone + (fed[s] + t) * VOCAB,
                            *found = r.results.logits + row * VOCAB;
                float largest;
                assert_int_equal(r.results.best[row].id,
                                 r.kernels->argmax(expected, VOCAB, &largest));
                assert_memory_equal(&r.results.best[row].value, &largest, sizeof largest);
                if (full[row])
                    assert_memory_equal(found, expected, VOCAB * sizeof *found);
                else // not asked for: not written
                    assert_int_equal(((const uint8_t *)found)[0], 0xff);
            }
        free(alone);
        runner_close(&r);
    }
    tiny_remove(&m);
}

// Fewer rows than threads, one row of logits among many, none at all.
static void test_odd_steps(void **state)
{
    (void)state;
    int32_t tokens[20];
    struct tiny_model m;
    tiny_make(&m, &specs[1], 9);
    tiny_tokens(tokens, 20, specs[1].vocab);
    size_t vocab = (size_t)specs[1].vocab;
    float *first = calloc(20 * vocab, sizeof *first), *again = calloc(20 * vocab, sizeof *again);
    for (int threads = 1; threads <= 7; threads += 3) {
        struct runner r = open_tiny(&m, COMPUTE_BF16, 20, threads);
        check(runner_logits(&r, tokens, 20, 20, threads == 1 ? first : again, NULL));
        if (threads > 1)
            assert_memory_equal(first, again, 20 * vocab * sizeof *first);
        const int32_t row = 13;
        const uint8_t full = 1;
        const struct step_sequence sequence = {
            .n_tokens = 20, .pages = r.pages, .n_pages = r.n_pages, .pages_stride = r.n_pages};
        struct step step = {.n_rows = 20,
                            .tokens = tokens,
                            .n_sequences = 1,
                            .sequences = &sequence,
                            .n_logits = 1,
                            .logit_rows = &row,
                            .logit_full = &full};
        check(model_forward(r.model, &step, &r.results));
        assert_memory_equal(r.results.logits, first + 13 * vocab, vocab * sizeof *first);
        step.n_logits = 0;
        check(model_forward(r.model, &step, &r.results));
        runner_close(&r);
    }
    free(first);
    free(again);
    tiny_remove(&m);
}

// Whole models on every instruction set that the machine has, in both orders of sums.
static void test_every_isa(void **state)
{
    (void)state;
    int32_t tokens[TOKENS];
    for (int i = 0; i < N_SPECS; i++) {
        struct tiny_model m;
        tiny_make(&m, &specs[i], (uint64_t)i + 70);
        tiny_tokens(tokens, TOKENS, specs[i].vocab);
        size_t n = (size_t)TOKENS * (size_t)specs[i].vocab;
        float *first = calloc(n, sizeof *first), *again = calloc(n, sizeof *again);
        for (int mode = 0; mode < 4; mode++)
            for (int isa = ISA_REFERENCE; isa <= (int)isa_of_machine(); isa++) {
                struct runner r;
                const struct runner_options options = {
                    .folder = m.folder,
                    .compute = mode < 3 ? (enum compute_type)mode : COMPUTE_BF16,
                    .order = mode < 3 ? ORDER_PAIRS : ORDER_TILES,
                    .rows_max = TOKENS,
                    .kernels = kernels_for((enum isa)isa)};
                check(runner_open(&options, self, NULL, &r));
                check(runner_logits(&r, tokens, TOKENS, isa % 2 ? 64 : TOKENS, isa ? again : first,
                                    NULL));
                if (isa && memcmp(first, again, n * sizeof *first))
                    FAIL_TEST("model %d, mode %d: %s gives other bits", i, mode,
                              isa_name((enum isa)isa));
                runner_close(&r);
            }
        free(first);
        free(again);
        tiny_remove(&m);
    }
}

// The residual stream: the embedding first, then the same whatever the chunks.
static void test_capture(void **state)
{
    (void)state;
    enum { N = 70 };
    int32_t tokens[N];
    struct tiny_model m;
    tiny_make(&m, &specs[0], 3);
    tiny_tokens(tokens, N, specs[0].vocab);
    size_t d = (size_t)specs[0].hidden, n = 3 * N * d;
    float *whole = calloc(n, sizeof *whole), *parts = calloc(n, sizeof *parts);
    float *logits = calloc((size_t)N * (size_t)specs[0].vocab, sizeof *logits);
    struct runner r = open_tiny(&m, COMPUTE_F32, N, 2);
    check(runner_logits(&r, tokens, N, N, logits, whole));
    check(runner_logits(&r, tokens, N, 9, logits, parts));
    assert_memory_equal(whole, parts, n * sizeof *whole);
    const float *embed = tiny_find(&m, "model.embed_tokens.weight", 0);
    for (int t = 0; t < N; t++)
        assert_memory_equal(whole + (size_t)t * d, embed + (size_t)tokens[t] * d,
                            d * sizeof *embed);
    runner_close(&r);
    free(whole);
    free(parts);
    free(logits);
    tiny_remove(&m);
}

// A step that would reach beyond our memory ends the call, not the process.
static void test_bad_steps(void **state)
{
    (void)state;
    struct tiny_model m;
    tiny_make(&m, &specs[0], 3);
    struct runner r = open_tiny(&m, COMPUTE_F32, 8, 1);
    int32_t tokens[8] = {1, 2, 3}, pages[2] = {0, 1}, row = 0;
    uint8_t full = 1;
    struct step_sequence good = {.n_tokens = 3, .pages = pages, .n_pages = 2, .pages_stride = 2};
    // no host pages, so that no copy is good
    const struct step_copy copies[] = {{0, r.n_pages}, {r.n_pages, 0}, {0, 1},
                                       {-1, 0},        {0, INT32_MIN}, {INT32_MAX, 0}};
    for (int i = 0; i < 12 + (int)(sizeof copies / sizeof *copies); i++) {
        struct step_sequence sequence = good;
        struct step step = {.n_copies = i >= 12,
                            .copies = i >= 12 ? &copies[i - 12] : NULL,
                            .n_rows = 3,
                            .tokens = tokens,
                            .n_sequences = 1,
                            .sequences = &sequence,
                            .n_logits = 1,
                            .logit_rows = &row,
                            .logit_full = &full};
        tokens[1] = i == 1 ? specs[0].vocab : i == 2 ? -1 : 2;
        pages[0] = i == 3 ? r.n_pages : i == 4 ? -1 : 0;
        row = i == 5 ? 3 : 0;
        sequence.position = i == 6 ? 128 : i == 7 ? -1 : 0;
        sequence.n_tokens = i == 8 ? 2 : 3;
        sequence.first_row = i == 9 ? 1 : 0;
        step.n_rows = i == 10 ? 9 : 3;
        sequence.n_pages = i == 11 ? 0 : 2;
        status_clear();
        enum status status = model_forward(r.model, &step, &r.results);
        assert_int_equal(status, i == 0 ? OK : ERR_INTERNAL);
        assert_true(i == 0 || status_message()[0]);
    }
    runner_close(&r);
    tiny_remove(&m);
}

static const char *spoiled;

static void transpose(struct tensor_spec *spec)
{
    if (strcmp(spec->name, spoiled) == 0 && spec->n_dimensions == 2) {
        int64_t rows = spec->shape[0];
        spec->shape[0] = spec->shape[1];
        spec->shape[1] = rows;
    } else if (strcmp(spec->name, spoiled) == 0) {
        spec->shape[0]++;
    }
}

static void make_integers(struct tensor_spec *spec)
{
    if (strcmp(spec->name, spoiled) == 0)
        spec->type = ELEMENT_I16;
}

static void check_says(struct tiny_model *m, enum status expected, const char *const *words)
{
    struct runner r;
    const struct runner_options options = {.folder = m->folder, .compute = COMPUTE_BF16};
    enum status status = runner_open(&options, self, NULL, &r);
    if (status != expected)
        print_error("%s: %s\n", status_name(status), status_message());
    assert_int_equal(status, expected);
    for (; *words; words++)
        if (!strstr(status_message(), *words))
            FAIL_TEST("\"%s\" does not say \"%s\"", status_message(), *words);
}

static void check_opens(struct tiny_model *m)
{
    struct runner r;
    const struct runner_options options = {.folder = m->folder, .compute = COMPUTE_BF16};
    assert_int_equal(runner_open(&options, self, NULL, &r), OK);
    runner_close(&r);
}

// Every tensor, missing, of another shape, of a type that is no weight: refused by file, name,
// expected and found.
static void test_checkpoint_refused(void **state)
{
    (void)state;
    struct tiny_model m;
    tiny_make(&m, &specs[1], 3);
    for (int i = 0; i < m.n_tensors; i++) {
        const struct tiny_tensor *t = &m.tensors[i];
        char expected[64];
        spoiled = t->name;
        snprintf(expected, sizeof expected, t->columns > 1 ? "expected [%d, %d]" : "expected [%d]",
                 (int)t->rows, (int)t->columns);
        tiny_write_weights(&m, t->name, NULL);
        if (strstr(t->name, ".bias")) // zero, as in Transformers
            check_opens(&m);
        else
            check_says(&m, ERR_INPUT, (const char *const[]){t->name, "missing", m.folder, NULL});
        if (t->rows != t->columns) {
            tiny_write_weights(&m, NULL, transpose);
            check_says(&m, ERR_INPUT,
                       (const char *const[]){t->name, expected, "model.safetensors", NULL});
        }
        tiny_write_weights(&m, NULL, make_integers);
        check_says(&m, ERR_UNSUPPORTED,
                   (const char *const[]){t->name, "I16", "BF16", "model.safetensors", NULL});
    }
    tiny_remove(&m);
}

// Every reservation fails once: the message says so, and nothing is left behind (the sanitizers
// look).
static void test_out_of_memory(void **state)
{
    (void)state;
    struct tiny_model m;
    tiny_make(&m, &specs[0], 3);
    struct runner good = open_tiny(&m, COMPUTE_BF16, 8, 2);
    const struct model_weights_options loading = {.plan = good.plan,
                                                  .checkpoint = good.checkpoint,
                                                  .kernels = good.kernels,
                                                  .team = good.team};
    struct model_options options = {.plan = good.plan,
                                    .comm = self,
                                    .kernels = good.kernels,
                                    .team = good.team,
                                    .rows_max = 8,
                                    .logit_rows_max = 8,
                                    .kv_pages = 4};
    for (long n = 1;; n++) {
        struct model *model = NULL;
        struct model_weights *weights;
        memory_fail_after(n);
        enum status status = model_weights_open(&loading, &weights);
        options.weights = weights;
        if (status == OK)
            status = model_open(&options, &model);
        memory_fail_after(0);
        model_close(model);
        model_weights_close(weights);
        if (status == OK) {
            assert_true(n > 2);
            break;
        }
        assert_int_equal(status, ERR_MEMORY);
        assert_null(model);
    }
    // ... and a step makes none.
    int32_t tokens[4] = {1, 2, 3, 4};
    memory_fail_after(1);
    assert_int_equal(runner_step(&good, tokens, 4, 0, true), OK);
    memory_fail_after(0);
    runner_close(&good);
    tiny_remove(&m);
}

static void note_progress(void *context, uint64_t bytes_read)
{
    uint64_t *last = context;
    assert_true(bytes_read >= *last);
    *last = bytes_read;
}

static void test_progress(void **state)
{
    (void)state;
    struct tiny_model m;
    tiny_make(&m, &specs[4], 3);
    struct runner r = open_tiny(&m, COMPUTE_BF16, 8, 3);
    uint64_t last = 0;
    const struct model_weights_options options = {.plan = r.plan,
                                                  .checkpoint = r.checkpoint,
                                                  .kernels = r.kernels,
                                                  .team = r.team,
                                                  .progress = note_progress,
                                                  .progress_context = &last};
    struct model_weights *weights;
    struct model_memory memory;
    check(model_weights_open(&options, &weights));
    model_memory(r.model, &memory);
    assert_int_equal(last, memory.file_bytes_read);
    model_weights_close(weights);
    runner_close(&r);
    tiny_remove(&m);
}

int main(void)
{
    if (comm_open_self(&self) != OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_double),
        cmocka_unit_test(test_memory_is_as_planned),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_odd_steps),
        cmocka_unit_test(test_capture),
        cmocka_unit_test(test_bad_steps),
        cmocka_unit_test(test_checkpoint_refused),
        cmocka_unit_test(test_out_of_memory),
        cmocka_unit_test(test_progress),
        cmocka_unit_test(test_every_isa),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    comm_close(self);
    return failed;
}
