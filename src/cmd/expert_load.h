// How evenly the ranks of a mixture of experts have worked, for the closing line and the JSON of
// commands.
#ifndef COLROW_CMD_EXPERT_LOAD_H
#define COLROW_CMD_EXPERT_LOAD_H

#include <colrow/colrow.h>
#include <jansson.h>

// {"tokens", "load": beside the mean of the stage, "imbalance": of the busiest, layer by layer,
// "busiest_tokens", "experts": [{"first", "last", "tokens"}]}; NULL:
// the model has none.
json_t *expert_load_json(const struct colrow_engine *engine, int rank);
// A line on standard error where the model has experts, else none.
void expert_load_print(const struct colrow_engine *engine);

#endif
