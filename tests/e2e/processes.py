"""Processes as /proc shows them, for tests that end some and look for what is left."""
import collections
import os


def stat_of(pid):
    """-> (parent, state, start time), or None: there is no such process."""
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return int(fields[1]), fields[0], int(fields[19])
    except (OSError, IndexError):
        return None


def lives(pid):
    """False: it is gone, or dead and only not yet collected."""
    found = stat_of(pid)
    return found is not None and found[1] not in "ZX"


def children_of(pid):
    """Dead ones that are not yet collected, too."""
    pids = []
    try:
        for task in os.listdir(f"/proc/{pid}/task"):  # a child belongs to the thread that started it
            with open(f"/proc/{pid}/task/{task}/children", encoding="ascii") as file:
                pids += map(int, file.read().split())
    except OSError:
        pass
    return pids


def below(pid):
    """The processes under `pid` that live, children before grandchildren."""
    children = collections.defaultdict(list)
    for entry in filter(str.isdigit, os.listdir("/proc")):
        found = stat_of(entry)
        if found and found[1] not in "ZX":
            children[found[0]].append(int(entry))
    found = list(children[pid])
    for child in found:
        found += children[child]
    return found


def leaves_below(pid):
    """Of these the ones without a child: the ranks, whoever started them (and a launcher, where there is one)."""
    pids = below(pid)
    parents = {found[0] for found in map(stat_of, pids) if found}
    return [each for each in pids if each not in parents]


def ranks_below(pid):
    """-> {rank: pid} of the processes that compute, by the environment that they were given."""
    ranks = {}
    for each in leaves_below(pid):
        try:
            with open(f"/proc/{each}/environ", "rb") as file:
                found = [field[5:] for field in file.read().split(b"\0") if field.startswith(b"RANK=")]
        except OSError:
            continue
        if found:
            ranks[int(found[0])] = each
    return ranks
