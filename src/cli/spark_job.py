#!/usr/bin/env python3
"""Runs portmortem over many captures on a Spark cluster, and adds up what it finds.

    portmortem spark-job > portmortem_job.py
    spark-submit portmortem_job.py --captures /srv/captures --output /srv/results
    spark-submit portmortem_job.py --manifest captures.txt  --output /srv/results -- --roles roles.toml

It pays for archives that one machine would read for hours: below a few hundred gigabytes
`portmortem analyze FOLDER` on one machine is done sooner, and needs none of this.

What it does
    1. The driver lists the captures: all files below a folder, those that a pattern names, or the
       lines of a manifest. Local files are read in place; all else that Spark can read (s3a://,
       abfss://, gs://, hdfs://) is read by Spark, which takes files of less than 2 GiB.
    2. Each capture is a task of its own: an executor runs portmortem on it and writes a folder
       OUTPUT/parts/NAME with flows.parquet, cells.parquet and report.json.
    3. The driver adds up the reports with `portmortem merge`, in the order of the captures: OUTPUT/merged
       has the same report and tables as one run over all of them (it needs memory for all flows).
       Spark SQL then sums up the flows of all parts.

What it needs
    - portmortem on every executor: on the PATH, under a path that is the same everywhere
      (--program), or sent along: spark-submit --files portmortem ... --program portmortem
    - OUTPUT: a folder that driver and executors reach under the same path (NFS, a mounted bucket).
    - What stands behind `--` goes to each portmortem as it is. Files that it names (roles, matrix,
      hosts) must be there on each executor; give whole paths.

What happens when something fails
    A part is written under a temporary name and renamed when it is whole. Where an executor dies,
    Spark gives its tasks to another, and what it left behind is never read. Run the same command
    again after a failure: parts that are whole are not made again, unless the capture, the options
    or the version of portmortem have changed.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile

# What Spark hands over at once, as an array of bytes of the Java machine.
MOST_BYTES_BY_SPARK = (1 << 31) - 1024


def arguments():
    given = sys.argv[1:]
    cut = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(
        prog="portmortem_job.py",
        description="Runs portmortem over many captures on a Spark cluster.",
        epilog="What stands behind -- goes to each portmortem as it is.",
    )
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--captures", metavar="PLACE", help="a folder, file or pattern that Spark can list")
    source.add_argument("--manifest", metavar="FILE", help="a text with one capture a line; # begins a remark")
    parser.add_argument("--output", metavar="FOLDER", required=True, help="shared by driver and executors")
    parser.add_argument("--program", metavar="PATH", default="portmortem", help="portmortem on the executors")
    parser.add_argument("--by-spark", action="store_true", help="let Spark read local files too")
    chosen = parser.parse_args(given[:cut])
    chosen.options = given[cut + 1 :]
    return chosen


def list_captures(spark, place):
    """Files at a place, as (url, size, time of change), sorted by name."""
    jvm = spark.sparkContext._jvm
    path = jvm.org.apache.hadoop.fs.Path(place)
    system = path.getFileSystem(spark.sparkContext._jsc.hadoopConfiguration())
    # A name may look like a pattern.
    found = [path] if system.exists(path) else [status.getPath() for status in system.globStatus(path) or []]
    if not found:
        sys.exit(f"{place}: nothing is there, or Spark cannot list it")
    files = []
    for each in found:
        below = system.listFiles(each, True)
        while below.hasNext():
            file = below.next()
            name = file.getPath().getName()
            # Unfinished and hidden files, as Spark takes them.
            if not name.startswith((".", "_")):
                files.append((file.getPath().toString(), file.getLen(), file.getModificationTime()))
    return sorted(files)


def read_manifest(spark, manifest):
    """Captures of a manifest, in its order."""
    with open(manifest, encoding="utf-8") as lines:
        places = [line.strip() for line in lines]
    files = []
    for place in places:
        if place and not place.startswith("#"):
            files.extend(list_captures(spark, place))
    return files


# Paths as Hadoop writes them: with a scheme, and nothing encoded.
def is_local(url):
    return url.startswith("file:/")


def local_path(url):
    return re.sub("^file:(//)?(?=/)", "", url)


def literal(url):
    """A path that means itself where patterns are understood."""
    return re.sub(r"([\\{}\[\]*?])", r"\\\1", url)


def common_folder(files):
    """What the names of all captures begin with, up to a slash. It does not show in reports."""
    prefix = os.path.commonprefix([url for url, _, _ in files])
    return prefix[: prefix.rfind("/") + 1]


def part_name(number, shown, size, changed, version, options):
    """A name that is another one whenever the result could be."""
    told = "\0".join([shown, str(size), str(changed), version, *options])
    return f"{number:07}-{hashlib.sha256(told.encode()).hexdigest()[:16]}"


def is_whole(part):
    # portmortem writes the report last, and the folder gets its name after that.
    return os.path.isfile(os.path.join(part, "report.json"))


def make_part(capture, content, job):
    """Runs portmortem on one capture. This is what executors do."""
    part = os.path.join(job["parts"], capture["part"])
    if is_whole(part):
        return (capture["part"], "kept")
    unfinished = tempfile.mkdtemp(prefix=".unfinished-", dir=job["parts"])
    fetched = None
    try:
        if content is None:
            folder = job["folder"]
        else:
            # A name as in the archive, because reports show it.
            folder = fetched = tempfile.mkdtemp(prefix="portmortem-")
            place = os.path.join(fetched, capture["shown"])
            os.makedirs(os.path.dirname(place), exist_ok=True)
            with open(place, "wb") as file:
                file.write(content)
        command = [job["program"], "analyze", "--format", "parquet", "--output", unfinished + "/"]
        command += ["--no-progress", *job["options"], "--", capture["shown"]]
        run = subprocess.run(command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True)
        told = run.stderr.decode(errors="replace").strip()
        # 2 also says that a capture could be read only in part: the report then tells what of it.
        if run.returncode not in (0, 1, 2) or not is_whole(unfinished):
            raise RuntimeError(f"{capture['shown']}: portmortem failed ({run.returncode}): {told}")
        try:
            os.rename(unfinished, part)
        except OSError:
            # Another task made it meanwhile: Spark may start a slow one twice.
            if not is_whole(part):
                raise
        return (capture["part"], told if run.returncode == 2 else "made")
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
        if fetched is not None:
            shutil.rmtree(fetched, ignore_errors=True)


def program_path(program):
    """The program, on the machine that asks: one that was sent along stands in Spark's folder."""
    from pyspark import SparkFiles

    if os.sep not in program and shutil.which(program) is None:
        return SparkFiles.get(program)
    return program


def main():
    chosen = arguments()
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("portmortem").getOrCreate()
    context = spark.sparkContext

    parts = os.path.join(os.path.abspath(chosen.output), "parts")
    os.makedirs(parts, exist_ok=True)
    program = program_path(chosen.program)
    version = subprocess.run([program, "--version"], check=True, capture_output=True, text=True).stdout.strip()

    files = read_manifest(spark, chosen.manifest) if chosen.manifest else list_captures(spark, chosen.captures)
    if not files:
        sys.exit("no captures: name a folder, a pattern or a manifest that has some")
    base = common_folder(files)
    captures = []
    for number, (url, size, changed) in enumerate(files):
        shown = local_path(url)[len(local_path(base)) :] if is_local(url) else url[len(base) :]
        name = part_name(number, shown, size, changed, version, chosen.options)
        captures.append({"url": url, "shown": shown, "size": size, "part": name})

    missing = [capture for capture in captures if not is_whole(os.path.join(parts, capture["part"]))]
    by_spark = [capture for capture in missing if chosen.by_spark or not is_local(capture["url"])]
    in_place = [capture for capture in missing if not chosen.by_spark and is_local(capture["url"])]
    for capture in by_spark:
        if capture["size"] > MOST_BYTES_BY_SPARK:
            sys.exit(f"{capture['url']}: Spark hands over less than 2 GiB: mount the bucket, and give its folder")
    job = {
        "parts": parts,
        "folder": local_path(base) if is_local(base) else None,
        "program": chosen.program,
        "options": chosen.options,
    }

    def on_executor(capture, content=None):
        here = dict(job, program=program_path(job["program"]))
        return make_part(capture, content, here)

    print(f"{len(captures)} captures, {len(missing)} to do", flush=True)
    told = []
    if in_place:
        # A task for each, the big ones first, so that none of them is left alone at the end.
        in_place.sort(key=lambda capture: -capture["size"])
        told += context.parallelize(in_place, len(in_place)).map(on_executor).collect()
    if by_spark:
        # A task for each here too. The tables below are big files, which one byte a task would cut up.
        at_once = spark.conf.get("spark.sql.files.maxPartitionBytes")
        spark.conf.set("spark.sql.files.maxPartitionBytes", "1")
        by_url = {local_path(capture["url"]): capture for capture in by_spark}
        rows = spark.read.format("binaryFile").load([literal(capture["url"]) for capture in by_spark])
        rows = rows.select("path", "content").rdd
        told += rows.map(lambda row: on_executor(by_url[local_path(row.path)], bytes(row.content))).collect()
        spark.conf.set("spark.sql.files.maxPartitionBytes", at_once)
    for name, message in sorted(told):
        if message not in ("made", "kept"):
            print(message, file=sys.stderr)

    whole = [os.path.join(parts, capture["part"]) for capture in captures]
    lost = [part for part in whole if not is_whole(part)]
    if lost:
        sys.exit(f"{len(lost)} parts are missing, the first is {lost[0]}: run the same command again")

    # The same report as one run over all captures in this order, and its tables: roles and findings
    # of all captures together.
    sum_of_all = os.path.join(os.path.abspath(chosen.output), "merged", "")
    report = os.path.join(sum_of_all, "report.json")
    if os.path.exists(report):
        os.remove(report)  # of an earlier run
    reports = [os.path.join(os.path.basename(part), "report.json") for part in whole]
    merge = [program, "merge", "--format", "parquet", "--output", sum_of_all, *reports]
    merged = subprocess.run(merge, cwd=parts, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if merged.stderr:
        print(merged.stderr.strip(), file=sys.stderr)
    if merged.returncode in (0, 1, 2) and os.path.isfile(report):
        print(f"the report of all captures and its tables: {sum_of_all}")
    else:
        print("the reports were not added up; the tables of each capture are whole", file=sys.stderr)

    # The tables of all parts are one. `id` counts within a part: with `capture_path` it is unique.
    # Parts of older runs are left where they are, so the paths are named one by one.
    spark.read.parquet(*[os.path.join(part, "flows.parquet") for part in whole]).createOrReplaceTempView("flows")
    spark.sql("SELECT class, verdict, count(*) AS flows FROM flows GROUP BY ALL ORDER BY flows DESC").show(50, False)
    spark.sql(
        """
        SELECT initiator.address AS initiator, responder.address AS responder, transport,
               responder.port AS port, verdict, count(*) AS flows,
               count(DISTINCT capture_path) AS captures, min(first_seen) AS first_seen
        FROM flows
        WHERE class IN ('timeout', 'reject')
        GROUP BY ALL ORDER BY flows DESC, responder, port LIMIT 50
        """
    ).show(50, False)
    spark.stop()
    sys.exit(merged.returncode if os.path.isfile(report) else 2)


if __name__ == "__main__":
    main()
