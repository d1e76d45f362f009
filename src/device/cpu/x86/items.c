#include "device/cpu/x86/items.h"

// `x` with its bias, where there is one; `room` [PANEL_WIDTH].
static const float *biased(const float *x, const float *bias, int n, float *room)
{
    if (!bias)
        return x;
    for (int i = 0; i < n; i++)
        room[i] = x[i] + bias[i];
    return room;
}

void emit_activated(const struct matmul *args, silu_mul_kernel silu_mul, int panel, int row,
                    int n_rows, const float *gate, const float *up)
{
    const size_t column = (size_t)panel * PANEL_WIDTH,
                 item = args->type == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float);
    const int rest = args->w->n - panel * PANEL_WIDTH, n = rest < PANEL_WIDTH ? rest : PANEL_WIDTH;
    const float *bias = args->bias ? args->bias + column : NULL;
    const float *up_bias = args->up_bias ? args->up_bias + column : NULL;
    char *out = (char *)args->activated + ((size_t)row * args->out_stride + column) * item;
    for (int i = 0; i < n_rows;
         i++, gate += PANEL_WIDTH, up += PANEL_WIDTH, out += args->out_stride * item) {
        float gate_room[PANEL_WIDTH], up_room[PANEL_WIDTH];
        silu_mul(biased(gate, bias, n, gate_room), biased(up, up_bias, n, up_room), n, args->type,
                 out);
    }
}
