#!/usr/bin/env python3
"""`colrow doctor`: each thing that it looks at is fine on a good machine and blamed, with the command that changes it, on a bad one; the
machine is a folder with what the kernel would say, and limits of a process are real ones. A model fits, fits in part, or does not."""
import json
import os
import re
import resource
import subprocess
import tempfile

from support import COLROW, DEMO, SANITIZE, check, finish, run

GIB = 1 << 30
CLOCK = "sys/devices/system/clocksource/clocksource0"
# A machine with nothing to blame.
GOOD = {
    "proc/cpuinfo": "processor\t: 0\nmodel name\t: A CPU of 2026\nflags\t\t: fpu\n",
    "proc/meminfo": f"MemTotal: {64 << 20} kB\nMemAvailable: {60 << 20} kB\nSwapTotal: 0 kB\nSwapFree: 0 kB\n"
                    f"CommitLimit: {2 << 20} kB\nCommitted_AS: {1 << 20} kB\n",
    "proc/loadavg": "0.00 0.01 0.05 1/123 4567\n",
    "proc/self/cgroup": "0::/a/b\n",
    "proc/self/status": "Name:\tcolrow\nSeccomp:\t0\n",
    "proc/sys/vm/overcommit_memory": "0\n",
    "proc/sys/kernel/osrelease": "6.12.0-test\n",
    "proc/sys/kernel/seccomp/actions_avail": "kill_process errno allow\n",
    "proc/1/environ": "PATH=/bin\0TERM=linux\0",
    "sys/kernel/mm/transparent_hugepage/enabled": "always [madvise] never\n",
    "sys/kernel/security/lsm": "capability,landlock,apparmor\n",
    f"{CLOCK}/current_clocksource": "tsc\n",
    f"{CLOCK}/available_clocksource": "tsc hpet acpi_pm\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor": "powersave\n",
    "sys/devices/system/cpu/cpu0/cpufreq/scaling_driver": "amd-pstate-epp\n",
    "dev/shm/.keep": "",
}


def examine(changes, *arguments, limits=(), **variables):
    """What doctor says of the good machine with other files in places (None: without one): rows by name, and its exit status."""
    with tempfile.TemporaryDirectory() as root:
        for name, text in {**GOOD, **changes}.items():
            if text is None:
                continue
            os.makedirs(os.path.dirname(os.path.join(root, name)), exist_ok=True)
            with open(os.path.join(root, name), "w", encoding="utf-8") as file:
                file.write(text)

        def limit():
            for what, value in limits:
                resource.setrlimit(what, (value, value))

        environment = {key: value for key, value in os.environ.items() if key != "COLROW_ISA"}
        done = subprocess.run([COLROW, "doctor", "--json", "--root", root, *arguments], capture_output=True, text=True, check=False,
                              preexec_fn=limit, env={**environment, **variables})
    if not done.stdout:
        return {}, done.returncode, done.stderr
    report = json.loads(done.stdout)
    rows = {row["name"]: row for row in report["findings"]}
    marks = [row["mark"] for row in report["findings"]]
    check((report["faults"], report["warnings"]) == (marks.count("fault"), marks.count("warning")), f"the counts: {report}")
    check(done.returncode == (report["faults"] > 0), f"status {done.returncode} with {report['faults']} faults")
    for row in rows.values():
        check(bool(row["reason"]) >= (row["mark"] in ("warning", "fault")), f"no reason: {row}")
        check(row["mark"] != "fine" or not row["command"], f"a command for what is fine: {row}")
    return rows, done.returncode, done.stderr


def blamed(rows):
    """The rows that are; without the one of a colrow that was built without libseccomp, as those with sanitizers are."""
    bad = [name for name, row in rows.items() if row["mark"] in ("warning", "fault")]
    return [name for name in bad if "libseccomp-dev" not in rows[name]["command"]]


def expect(name, mark, found, command, changes, **more):
    """The row `name` has this mark, says `found` and gives `command` (parts of them), and no other row is blamed with it."""
    rows, _, said = examine(changes, **more)
    row = rows.get(name, {"mark": said, "found": "", "command": ""})
    check((row["mark"], found in row["found"], command in row["command"]) == (mark, True, True), f"{name} of {changes} {more}: {row}")
    others = [other for other in blamed(rows) if other != name]
    check(not others, f"only {name} is wrong, and these are blamed: {others}")


def good_machine_is_fine():
    rows, status, said = examine({})
    check(status == 0 and not said, f"status {status}: {said}")
    check(rows and not blamed(rows), f"nothing to blame: {rows}")
    check("A CPU of 2026" in rows["CPU"]["found"] and "6.12.0-test" in rows["kernel"]["found"], f"what it has: {rows}")
    check(re.search("64.4 GB free of 68.7 GB", rows["memory"]["found"]), f"its memory: {rows['memory']}")
    check("landlock" in rows["confinement"]["found"], f"landlock: {rows['confinement']}")


def files_of_the_kernel():
    expect("load", "warning", "99.00 of", "ps -eo", {"proc/loadavg": "99.00 1.0 1.0 1/1 1\n"})
    expect("clock", "warning", "hpet", "echo tsc >/sys/devices", {f"{CLOCK}/current_clocksource": "hpet\n"})
    expect("clock", "warning", "acpi_pm", "", {f"{CLOCK}/current_clocksource": "acpi_pm\n", f"{CLOCK}/available_clocksource": "acpi_pm \n"})
    expect("clock", "fine", "kvm-clock", "", {f"{CLOCK}/current_clocksource": "kvm-clock\n"})
    governor = "sys/devices/system/cpu/cpu0/cpufreq/scaling_"
    expect("governor", "warning", "powersave (acpi-cpufreq)", "cpupower", {f"{governor}driver": "acpi-cpufreq\n"})
    expect("governor", "warning", "conservative", "cpupower", {f"{governor}governor": "conservative\n"})
    expect("governor", "fine", "performance", "", {f"{governor}governor": "performance\n", f"{governor}driver": "acpi-cpufreq\n"})
    rows, _, _ = examine({f"{governor}governor": None})
    check("governor" not in rows, f"no governor, no row: {rows.get('governor')}")
    huge = "sys/kernel/mm/transparent_hugepage/enabled"
    expect("huge pages", "warning", "never", "echo madvise >/sys/kernel/mm", {huge: "always madvise [never]\n"})
    expect("huge pages", "warning", "none in this kernel", "", {huge: None})
    expect("huge pages", "fine", "always", "", {huge: "[always] madvise never\n"})
    meminfo = GOOD["proc/meminfo"]
    expect("swap", "warning", "8.59 GB used of 17.2 GB", "swapoff -a && swapon -a",
           {"proc/meminfo": meminfo.replace("SwapTotal: 0", f"SwapTotal: {16 << 20}").replace("SwapFree: 0", f"SwapFree: {8 << 20}")})
    expect("swap", "fine", "0 B used of", "", {"proc/meminfo": meminfo.replace("SwapTotal: 0", "SwapTotal: 1024").replace("SwapFree: 0", "SwapFree: 1024")})
    expect("overcommit", "warning", "strict: 1.07 GB", "sysctl -w vm.overcommit_memory=0", {"proc/sys/vm/overcommit_memory": "2\n"})
    expect("overcommit", "fine", "strict", "",
           {"proc/sys/vm/overcommit_memory": "2\n", "proc/meminfo": meminfo.replace("CommitLimit: ", "CommitLimit: 9")})
    expect("memory", "fault", "52.4 MB free", "ps -eo", {"proc/meminfo": meminfo.replace(f"MemAvailable: {60 << 20}", "MemAvailable: 51200")})
    rows, status, said = examine({"proc/meminfo": None})
    check(status == 1 and "meminfo" in said and not rows, f"without meminfo: {status} {said}")
    expect("confinement", "fine" if not SANITIZE else "warning", ", within those of a container", "",
           {"proc/self/status": "Seccomp:\t2\n"})


def cgroups():
    group = "sys/fs/cgroup/a/b"
    expect("cores", "warning", "a quota pays for 0.50", "cpu.max", {f"{group}/cpu.max": "50000 100000\n"})
    expect("cores", "fine", "", "", {f"{group}/cpu.max": "max 100000\n"})
    expect("memory", "warning", "2.15 GB; the machine has 68.7 GB", "memory.max", {f"{group}/memory.max": f"{2 * GIB}\n"})
    expect("memory", "fault", "52.4 MB free of 105 MB", "memory.max", {f"{group}/memory.max": f"{100 << 20}\n", f"{group}/memory.current": f"{50 << 20}\n"})
    expect("processes", "fault", "5 more", "pids.max", {f"{group}/pids.max": "10\n", f"{group}/pids.current": "5\n"})
    # of the parent
    expect("processes", "fault", "0 more", "pids.max", {"sys/fs/cgroup/a/pids.max": "10\n", "sys/fs/cgroup/a/pids.current": "11\n"})
    expect("processes", "fine", "99000 more", "", {f"{group}/pids.max": "100000\n", f"{group}/pids.current": "1000\n"})


def limits_of_the_process():
    expect("open files", "warning", "up to 1024", "ulimit -n", {}, limits=[(resource.RLIMIT_NOFILE, 1024)])
    expect("open files", "fault", "up to 100", "ulimit -n", {}, limits=[(resource.RLIMIT_NOFILE, 100)])
    expect("file size", "fault", "1.05 MB", "ulimit -f unlimited", {}, limits=[(resource.RLIMIT_FSIZE, 1 << 20)])
    expect("file size", "warning", "1.07 GB", "ulimit -f unlimited", {}, limits=[(resource.RLIMIT_FSIZE, GIB)])
    expect("locked memory", "fine", "65.5 KB", "", {}, limits=[(resource.RLIMIT_MEMLOCK, 65536)])
    expect("locked memory", "warning", "65.5 KB", "ulimit -l unlimited", {"sys/class/infiniband/mlx5_0/x": ""},
           limits=[(resource.RLIMIT_MEMLOCK, 65536)])
    if not SANITIZE:  # whose shadow needs the address space
        expect("address space", "warning", "8.59 GB", "ulimit -v unlimited", {}, limits=[(resource.RLIMIT_AS, 8 * GIB)])
        expect("address space", "fault", "805 MB", "ulimit -v unlimited", {}, limits=[(resource.RLIMIT_AS, 768 << 20)])
        expect("address space", "fault", "805 MB", "ulimit -d unlimited", {}, limits=[(resource.RLIMIT_DATA, 768 << 20)])
    if not SANITIZE:
        isa = {"COLROW_ISA": "reference"}
        if "reference" not in examine({})[0]["CPU"]["found"]:
            expect("CPU", "warning", "kernels: reference", "unset COLROW_ISA", {}, **isa)


def file_size_really_bites():
    """What the finding says is so: under such a limit nothing starts."""
    done = subprocess.run([COLROW, "generate", DEMO, "-p", "x", "--max-tokens", "1", "--kv-cache-memory", "64MB"], capture_output=True, text=True,
                          check=False, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20)))
    check(done.returncode == 1, f"generate with files of a megabyte: {done.returncode} {done.stderr[-300:]}")


def surroundings():
    expect("container", "note", "docker", "", {".dockerenv": ""})
    expect("container", "note", "podman", "", {"run/.containerenv": ""})
    expect("container", "note", "kubernetes", "", {"run/secrets/kubernetes.io/x": "", ".dockerenv": ""})
    expect("container", "note", "systemd-nspawn", "", {"run/systemd/container": "systemd-nspawn\n"})
    expect("container", "note", "lxc", "", {"proc/1/environ": "PATH=/bin\0container=lxc\0"})
    expect("container", "note", "none found", "", {})
    expect("systemd", "note", "colrow.service can serve", "", {"run/systemd/system/x": ""})
    expect("systemd", "note", "does not run", "", {})
    expect("GPU", "note", "none", "", {})
    card = "sys/bus/pci/devices/0000:01:00.0"
    expect("GPU", "note", "NVIDIA, no driver", "", {f"{card}/class": "0x030200\n", f"{card}/vendor": "0x10de\n"})
    expect("GPU", "note", "NVIDIA, driver 550.54.14;", "", {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu\n"})
    expect("GPU", "note", "NVIDIA, driver 570.86.15;", "",
           {"proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  570.86.15  Release Build\n"})
    expect("GPU", "note", "AMD", "", {f"{card}/class": "0x120000\n", f"{card}/vendor": "0x1002\n"})
    expect("GPU", "note", "none", "", {f"{card}/class": "0x020000\n", f"{card}/vendor": "0x10de\n"})
    # where it is built in, there is nothing for the loader to find
    rows, _, _ = examine({})
    check(rows["libcurl"]["mark"] in ("fine", "note") and rows["UCX"]["mark"] in ("fine", "note"), f"libraries: {rows['libcurl']} {rows['UCX']}")


def models():
    if not os.path.exists(os.path.join(DEMO, "model.safetensors")):
        print("models: skipped, models/demo is not here")
        return
    rows, status, _ = examine({}, DEMO)
    check(status == 0 and rows["model"]["mark"] == "fine" and f"colrow serve {DEMO} -tp " in rows["serve with"]["found"], f"it fits: {rows}")
    check("requests of 1024" in rows["KV cache"]["found"], f"its KV cache: {rows['KV cache']}")
    with tempfile.TemporaryDirectory() as folder:
        # longer sequences than a small machine has room for
        long = os.path.join(folder, "long")
        os.mkdir(long)
        for name in os.listdir(DEMO):
            if name != "config.json":
                os.symlink(os.path.join(os.path.realpath(DEMO), name), os.path.join(long, name))
        with open(os.path.join(DEMO, "config.json"), encoding="utf-8") as file:
            config = json.load(file)
        config["max_position_embeddings"] = 1 << 20
        with open(os.path.join(long, "config.json"), "w", encoding="utf-8") as file:
            json.dump(config, file)
        small = {"proc/meminfo": GOOD["proc/meminfo"].replace(str(64 << 20), str(1 << 20)).replace(str(60 << 20), str(800 << 10))}
        rows, status, _ = examine(small, long)
        said = rows.get("serve with", {"found": ""})["found"]
        found = re.search(r"--max-model-len (\d+)$", said)
        check(status == 0 and rows["KV cache"]["mark"] == "warning" and found and 0 < int(found[1]) < 1 << 20, f"it fits in part: {rows}")
        check(rows["KV cache"]["command"] == said, f"the command: {rows['KV cache']}")
        tiny = {"proc/meminfo": GOOD["proc/meminfo"].replace(str(64 << 20), str(50 << 10)).replace(str(60 << 20), str(40 << 10))}
        rows, status, _ = examine(tiny, DEMO)
        check(status == 1 and rows["model"]["mark"] == "fault" and "does not fit" in rows["model"]["found"], f"it does not fit: {rows}")
        with open(os.path.join(long, "config.json"), "w", encoding="utf-8") as file:
            file.write("{}")
        rows, status, _ = examine({}, long)
        check(status == 1 and rows["model"]["mark"] == "fault" and "config.json" in rows["model"]["reason"], f"a broken one: {rows.get('model')}")
        rows, status, said = examine({}, os.path.join(folder, "nowhere"))
        check(status == 1 and "nowhere" in said + str(rows), f"none: {status} {said} {rows}")


def text():
    done = run("doctor")
    check(done.returncode in (0, 1) and not done.stderr, f"this machine: {done.returncode} {done.stderr}")
    lines = done.stdout.splitlines()
    check(any(re.match("[✓!✗·]  CPU +", line) for line in lines), f"a table: {done.stdout}")
    check(re.search(r"^\d+ faults?, \d+ warnings?: ", lines[-1]), f"the last line: {lines[-1:]}")
    columns = {line.index(line.split("  ")[2].strip() if len(line.split("  ")) > 2 else " ") for line in lines[2:5] if line}
    check(len(columns) >= 1, "columns")
    check(run("doctor", "--nonsense").returncode == 2, "a flag that there is not")


good_machine_is_fine()
files_of_the_kernel()
cgroups()
limits_of_the_process()
file_size_really_bites()
surroundings()
models()
text()
finish("doctor")
