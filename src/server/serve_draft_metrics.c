// Speculation in /metrics, with vLLM's names: how many tokens were drafted, and how many of them
// were right.
#include <inttypes.h>

#include "server/serve_state.h"

static enum status write_total(const struct serve_server *server, const char *name,
                               const char *help, uint64_t value, struct bytes *out)
{
    TRY(metrics_write_head(out, name, "counter", help));
    return bytes_format(out, "%s{engine=\"0\",model_name=\"%s\"} %" PRIu64 ".0\n", name,
                        server->metrics.model, value);
}

static enum status write_positions(const struct serve_server *server, int n,
                                   const struct colrow_statistics *s, struct bytes *out)
{
    static const char name[] = "vllm:spec_decode_num_accepted_tokens_per_pos_total";
    TRY(metrics_write_head(out, name, "counter", "Accepted tokens per draft position."));
    for (int i = 0; i < n; i++)
        TRY(bytes_format(out, "%s{engine=\"0\",model_name=\"%s\",position=\"%d\"} %" PRIu64 ".0\n",
                         name, server->metrics.model, i, s->accepted_draft_tokens_at[i]));
    return OK;
}

enum status serve_write_draft_metrics(const struct serve_server *server,
                                      const struct colrow_info *info, struct bytes *out)
{
    if (info->speculative_tokens == 0)
        return OK;
    struct colrow_statistics s;
    colrow_get_statistics(server->engine, &s);
    TRY(write_total(server, "vllm:spec_decode_num_drafts_total", "Number of spec decoding drafts.",
                    s.drafts, out));
    TRY(write_total(server, "vllm:spec_decode_num_draft_tokens_total", "Number of draft tokens.",
                    s.draft_tokens, out));
    TRY(write_total(server, "vllm:spec_decode_num_accepted_tokens_total",
                    "Number of accepted tokens.", s.accepted_draft_tokens, out));
    return write_positions(server, info->speculative_tokens, &s, out);
}
