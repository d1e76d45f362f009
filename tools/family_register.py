"""Where families register what they draw, and keys that several of them have."""
import collections

HEAD_DIM = {"head_dim": "absent or null: hidden_size // num_attention_heads"}
WINDOW_BY_FLAG = {"use_sliding_window": "false: no window whatever sliding_window says",
                  "sliding_window": "keys seen, its own included",
                  "max_window_layers": "layers from this one on slide, if layer_types is absent",
                  "layer_types": "sliding_attention or full_attention, by layer"}
MULTIPLIERS = {"embedding_multiplier": "times the embedding",
               "attention_multiplier": "the softmax scale, instead of head_dim^-1/2",
               "residual_multiplier": "times what a block adds", "logits_scaling": "divides the logits"}

Family = collections.namedtuple("Family", "name model_type draw keys wrapper")
FAMILIES = {}


def family(name, keys, model_type=None, wrapper=False):
    def register(draw):
        FAMILIES[name] = Family(name, model_type or name, draw, keys, wrapper)
        return draw
    return register
