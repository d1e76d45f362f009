"""What test_vllm_forms.py starts: a script in the form of vLLM's basic examples, with its places of names: flags of an
engine by argparse, flags of its own beside them, chats one by one and in a batch."""
from colrow import LLM, EngineArgs
from colrow.outputs import RequestOutput
from colrow.utils.argparse_utils import FlexibleArgumentParser


def make_parser():
    parser = FlexibleArgumentParser()
    EngineArgs.add_cli_args(parser)
    parser.set_defaults(model="some/other")
    own = parser.add_argument_group("Sampling parameters")
    for flag, kind in (("--max-tokens", int), ("--temperature", float), ("--top-p", float), ("--top-k", int)):
        own.add_argument(flag, type=kind)
    return parser


def main(args):
    given = {name: args.pop(name) for name in ("max_tokens", "temperature", "top_p", "top_k")}
    llm = LLM(**args)
    params = llm.get_default_sampling_params()
    for name, value in given.items():
        if value is not None:
            setattr(params, name, value)
    print("Ranks:", llm.get_world_size())
    conversation = [{"role": "system", "content": "You explain."}, {"role": "user", "content": "What is a rank?"}]
    (one,) = llm.chat(conversation, params, use_tqdm=False)
    batch = llm.chat([conversation] * 3, params)
    assert isinstance(one, RequestOutput)
    assert [output.outputs[0].text for output in batch] == [one.outputs[0].text] * 3
    print("Chat:", repr(one.outputs[0].text))
    for output in llm.generate(["What is tensor parallelism?", "Each rank"], params):
        print(f"Prompt: {output.prompt!r}, Generated text: {output.outputs[0].text!r}")


if __name__ == "__main__":
    main(vars(make_parser().parse_args()))
