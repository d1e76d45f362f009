#include "device/cpu/x86/vectors_avx2.h"

#include "device/cpu/x86/channel_decays.h"
#include "device/cpu/x86/convolution.h"
#include "device/cpu/x86/delta_rule.h"
#include "device/cpu/x86/scan_states.h"
#include "device/cpu/x86/x86.h"

void convolve_avx2(const struct convolution *args)
{
    convolve_of(args);
}

void scan_states_avx2(const struct state_scan *args)
{
    scan_states_of(args, 1);
}

void scan_delta_avx2(const struct delta_scan *args)
{
    scan_delta_of(args);
}

void decay_channels_avx2(float *x, const float *bias, float rate, size_t n)
{
    decay_channels_of(x, bias, rate, n);
}
