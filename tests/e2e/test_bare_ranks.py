#!/usr/bin/env python3
"""Programs with <colrow/parallel.h> that a cluster's launcher starts itself, without `colrow launch`: mpiexec of MPICH
and Open MPI where they are installed, and srun and torchrun as their environments say it. Every number is as with
`colrow launch`, in whatever order ranks come; who cannot be a rank says so and is no world of one."""
import os
import re
import shutil
import signal
import subprocess
import sys

from support import COLROW, check, finish, patience

BUILD = os.path.dirname(COLROW)
COLLECTIVES = os.path.join(BUILD, "examples", "collectives")
BARRIERS = os.path.join(BUILD, "tests", "endless_barriers")
LAUNCHER_WORDS = re.compile("^(RANK|LOCAL_|WORLD_SIZE|GROUP_|MASTER_|PMI_|PMIX_|OMPI_|SLURM_|MPI_|COLROW_J|TORCHELASTIC)")
PLAIN = {name: value for name, value in os.environ.items() if not LAUNCHER_WORDS.match(name)}
PORT = str(30000 + os.getpid() % 20000)


def as_torchrun(rank, size):
    return {"RANK": rank, "WORLD_SIZE": size, "LOCAL_RANK": rank, "LOCAL_WORLD_SIZE": size, "MASTER_PORT": PORT, "GROUP_RANK": 0, "GROUP_WORLD_SIZE": 1}


def as_srun(rank, size):
    return {
        "SLURM_PROCID": rank, "SLURM_LOCALID": rank, "SLURM_STEP_NUM_TASKS": size, "SLURM_STEP_TASKS_PER_NODE": size, "SLURM_NODEID": 0,
        "SLURM_STEP_NUM_NODES": 1, "SLURM_STEP_NODELIST": "gpu7", "SLURM_JOB_ID": os.getpid(), "SLURM_STEP_ID": 0,
    }


def as_hydra(rank, size, here=None):
    return {"PMI_RANK": rank, "PMI_SIZE": size, "MPI_LOCALRANKID": rank, "MPI_LOCALNRANKS": here or size, "MASTER_PORT": PORT}


def start(program, words, **more):
    environment = {**PLAIN, **{name: str(value) for name, value in words.items()}, **more}
    return subprocess.Popen([program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def end(processes):
    """Texts and exit statuses, in the order of `processes`."""
    said = []
    for process in processes:
        try:
            out, err = process.communicate(timeout=patience(20))
        except subprocess.TimeoutExpired:
            process.kill()
            out, err = process.communicate()
            err += "killed: it did not end"
        said.append((process.returncode, out, err))
    return said


def expected(n_ranks):
    done = subprocess.run([COLROW, "launch", "--standalone", "-n", str(n_ranks), "--", COLLECTIVES], env=PLAIN, capture_output=True, text=True)
    check(done.returncode == 0, f"colrow launch: {done.stderr}")
    return sorted(done.stdout.splitlines())


def launchers():
    wanted = expected(4)
    for name, more in (("mpich", []), ("openmpi", ["--oversubscribe", "--bind-to", "none"])):
        program = shutil.which(f"mpiexec.{name}")
        if not program:
            print(f"mpiexec.{name}: skipped, it is not installed")
            continue
        environment = {**PLAIN, "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}
        done = subprocess.run([program, *more, "-n", "4", COLLECTIVES], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=patience(120))
        check(done.returncode == 0, f"{name}: left with {done.returncode}: {done.stderr}")
        check(sorted(done.stdout.splitlines()) == wanted, f"{name} differs: {done.stdout}{done.stderr}")


def environments():
    for words, order in ((as_torchrun, (3, 1, 0, 2)), (as_srun, (0, 1, 2, 3)), (as_hydra, (2, 3, 1, 0))):
        said = end([start(COLLECTIVES, words(rank, 4)) for rank in order])
        check({status for status, _, _ in said} == {0}, f"{words.__name__}: {said}")
        lines = sorted(line for _, out, _ in said for line in out.splitlines())
        check(lines == expected(4), f"{words.__name__} differs: {lines}")


def a_rank_dies():
    ranks = [start(BARRIERS, as_torchrun(rank, 3)) for rank in range(3)]
    check("barriers" in ranks[0].stdout.readline(), "three ranks do not meet")
    os.kill(ranks[2].pid, signal.SIGKILL)
    ranks[2].wait()
    for status, _, err in end(ranks[:2]):
        check(status != 0 and re.search(r"rank 2 \(pid \d+\) (is gone|has exited)", err), f"after a death: {status}, {err}")


def sentences():
    refused = (
        ({**as_hydra(0, 4, here=2)}, {}, r"mpiexec has started 4 ranks one by one on several nodes \(2 on this one\); there, start `colrow launch"),
        (as_hydra(1, 2), {"COLROW_JOIN_TIMEOUT": "1"}, r"after \d+ s \(COLROW_JOIN_TIMEOUT\): rank 1 of 2 still waits for rank 0; all ranks that mpiexec starts"),
        (as_hydra(0, 2), {"COLROW_JOIN_TIMEOUT": "1"}, r"rank 0 of 2 still waits for rank 1"),
        (as_hydra(0, 2), {"COLROW_JOINED": "1"}, r"is or was a rank of a group already"),
        (as_hydra(0, 100000), {}, r"mpiexec has started 100000 ranks; a group has at most \d+"),
        ({"PMI_SIZE": 2, "PMI_RANK": "x"}, {}, r"PMI_RANK is \"x\" in the environment; expected a number"),
    )
    for words, more, sentence in refused:
        ((status, _, err),) = end([start(COLLECTIVES, words, **more)])
        check(status == 1 and re.search(sentence, err), f"{words} {more}: {status}, {err}")
    # who asks for it is alone
    ((status, out, err),) = end([start(COLLECTIVES, as_hydra(1, 2), WORLD_SIZE="1")])
    check(status == 0 and "rank 0" in out and "rank 1" not in out, f"WORLD_SIZE=1: {status}, {out}{err}")


if not os.path.exists(COLLECTIVES):
    sys.exit("build the examples first")
launchers()
environments()
a_rank_dies()
sentences()
finish("ranks that nobody owns")
