// add_pair() of attention_rows.h with fused multiply-adds. The ISA's file defines `vec`, ROWS,
// VECTORS and load_half(), vector v of one half of the pair at `x`, before it includes this one.
#ifndef COLROW_DEVICE_CPU_X86_ATTENTION_PAIRS_H
#define COLROW_DEVICE_CPU_X86_ATTENTION_PAIRS_H

INLINE void add_pair(int rows, int n_vectors, enum page_form form, const float *a, size_t a_stride,
                     int k, const char *x, size_t stride, vec sums[ROWS][VECTORS])
{
    UNROLLED_FOR (half, 2) {
        int odd = 1 - half;
        vec y[VECTORS];
        UNROLLED_FOR (v, n_vectors)
            y[v] = load_half(x, form, stride, odd, v);
        UNROLLED_FOR (r, rows) {
            vec factor = vec_broadcast(a + (size_t)r * a_stride + (size_t)(k + odd));
            UNROLLED_FOR (v, n_vectors)
                vec_add_product(&sums[r][v], factor, y[v]);
        }
        // Keeps the compiler from loading the other half early: the registers are full.
        __asm__ volatile("" : : : "memory");
    }
}

#endif
