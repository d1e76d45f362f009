// Loading from files as they should be, from files whose tensors lie at odd addresses, and from
// files that are cut meanwhile.
#include "testing.h"

#include <sys/stat.h>

#include "device/device.h"
#include "model/weights.h"
#include "tiny_model.h"

enum { RANKS = 3 };

static const struct tiny_spec spec = {.heads = 6,
                                      .kv_heads = 3,
                                      .head_dim = 16,
                                      .hidden = 96,
                                      .intermediate = 130,
                                      .vocab = 211,
                                      .layers = 2,
                                      .bias = true}; // of bf16, f16 and f32 in turn

struct loaded {
    struct checkpoint *checkpoint;
    struct plan *plan;
    struct team *team;
    struct arena arena;
    struct weights weights;
    struct weights_layout layout;
    void *memory;
    const char *cut_path; // what the first report of progress cuts, to `cut_bytes`
    off_t cut_bytes;
};

static void check(enum status status)
{
    if (status != OK)
        print_error("%s\n", status_message());
    assert_int_equal(status, OK);
}

static void cut_file(void *context, uint64_t bytes_read)
{
    (void)bytes_read;
    struct loaded *l = context;
    if (l->cut_path)
        assert_int_equal(truncate(l->cut_path, l->cut_bytes), 0);
}

static void prepare(const struct tiny_model *m, int rank, struct loaded *l)
{
    struct model_config config;
    const struct plan_options options = {.n_ranks = RANKS, .compute = COMPUTE_BF16};
    *l = (struct loaded){0};
    arena_init(&l->arena);
    check(model_config_read(m->folder, &config));
    check(checkpoint_open(m->folder, &l->checkpoint));
    check(plan_compile(&config, &options, &l->plan));
    check(team_new(2, NULL, &l->team));
    check(weights_measure(l->plan, l->checkpoint, rank, &l->layout));
    check(device_memory_new(l->layout.bytes, "weights", &l->memory));
    check(
        weights_place(l->plan, l->checkpoint, rank, l->memory, &l->arena, &l->weights, &l->layout));
}

static enum status load(struct loaded *l)
{
    struct weights_loading loading = {
        .checkpoint = l->checkpoint, .team = l->team, .progress = cut_file, .progress_context = l};
    uint64_t bytes = 0;
    check(kernels_choose(&loading.kernels));
    TRY(weights_load(&loading, &l->layout, &bytes));
    assert_int_equal(bytes, l->layout.file_bytes);
    return OK;
}

static void drop(struct loaded *l)
{
    device_memory_free(l->memory, l->layout.bytes);
    arena_fini(&l->arena);
    team_free(l->team);
    plan_free(l->plan);
    checkpoint_close(l->checkpoint);
}

static void weights_path(const struct tiny_model *m, char *out)
{
    check(file_join(m->folder, "model.safetensors", out));
}

// One more space in the header: every tensor moves by a byte, which the format allows.
static void move_by_one(const char *path)
{
    struct bytes old = {0}, moved = {0};
    uint64_t length;
    check(file_read(path, 1 << 26, &old));
    memcpy(&length, old.data, sizeof length);
    size_t data_begin = sizeof length + (size_t)length;
    length++;
    check(bytes_append(&moved, (const char *)&length, sizeof length));
    check(bytes_append(&moved, old.data + sizeof length, data_begin - sizeof length));
    check(bytes_append(&moved, " ", 1));
    check(bytes_append(&moved, old.data + data_begin, old.length - data_begin));
    check(file_write(path, moved.data, moved.length));
    free(old.data);
    free(moved.data);
}

// Tensors at odd addresses are read, others are packed where they lie: the same weights.
static void views_and_reads_agree(void **state)
{
    (void)state;
    struct tiny_model m;
    struct loaded views[RANKS], reads;
    char path[FILE_PATH_MAX];
    tiny_make(&m, &spec, 5);
    weights_path(&m, path);
    for (int rank = 0; rank < RANKS; rank++) {
        prepare(&m, rank, &views[rank]);
        check(load(&views[rank]));
    }
    move_by_one(path);
    for (int rank = 0; rank < RANKS; rank++) {
        prepare(&m, rank, &reads);
        check(load(&reads));
        assert_int_equal(reads.layout.bytes, views[rank].layout.bytes);
        assert_memory_equal(reads.memory, views[rank].memory, reads.layout.bytes);
        drop(&reads);
        drop(&views[rank]);
    }
    tiny_remove(&m);
}

// Between opening and loading, and while loading; in the middle of a tensor and of a page.
static void a_file_cut_while_it_is_loaded_is_named(void **state)
{
    (void)state;
    static const double parts[] = {0.03, 0.31, 0.77, 0.999};
    for (size_t i = 0; i < 2 * sizeof parts / sizeof parts[0]; i++) {
        struct tiny_model m;
        struct loaded l;
        char path[FILE_PATH_MAX];
        struct stat info;
        tiny_make(&m, &spec, 5);
        weights_path(&m, path);
        assert_int_equal(stat(path, &info), 0);
        prepare(&m, RANKS - 1, &l); // whose share ends where the file does
        l.cut_bytes = (off_t)((double)info.st_size * parts[i / 2]);
        l.cut_path = i % 2 ? path : NULL;
        if (i % 2 == 0)
            assert_int_equal(truncate(path, l.cut_bytes), 0);
        enum status status = load(&l);
        if (i % 2 == 0)
            assert_int_equal(status, ERR_INPUT);
        if (status != OK) { // else everything was loaded before
            assert_int_equal(status, ERR_INPUT);
            assert_non_null(strstr(status_message(), path));
            assert_non_null(strstr(status_message(), "tensor \""));
            assert_non_null(strstr(status_message(), "too early"));
        }
        drop(&l);
        tiny_remove(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_and_reads_agree),
        cmocka_unit_test(a_file_cut_while_it_is_loaded_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
