// The best of many scores.
#ifndef COLROW_MODEL_BEST_POSITIONS_H
#define COLROW_MODEL_BEST_POSITIONS_H

#include <stdint.h>

// The `k` largest of scores [n], k < n, their positions ascending in out [k]. Of equal ones the
// lower position counts; a NaN counts as -inf. In time that grows with n, not with k.
void best_positions(const float *scores, int32_t n, int32_t k, int32_t *out);

#endif
