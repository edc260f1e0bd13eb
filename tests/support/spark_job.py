"""Runs the Spark job on a cluster of processes of this machine, kills an executor in the middle, and
compares what comes out with one run of portmortem over the same captures.

usage: spark_job.py PROGRAM JOB CAPTURES WORK

Only the loopback network is used.
"""

import collections
import glob
import json
import os
import signal
import stat
import subprocess
import sys
import time

import pyarrow.parquet

program, job, captures, work = sys.argv[1:5]
calls = os.path.join(work, "calls.txt")
slow = os.path.join(work, "portmortem-slow")

# Says what it was called for, and takes its time, so that there is a middle to kill an executor in.
with open(slow, "w", encoding="utf-8") as file:
    file.write(f'#!/bin/sh\n[ "$1" = analyze ] && echo "$*" >> {calls} && sleep 0.5\nexec {program} "$@"\n')
os.chmod(slow, os.stat(slow).st_mode | stat.S_IXUSR)

environment = dict(os.environ)
environment.update(
    SPARK_LOCAL_IP="127.0.0.1",
    PYSPARK_PYTHON=sys.executable,
    PYSPARK_DRIVER_PYTHON=sys.executable,
    PYSPARK_SUBMIT_ARGS=(
        "--master local-cluster[2,1,1024] --conf spark.driver.host=127.0.0.1 "
        "--conf spark.driver.bindAddress=127.0.0.1 --conf spark.ui.enabled=false "
        "--conf spark.sql.shuffle.partitions=2 pyspark-shell"
    ),
)


def start(output, *more, of=slow, source=("--captures", captures)):
    command = [sys.executable, job, *source, "--output", output, "--program", of, *more]
    log = open(os.path.join(work, os.path.basename(output) + ".log"), "w", encoding="utf-8")
    return subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=work)


def finish(process, output):
    process.wait(timeout=300)
    with open(os.path.join(work, os.path.basename(output) + ".log"), encoding="utf-8") as log:
        return process.returncode, log.read()


def below(ancestor):
    """Processes below one, by process id, with the words they were called with."""
    found = {}
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        pid = int(path.split("/")[2])
        try:
            words = open(path, "rb").read().split(b"\0")
            parent = pid
            while parent > 1 and parent != ancestor:
                parent = int(open(f"/proc/{parent}/stat", encoding="utf-8").read().rsplit(")", 1)[1].split()[1])
            if parent == ancestor and pid != ancestor:
                found[pid] = words
        except (OSError, IndexError, ValueError):
            continue  # it ended meanwhile
    return found


def executors():
    backend = b"org.apache.spark.executor.CoarseGrainedExecutorBackend"
    return sorted(pid for pid, words in below(os.getpid()).items() if backend in words)


def whole_parts(output):
    return glob.glob(os.path.join(output, "parts", "0*", "report.json"))


def called():
    if not os.path.exists(calls):
        return collections.Counter()
    with open(calls, encoding="utf-8") as lines:
        return collections.Counter(line.rstrip("\n").rsplit(" ", 1)[1] for line in lines)


names = sorted(os.listdir(captures))
single = os.path.join(work, "single")
os.mkdir(single)
run = [program, "analyze", "--format", "parquet", "--quiet", "--output", single + "/", *names]
trouble = subprocess.run(run, cwd=captures).returncode
assert trouble in (0, 2)
expected = json.load(open(os.path.join(single, "report.json"), encoding="utf-8"))


def check(output, told):
    """What the job made is what one run made."""
    rows = []
    parts = sorted(os.path.dirname(path) for path in whole_parts(output))
    assert len(parts) == len(names), told
    for number, part in enumerate(parts):
        for row in pyarrow.parquet.read_table(os.path.join(part, "flows.parquet")).to_pylist():
            rows.append((names[number], row["capture_path"], row["verdict"], row["first_frame"], row["explanation"]))
    # A capture that is there twice is counted once in one run: its flows are in no other table.
    copies = {capture["path"] for capture in expected["captures"] if capture["same_as"] is not None}
    rows = [row[1:] for row in rows if row[0] not in copies]
    paths = [capture["path"] for capture in expected["captures"]]
    one = [
        (paths[flow["capture"]], flow["verdict"], flow["first_frame"], flow["explanation"])
        for flow in expected["flows"]
    ]
    # What other captures tell of a host is in the sentences of one run alone.
    assert [row[:3] for row in rows] == [row[:3] for row in one], told
    for name in ("report.json", "flows.parquet", "cells.parquet"):
        with open(os.path.join(output, "merged", name), "rb") as found:
            with open(os.path.join(single, name), "rb") as wanted:
                assert found.read() == wanted.read(), f"{name} is not that of one run\n{told}"


# An executor is killed when some parts are whole and others are being made.
output = os.path.join(work, "killed")
process = start(output)
deadline = time.time() + 200
killed = None
while killed is None:
    assert process.poll() is None and time.time() < deadline, finish(process, output)
    if 3 <= len(whole_parts(output)) < len(names) - 6:
        for pid in executors()[:1]:
            # With its Python and the portmortem that it runs, as when a machine is lost.
            for lost in [pid, *below(pid)]:
                try:
                    os.kill(lost, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended meanwhile
            killed = (pid, len(whole_parts(output)))
    time.sleep(0.05)
status, told = finish(process, output)
check(output, told)
assert status == trouble, told
again = sum(called().values()) - len(names)
assert set(called()) == set(names) and 0 <= again <= 4, called()
print(f"executor {killed[0]} was killed with {killed[1]} of {len(names)} parts made: the rest was made by others, {again} twice; the sum is the same bytes as one run")

# What is whole is not made again.
before = sum(called().values())
status, told = finish(start(output), output)
check(output, told)
assert "0 to do" in told and sum(called().values()) == before, told
print("a second run made nothing again")

# Read by Spark, as from an object store, by a manifest.
manifest = os.path.join(work, "manifest.txt")
with open(manifest, "w", encoding="utf-8") as file:
    file.writelines(f"file://{captures}/{name}\n" for name in names)
output = os.path.join(work, "by-spark")
status, told = finish(start(output, "--by-spark", of=program, source=("--manifest", manifest)), output)
check(output, told)
print("captures that Spark reads give the same")
