#include "model/kv_bytes.h"

#include "device/kernels.h"
#include "model/state_layout.h"

enum { PAGE_BYTES_MIN = 64 }; // of a stage without keys and states

size_t kv_head_bytes(const struct plan *plan, const struct attention_config *attention)
{
    const struct latent_config *latent = &attention->latent;
    int32_t numbers = latent->kv_rank ? latent_cached_dim(latent)
                                      : attention->head_dim + attention_value_dim(attention);
    return (size_t)KV_PAGE_TOKENS * (size_t)numbers * kv_number_bytes(plan->cache, plan->kv_codes) +
           kv_scales_bytes(plan->kv_codes);
}

size_t kv_layer_bytes(const struct plan *plan, int rank, int layer)
{
    int i = kv_sublayer(&plan->config, layer);
    if (i < 0)
        return 0;
    const struct range heads = plan_cut_of(plan, layer, i)->shares[rank].kv_heads;
    return (size_t)(heads.end - heads.begin) *
           kv_head_bytes(plan, &model_config_layer(&plan->config, layer)->sublayers[i].attention);
}

size_t kv_page_bytes(const struct plan *plan, int world_rank)
{
    size_t groups[KV_GROUPS_MAX] = {0}, most = PAGE_BYTES_MIN;
    const struct range layers = plan_stage_layers(plan, world_rank / plan->n_ranks);
    for (int layer = layers.begin; layer < layers.end; layer++)
        groups[plan->kv.group_of[layer]] += kv_layer_bytes(plan, world_rank % plan->n_ranks, layer);
    for (int i = 0; i < plan->kv.n_groups; i++)
        most = groups[i] > most ? groups[i] : most;
    return state_page_bytes(plan, world_rank, most);
}
