#!/usr/bin/env bash
# Compares the program with tcpdump, with itself and with its peers on made-up traffic, and prints
# tables in Markdown for tests/bench/RESULTS.md.
#
# usage: tests/bench/compare.sh [ROUNDS] [KINDS] [PERCENT] > results.md
#
#   ROUNDS   interleaved rounds of which the median counts (5)
#   KINDS    loads to measure ("M F N X")
#   PERCENT  size of the loads, of a gigabyte each (100)
#
# The unit is `tcpdump -r FILE -w /dev/null`, which reads every record and analyses nothing: seconds
# differ from machine to machine, the ratio hardly does. All programs take turns, so that a busy
# machine slows them alike; each ratio is that of one round, and the median stands with the lowest
# and the highest. Peers (tcptrace, argus, tshark) are slow and run PEER_ROUNDS times (1; 0 for not
# at all), where they are installed. Loads are kept in LOADS (${TMPDIR:-/tmp}/portmortem-loads), and
# PROGRAM may name another portmortem than that of this folder. Needs GNU time and tcpdump.
set -euo pipefail
cd "$(dirname "$0")/../.."
rounds=${1:-5}
kinds=${2:-M F N X}
percent=${3:-100}
peer_rounds=${PEER_ROUNDS:-1}
loads=${LOADS:-${TMPDIR:-/tmp}/portmortem-loads}
target=${CARGO_TARGET_DIR:-target}/release
say() { echo "$*" >&2; }
has() { command -v "$1" > /dev/null; }
[ -x /usr/bin/time ] || { say 'compare.sh: GNU time is missing: apt-get install time'; exit 2; }

cargo build --quiet --release --bin portmortem --example load
program=${PROGRAM:-$target/portmortem}
mkdir -p "$loads"
results=$(mktemp -d)
trap 'rm -rf "$results"' EXIT

# measure LOAD NAME COMMAND...: one line of CPU seconds, wall seconds and peak KiB.
measure() {
    local file=$results/$1.$2
    shift 2
    # Exit status 2 of portmortem would mean that it could not read the load.
    if /usr/bin/time -q -o "$results/time" -f '%U %S %e %M' "$@" > /dev/null 2> "$results/errors"; then
        awk '{ printf "%.3f %.3f %d\n", $1 + $2, $3, $4 }' "$results/time" >> "$file"
    else
        say "failed: $*: $(head -n 3 "$results/errors")"
    fi
}

# The median of the numbers on standard input, with the lowest and the highest.
median() {
    sort -g | awk '{ all[NR] = $1 }
        END { if (NR == 0) { print "–"; exit }
              at = int((NR + 1) / 2)
              middle = NR % 2 ? all[at] : (all[at] + all[at + 1]) / 2
              if (NR == 1) printf "%.2f\n", middle
              else printf "%.2f (%.2f to %.2f)\n", middle, all[1], all[NR] }'
}

# ratio LOAD NAME OF FIELD: of NAME to OF in cpu, wall or memory. Where both took turns, that of each
# round.
ratio() {
    local field
    case $4 in cpu) field=1 ;; wall) field=2 ;; memory) field=3 ;; esac
    local one=$results/$1.$2 other=$results/$1.$3
    if [ ! -s "$one" ] || [ ! -s "$other" ]; then echo –; return; fi
    if [ "$(wc -l < "$one")" = "$(wc -l < "$other")" ]; then
        paste -d ' ' "$one" "$other" | awk -v f="$field" '$(f + 3) > 0 { print $f / $(f + 3) }' | median
    else
        local base
        base=$(awk -v f="$field" '{ print $f }' "$other" | median | cut -d ' ' -f 1)
        awk -v f="$field" -v base="$base" 'base > 0 { print $f / base }' "$one" | median
    fi
}

# middle LOAD NAME FIELD UNIT: a median by itself.
middle() {
    [ -s "$results/$1.$2" ] || { echo –; return; }
    awk -v f="$3" -v unit="$4" '{ print $f / unit }' "$results/$1.$2" | median | cut -d ' ' -f 1
}

analyze() { # LOAD NAME FILE OPTION...
    local load=$1 name=$2 file=$3
    shift 3
    measure "$load" "$name" "$program" analyze --no-progress --output /dev/null "$@" "$file"
}

supports() { "$program" analyze --help | grep -q -e "$1"; }

# What the report says must be what the generator planned.
check() { # LOAD FILE OPTION...
    local load=$1 file=$2
    shift 2
    "$program" analyze --no-progress --no-flows --format json "$@" "$file" |
        python3 -c '
import json, sys
found, truth = json.load(sys.stdin)["totals"], json.load(open(sys.argv[1]))["totals"]
wrong = {word: (found[word], count) for word, count in truth.items() if found[word] != count}
print(f"| {sys.argv[2]} | " + ", ".join(f"{count:,} {word}" for word, count in truth.items()) + " | " +
      (f"no: {wrong}" if wrong else "yes") + " |")' "$file.truth.json" "$load${*:+ \`$*\`}"
}

echo "Measured on $(date -u +%Y-%m-%d), $(git describe --always --dirty 2> /dev/null || echo 'outside of git'), rounds: $rounds, size of the loads: $percent %."
echo
echo "- machine: $(awk -F ': ' '/^model name/ { print $2; exit }' /proc/cpuinfo), $(nproc) cores, $(awk '/^MemTotal/ { printf "%.0f GiB", $2 / 1048576 }' /proc/meminfo), $(uname -sr)"
echo "- $("$program" --version), $(rustc --version)"
echo "- $(tcpdump --version 2>&1 | head -n 1)$(has tshark && tshark --version 2> /dev/null | head -n 1 | sed 's/^/; /')$(has tcptrace && tcptrace -version 2>&1 | sed -n 's/.*\(Version: *[0-9.]*\).*/; tcptrace \1/p' | head -n 1)$(has argus && argus -h 2>&1 | sed -n 's/.*\(Version *[0-9.]*\).*/; argus \1/p' | head -n 1)"
echo

totals=$results/totals.md
for kind in $kinds; do
    case $kind in F) megabytes=1100 ;; *) megabytes=1000 ;; esac
    size=$((megabytes * percent / 100))m
    load=$loads/$kind-$size.pcap
    # The truth is written last: without it the capture is not whole.
    [ -e "$load.truth.json" ] || { say "making $load"; "$target/examples/load" "$load" "$size" "$kind"; }
    if [ "$kind" = M ] && [ ! -e "$load.gz" ]; then
        gzip -c "$load" > "$load.gz.part" && mv "$load.gz.part" "$load.gz"
    fi
    cat "$load" > /dev/null # into the page cache
    for round in $(seq "$rounds"); do
        say "$kind: round $round of $rounds"
        measure "$kind" tcpdump tcpdump -r "$load" -w /dev/null
        analyze "$kind" one "$load" --threads 1
        analyze "$kind" two "$load" --threads 2
        case $kind in
        M)
            measure M gzip gzip -dc "$load.gz"
            analyze M gz "$load.gz"
            ;;
        F)
            for format in csv ndjson; do
                measure F "$format" "$program" flows --format "$format" --threads 1 --no-progress \
                    --output /dev/null "$load"
            done
            ;;
        X)
            if supports '--fold'; then analyze X fold "$load" --threads 1 --fold; fi
            if supports '--max-memory'; then
                analyze X bounded "$load" --threads 1 --max-memory 1GiB
            fi
            ;;
        esac
    done
    if [ "$kind" != X ]; then
        for round in $(seq "$peer_rounds"); do
            say "$kind: peers, round $round of $peer_rounds"
            if has tcptrace; then measure "$kind" tcptrace tcptrace -n "$load"; fi
            if has argus; then measure "$kind" argus argus -r "$load" -w /dev/null; fi
            if has tshark; then measure "$kind" tshark tshark -n -q -z conv,tcp -r "$load"; fi
        done
    fi
    check "$kind" "$load" >> "$totals"
    if [ "$kind" = X ] && supports '--max-memory'; then
        check X "$load" --max-memory 1GiB >> "$totals"
    fi
done

# Ten packets: what is left is starting and ending.
small=$loads/ten.pcap
tcpdump -r testdata/seed/capture.pcap -c 10 -w "$small" 2> /dev/null ||
    tcpdump -r "$(ls "$loads"/*.pcap | head -n 1)" -c 10 -w "$small" 2> /dev/null
for round in $(seq 10); do
    # Ten runs are one measurement, because one is shorter than the clock of time(1).
    measure ten portmortem sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do "$@" || exit; done' sh \
        "$program" analyze --no-progress --output /dev/null "$small"
    if has tshark && [ "$round" -le 3 ]; then
        measure ten tshark sh -c 'for i in 1 2 3 4 5 6 7 8 9 10; do "$@" || exit; done' sh \
            tshark -n -q -z conv,tcp -r "$small"
    fi
done

row() { echo "| $1 | $2 | $3 | $4 |"; }
wants() { case " $kinds " in *" $1 "*) true ;; *) false ;; esac }

cat << END
In units of \`tcpdump -r FILE -w /dev/null\`, median of $rounds rounds with the lowest and the highest:

| load | what | at most | measured |
|---|---|---|---|
END
while read -r kind name field limit what; do
    if wants "$kind"; then row "$kind" "$what" "$limit" "$(ratio "$kind" "$name" tcpdump "$field")"; fi
done << 'END'
M one cpu 0.7 one thread, CPU time
M two wall 0.5 two threads, wall time
F one cpu 1.6 one thread, CPU time
N one cpu 1.3 one thread, CPU time
X one cpu 2.5 one thread, CPU time
X fold cpu 2.5 one thread with `--fold`, CPU time
X bounded cpu – one thread with `--max-memory 1GiB`, CPU time
END
cat << 'END'

| load | what | to reach | measured |
|---|---|---|---|
END
for kind in $kinds; do
    [ "$kind" = M ] || row "$kind" 'throughput of two threads to that of one' 'at least 1.6' "$(ratio "$kind" one two wall)"
done
if wants M; then
    row M 'gz: wall time to that of `gzip -dc FILE > /dev/null`' 'at most 1.15' "$(ratio M gz gzip wall)"
fi
if wants F; then
    row F '`flows --format csv` to `analyze`, CPU time, one thread' 'at most 1.6' "$(ratio F csv one cpu)"
    row F '`flows --format ndjson` to `analyze`, CPU time, one thread' 'at most 1.6' "$(ratio F ndjson one cpu)"
fi
row '10 packets' 'start to report, wall, ms' 'at most 10' "$(awk '{ print $2 * 100 }' "$results/ten.portmortem" | median)"
row '10 packets' 'tshark to portmortem, wall' 'at least 30' "$(ratio ten tshark portmortem wall)"
cat << 'END'

Peers, in one run with the above: how many times longer they take than portmortem does.

| load | peer | rounds | wall, two threads | CPU, one thread | to reach | memory |
|---|---|---|---|---|---|---|
END
while read -r kind peer what; do
    if wants "$kind" && [ -s "$results/$kind.$peer" ]; then
        echo "| $kind | $peer | $(wc -l < "$results/$kind.$peer") | $(ratio "$kind" "$peer" two wall) | $(ratio "$kind" "$peer" one cpu) | $what | $(ratio "$kind" "$peer" one memory) |"
    fi
done << 'END'
M tcptrace wall 5
M argus wall 10
M tshark wall 45
F tcptrace CPU 15
F argus –
F tshark CPU 40, memory 10
N tcptrace CPU 3.5
N argus –
N tshark CPU 40
END
cat << 'END'

Medians by themselves:

| load | program | CPU s | wall s | peak MiB |
|---|---|---|---|---|
END
for kind in $kinds; do
    for name in tcpdump one two fold bounded csv ndjson gzip gz tcptrace argus tshark; do
        [ -s "$results/$kind.$name" ] || continue
        case $name in
        one) what='portmortem, one thread' ;;
        two) what='portmortem, two threads' ;;
        fold) what='portmortem `--fold`, one thread' ;;
        bounded) what='portmortem `--max-memory 1GiB`, one thread' ;;
        csv | ndjson) what="portmortem \`flows --format $name\`, one thread" ;;
        gzip) what='`gzip -dc`' ;;
        gz) what='portmortem on gz' ;;
        *) what=$name ;;
        esac
        echo "| $kind | $what | $(middle "$kind" "$name" 1 1) | $(middle "$kind" "$name" 2 1) | $(middle "$kind" "$name" 3 1024) |"
    done
done
cat << 'END'

Totals of the reports are those that the generator planned:

| load | flows | equal |
|---|---|---|
END
cat "$totals"
