#include "device/cpu/x86/items.h"

// Row i of `x` with its bias, where there is one; `room` [PANEL_WIDTH].
static const float *biased_row(const float *x, int row, const float *bias, int n, float *room)
{
    if (!x)
        return NULL;
    x += (size_t)row * PANEL_WIDTH;
    if (!bias)
        return x;
    for (int i = 0; i < n; i++)
        room[i] = x[i] + bias[i];
    return room;
}

void emit_activated(const struct matmul *args, activate_mul_kernel activate_mul, int panel, int row,
                    int n_rows, const float *gate, const float *up)
{
    const size_t column = (size_t)panel * PANEL_WIDTH,
                 item = args->type == COMPUTE_BF16 ? sizeof(bf16) : sizeof(float);
    const int rest = args->w->n - panel * PANEL_WIDTH, n = rest < PANEL_WIDTH ? rest : PANEL_WIDTH;
    const float *bias = args->bias ? args->bias + column : NULL;
    const float *up_bias = args->up_bias ? args->up_bias + column : NULL;
    char *out = (char *)args->activated + ((size_t)row * args->out_stride + column) * item;
    for (int i = 0; i < n_rows; i++, out += args->out_stride * item) {
        float gate_room[PANEL_WIDTH], up_room[PANEL_WIDTH];
        activate_mul(&args->activation, biased_row(gate, i, bias, n, gate_room),
                     biased_row(up, i, up_bias, n, up_room), n, args->type, out);
    }
}
