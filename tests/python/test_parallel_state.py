#!/usr/bin/env python3
"""`colrow.parallel_state` and the parallel layers under `colrow launch`, on 1 to 4 ranks and stages; wrong sizes are
refused in one sentence."""
import os
import subprocess
import sys

from python_case import COLROW, HERE, ROOT
from support import check, finish

SCRIPT = os.path.join(HERE, "parallel_script.py")
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.path.join(os.path.abspath(ROOT), "python")}


def launch(ranks, stages):
    command = [COLROW, "launch", "--nproc-per-node", str(ranks), "--", sys.executable, SCRIPT, str(stages)]
    return subprocess.run(command, capture_output=True, text=True, env=ENVIRONMENT, check=False)


said = set()
for n_ranks, n_stages in ((1, 1), (2, 1), (3, 1), (4, 2)):
    done = launch(n_ranks, n_stages)
    check(done.returncode == 0 and done.stdout.startswith(f"{n_stages} x {n_ranks // n_stages} ranks"),
          f"{n_ranks} ranks, {n_stages} stages: {done.stdout}{done.stderr}")
    said.add(done.stdout.strip()[-13:])
alone = subprocess.run([sys.executable, SCRIPT, "1"], capture_output=True, text=True, env=ENVIRONMENT, check=False)
check(alone.stdout.startswith("1 x 1 ranks"), f"without a launcher: {alone.stdout}{alone.stderr}")
done = launch(2, 3)
check(done.returncode != 0 and "ParallelError" in done.stderr and "colrow launch --nproc-per-node" in done.stderr, f"{done.stderr}")
finish("parallel_state" + (" (skipped: arrays, since numpy is not installed)" if "without numpy" in said else ""))
