// Each level overwrites what it improves; the level below has filled the rest.
#include "device/cpu/reference.h"
#include "device/cpu/x86/x86.h"

// One entry of a table serves both orders of summation.
static void matmul_either_avx2(const struct matmul *args)
{
    (args->order == ORDER_TILES ? matmul_tiles_avx2 : matmul_avx2)(args);
}

static void matmul_either_avx512(const struct matmul *args)
{
    (args->order == ORDER_TILES ? matmul_tiles_avx512 : matmul_avx512)(args);
}

static void matmul_either_avx512bf16(const struct matmul *args)
{
    (args->order == ORDER_TILES ? matmul_tiles_avx512 : matmul_avx512bf16)(args);
}

static void matmul_either_amx(const struct matmul *args)
{
    if (args->order == ORDER_TILES)
        matmul_tiles_amx(args);
    else
        kernels_for(ISA_AVX512BF16)->matmul(args);
}

static void attention_either_avx2(const struct attention *args)
{
    (args->order == ORDER_TILES ? reference_attention : attention_avx2)(args);
}

static void attention_either_avx512(const struct attention *args)
{
    (args->order == ORDER_TILES ? attention_tiles_avx512 : attention_avx512)(args);
}

static void attention_either_avx512bf16(const struct attention *args)
{
    (args->order == ORDER_TILES ? attention_tiles_avx512 : attention_avx512bf16)(args);
}

static void attention_either_amx(const struct attention *args)
{
    if (args->order == ORDER_TILES)
        attention_tiles_amx(args);
    else
        kernels_for(ISA_AVX512BF16)->attention(args);
}

static void index_either_avx2(const struct index_scoring *args)
{
    (args->order == ORDER_TILES ? reference_index_scores : index_scores_avx2)(args);
}

static void index_either_avx512(const struct index_scoring *args)
{
    (args->order == ORDER_TILES ? index_tiles_avx512 : index_scores_avx512)(args);
}

static void index_either_avx512bf16(const struct index_scoring *args)
{
    (args->order == ORDER_TILES ? index_tiles_avx512 : index_scores_avx512bf16)(args);
}

static void index_either_amx(const struct index_scoring *args)
{
    if (args->order == ORDER_TILES)
        index_tiles_amx(args);
    else
        kernels_for(ISA_AVX512BF16)->index_scores(args);
}

void kernels_avx2(struct kernels *table)
{
    table->isa = "avx2";
    table->matmul = matmul_either_avx2;
    table->attention = attention_either_avx2;
    table->index_scores = index_either_avx2;
    table->rmsnorm = rmsnorm_avx2;
    table->layernorm = layernorm_avx2;
    table->activate_mul = activate_mul_avx2;
    table->round = round_avx2;
    table->rope = rope_avx2;
    table->rope_interleaved = rope_interleaved_avx2;
    table->scale = scale_avx2;
    table->softcap = softcap_avx2;
    table->scale_weighted = scale_weighted_avx2;
    table->squares = squares_avx2;
    table->spread = spread_avx2;
    table->add_scaled = add_scaled_avx2;
    table->cut_below = cut_below_avx2;
    table->add = add_avx2;
    table->add_to = add_to_avx2;
    table->add_to_both = add_to_both_avx2;
    table->copy = copy_avx2;
    table->sum_weighted = sum_weighted_avx2;
    table->convolve = convolve_avx2;
    table->scan_states = scan_states_avx2;
    table->scan_delta = scan_delta_avx2;
    table->decay_channels = decay_channels_avx2;
    table->kv_write = kv_write_avx2;
    table->argmax = argmax_avx2;
    table->exp_sum = exp_sum_avx2;
    table->weigh = weigh_avx2;
    table->tops = tops_avx2;
    table->pack = pack_avx2;
}

void kernels_avx512(struct kernels *table)
{
    table->isa = "avx512";
    table->matmul = matmul_either_avx512;
    table->attention = attention_either_avx512;
    table->index_scores = index_either_avx512;
    table->rmsnorm = rmsnorm_avx512;
    table->layernorm = layernorm_avx512;
    table->activate_mul = activate_mul_avx512;
    table->round = round_avx512;
    table->rope = rope_avx512;
    table->rope_interleaved = rope_interleaved_avx512;
    table->scale = scale_avx512;
    table->softcap = softcap_avx512;
    table->scale_weighted = scale_weighted_avx512;
    table->squares = squares_avx512;
    table->add = add_avx512;
    table->add_to = add_to_avx512;
    table->add_to_both = add_to_both_avx512;
    table->copy = copy_avx512;
    table->sum_weighted = sum_weighted_avx512;
    table->convolve = convolve_avx512;
    table->scan_states = scan_states_avx512;
    table->scan_delta = scan_delta_avx512;
    table->decay_channels = decay_channels_avx512;
    table->kv_write = kv_write_avx512;
    table->argmax = argmax_avx512;
    table->exp_sum = exp_sum_avx512;
    table->weigh = weigh_avx512;
    table->tops = tops_avx512;
    table->pack = pack_avx512;
}

void kernels_avx512bf16(struct kernels *table)
{
    table->isa = "avx512bf16";
    table->rmsnorm = rmsnorm_avx512bf16;
    table->layernorm = layernorm_avx512bf16;
    table->activate_mul = activate_mul_avx512bf16;
    table->round = round_avx512bf16;
    if (x86_bf16_dot_is_fast()) { // else the FMA kernels do the same work sooner
        table->matmul = matmul_either_avx512bf16;
        table->attention = attention_either_avx512bf16;
        table->index_scores = index_either_avx512bf16;
    }
}

void kernels_amx(struct kernels *table)
{
    table->isa = "amx";
    table->matmul = matmul_either_amx;
    table->attention = attention_either_amx;
    table->index_scores = index_either_amx;
}
