"""What test_parallel_state.py starts on several ranks: objects go round without numpy; with it, collectives and layers
have the numbers of one rank. Prints a line on rank 0 when all is well."""
import sys

from colrow import parallel_state as state

state.initialize_model_parallel(pipeline_model_parallel_size=int(sys.argv[1]))
rank, size = state.get_tensor_model_parallel_rank(), state.get_tensor_model_parallel_world_size()
stage, stages = state.get_pipeline_model_parallel_rank(), state.get_pipeline_model_parallel_world_size()
assert state.model_parallel_is_initialized() and size * stages == state.get_world_size()
assert state.get_rank() == stage * size + rank
for root in range(size):
    told = state.broadcast_object({"root": root, "bytes": bytes(range(256)) * 300} if rank == root else None, src=root)
    assert told == {"root": root, "bytes": bytes(range(256)) * 300}, told
part = state.tensor_part(10)
assert (part.start, part.stop) == (rank * 10 // size, (rank + 1) * 10 // size)
try:
    import numpy
except ImportError:
    numpy = None
if numpy is not None:
    from colrow.linear import ColumnParallelLinear, RowParallelLinear
    mine = numpy.arange(6 * size, dtype=numpy.float32).reshape(2, -1) + rank
    total = state.tensor_model_parallel_all_reduce(mine)
    assert (total == sum(mine - rank + other for other in range(size))).all()
    gathered = state.tensor_model_parallel_all_gather(mine)
    assert gathered.shape == (2, 3 * size * size) and (gathered[:, rank * 3 * size:(rank + 1) * 3 * size] == mine).all()
    assert (state.tensor_model_parallel_reduce_scatter(mine) == total[:, rank * 3:(rank + 1) * 3]).all()
    assert (state.broadcast(mine, src=size - 1) == mine - rank + size - 1).all()
    draw = numpy.random.default_rng(1)
    x, up, down = (draw.integers(-4, 5, shape).astype(numpy.float32) for shape in ((3, 10), (13, 10), (10, 13)))
    bias = numpy.arange(13, dtype=numpy.float32)
    column, row = ColumnParallelLinear(10, 13), RowParallelLinear(13, 10, bias=False)
    column.load_weights(up, bias)
    row.load_weights(down)
    hidden, none = column(x)
    assert none is None and (hidden == (x @ up.T + bias)[:, state.tensor_part(13)]).all()
    assert (row(hidden)[0] == (x @ up.T + bias) @ down.T).all()
    whole = ColumnParallelLinear(10, 13, gather_output=True, skip_bias_add=True)
    whole.load_weights(up, bias)
    full, left = whole(x)
    assert (full == x @ up.T).all() and (left == bias[state.tensor_part(13)]).all()
    split = RowParallelLinear(13, 10, bias=False, input_is_parallel=False)
    split.load_weights(down)
    assert (split(full)[0] == full @ down.T).all()
    for wrong in (x.astype(numpy.float64), x[:, :4], [1.0]):
        try:
            column(wrong)
            raise AssertionError("a wrong input was taken")
        except (TypeError, ValueError):
            pass
    if stages > 1:
        following, before = state.get_pipeline_model_parallel_next_rank(), state.get_pipeline_model_parallel_prev_rank()
        if before >= 0:
            assert (state.recv(x.shape, before) == x + stage - 1).all()
        if following >= 0:
            state.send(x + stage, following)
state.barrier()
if state.get_rank() == 0:
    print(f"{stages} x {size} ranks{' without numpy' if numpy is None else ''}")
state.destroy_model_parallel()
assert not state.model_parallel_is_initialized()
