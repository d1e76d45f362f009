#include "device/cpu/reference.h"

void kernels_reference(struct kernels *table)
{
    table->isa = "reference";
    table->matmul = reference_matmul;
    table->attention = reference_attention;
    table->index_scores = reference_index_scores;
    table->rmsnorm = reference_rmsnorm;
    table->layernorm = reference_layernorm;
    table->activate_mul = reference_activate_mul;
    table->round = reference_round;
    table->rope = reference_rope;
    table->rope_interleaved = reference_rope_interleaved;
    table->scale = reference_scale;
    table->softcap = reference_softcap;
    table->scale_weighted = reference_scale_weighted;
    table->squares = reference_squares;
    table->spread = reference_spread;
    table->add_scaled = reference_add_scaled;
    table->cut_below = reference_cut_below;
    table->add = reference_add;
    table->add_to = reference_add_to;
    table->add_to_both = reference_add_to_both;
    table->copy = reference_copy;
    table->sum_weighted = reference_sum_weighted;
    table->convolve = reference_convolve;
    table->scan_states = reference_scan_states;
    table->scan_delta = reference_scan_delta;
    table->decay_channels = reference_decay_channels;
    table->kv_write = reference_kv_write;
    table->argmax = reference_argmax;
    table->exp_sum = reference_exp_sum;
    table->weigh = reference_weigh;
    table->tops = reference_tops;
    table->pack = panels_pack;
}
