// A sequence that outgrows longrope's original length while it is generated has the keys of a long
// one from then on, as if its tokens had been the prompt.
#include "engine_client.h"
#include "toy_llama.h"

enum { ORIGINAL = 80, PROMPT = 70, TOKENS = 40 };

static void write_longrope(const char *long_factor)
{
    char config[1024];
    snprintf(config, sizeof config,
             "{\"model_type\":\"llama\",\"hidden_size\":%d,\"intermediate_size\":%d,"
             "\"num_hidden_layers\":%d,\"num_attention_heads\":%d,\"num_key_value_heads\":%d,"
             "\"vocab_size\":%d,\"max_position_embeddings\":%d,\"rms_norm_eps\":1e-5,"
             "\"tie_word_embeddings\":false,\"torch_dtype\":\"bfloat16\",\"rope_scaling\":"
             "{\"rope_type\":\"longrope\",\"original_max_position_embeddings\":%d,"
             "\"short_factor\":[1,1,1,1],\"long_factor\":[%s]}}",
             TOY_HIDDEN, TOY_INTERMEDIATE, TOY_LAYERS, TOY_HEADS, TOY_KV_HEADS, TOY_VOCAB,
             TOY_POSITIONS, ORIGINAL, long_factor);
    toy_write(&toy, "config.json", config);
}

static void generate(struct colrow_engine *engine, const int32_t *ids, int n, int n_tokens,
                     struct answer *out)
{
    struct colrow_sampling sampling = client_sampling(n_tokens);
    struct colrow_prompt prompt = {
        .struct_size = sizeof prompt, .ids = ids, .n_ids = n, .no_special_tokens = 1};
    sampling.ignore_eos = 1;
    sampling.logprobs = 3;
    memset(out, 0, sizeof *out);
    assert_int_equal(colrow_submit(engine, &prompt, &sampling, client_collect, out, NULL), 0);
    client_run(engine);
    assert_int_equal(out->n_ids, n_tokens);
}

static void begin_ids(int32_t ids[PROMPT + TOKENS])
{
    for (int i = 0; i < PROMPT; i++)
        ids[i] = (i * 37 + 11) % 200;
}

static void growing_is_as_if_it_had_been_the_prompt(void **state)
{
    (void)state;
    static struct answer grown, one;
    for (int tp = 1; tp <= 2; tp++) {
        int32_t ids[PROMPT + TOKENS];
        toy_llama_new(&toy);
        write_longrope("1.5,2,3,4");
        struct colrow_options options = client_options(toy.folder, tp);
        struct colrow_engine *engine = client_open(&options);
        begin_ids(ids);
        generate(engine, ids, PROMPT, TOKENS, &grown);
        memcpy(ids + PROMPT, grown.ids, TOKENS * sizeof *ids);
        for (int k = 0; k < TOKENS; k++) { // pages of both kinds are in the prefix cache
            generate(engine, ids, PROMPT + k, 1, &one);
            assert_int_equal(one.ids[0], grown.ids[k]);
            for (int i = 0; i < one.n_logprobs; i++) {
                assert_int_equal(one.logprobs[0][i].id, grown.logprobs[k][i].id);
                assert_memory_equal(&one.logprobs[0][i].logprob, &grown.logprobs[k][i].logprob,
                                    sizeof one.logprobs[0][i].logprob);
            }
        }
        colrow_close(engine);
        toy_llama_free(&toy);
    }
}

// What follows depends on the long factors, and what stays short does not.
static void only_long_sequences_have_long_factors(void **state)
{
    (void)state;
    static struct answer answers[2];
    for (int i = 0; i < 2; i++) {
        int32_t ids[PROMPT + TOKENS];
        toy_llama_new(&toy);
        write_longrope(i ? "1,1,1,1" : "1.5,2,3,4");
        struct colrow_options options = client_options(toy.folder, 1);
        struct colrow_engine *engine = client_open(&options);
        begin_ids(ids);
        generate(engine, ids, PROMPT, TOKENS, &answers[i]);
        colrow_close(engine);
        toy_llama_free(&toy);
    }
    for (int k = 0; k <= ORIGINAL - PROMPT; k++)
        assert_true(answers[0].logprobs[k][0].logprob == answers[1].logprobs[k][0].logprob);
    int k = ORIGINAL - PROMPT + 1;
    assert_true(answers[0].logprobs[k][0].logprob != answers[1].logprobs[k][0].logprob);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(growing_is_as_if_it_had_been_the_prompt),
        cmocka_unit_test(only_long_sequences_have_long_factors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
