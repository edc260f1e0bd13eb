#!/bin/sh
# Compares the program with tcpdump on a gigabyte of made-up traffic.
#
# usage: tests/bench/compare.sh [ROUNDS] [KIND]      KIND: M (the default), F, N or X
#
# tcpdump reads and writes every packet of the capture and is the steadiest yardstick: seconds differ from machine to
# machine, the ratio hardly does. All programs take turns, so that a busy machine slows them alike. Printed are the CPU
# seconds (user and system) of each turn, and the median ratio. The capture is kept for the next time in
# ${TMPDIR:-/tmp}/portmortem-load-KIND.pcap.
set -eu
cd "$(dirname "$0")/../.."
rounds=${1:-5}
kind=${2:-M}
load=${TMPDIR:-/tmp}/portmortem-load-$kind.pcap

cargo build --quiet --release --bin portmortem --example load
target=${CARGO_TARGET_DIR:-target}/release
# The truth is written last: without it the capture is not whole.
[ -e "$load.truth.json" ] || "$target/examples/load" "$load" 1g "$kind"
cat "$load" > /dev/null # into the page cache

# CPU seconds of a command: the second line that `times` prints is about the shell's children.
cpu() {
    (
        "$@" > /dev/null 2>&1 || exit $?
        times
    ) | awk 'function seconds(t) { split(t, part, /[ms]/); return part[1] * 60 + part[2] }
        NR == 2 { printf "%.2f\n", seconds($1) + seconds($2) }'
}

results=$(mktemp)
trap 'rm -f "$results"' EXIT
program=$target/portmortem
echo "round tcpdump flows-1-thread flows-2-threads analyze-1-thread json-1-thread"
round=1
while [ "$round" -le "$rounds" ]; do
    yardstick=$(cpu tcpdump -r "$load" -w /dev/null)
    flows=$(cpu "$program" flows --format csv --output /dev/null --threads 1 "$load")
    shared=$(cpu "$program" flows --format csv --output /dev/null --threads 2 "$load")
    analyze=$(cpu "$program" analyze --output /dev/null --threads 1 "$load")
    # Beside the others this computes the capture's digest.
    json=$(cpu "$program" analyze --format json --output /dev/null --threads 1 "$load")
    echo "$round $yardstick $flows $shared $analyze $json" | tee -a "$results"
    round=$((round + 1))
done

# Seconds to wait, for which a second thread is there.
wall() {
    before=$(date +%s%N)
    "$@" > /dev/null 2>&1
    echo $((($(date +%s%N) - before) / 1000000))
}
round=1
while [ "$round" -le "$rounds" ]; do
    one=$(wall "$program" flows --format csv --output /dev/null --threads 1 "$load")
    two=$(wall "$program" flows --format csv --output /dev/null --threads 2 "$load")
    echo "$one $two"
    round=$((round + 1))
done | awk '{ one += $1; two += $2 }
    END { printf "two threads: %.2f of the time to wait that one takes\n", two / one }'

for column in 3:flows-1-thread 4:flows-2-threads 5:analyze-1-thread 6:json-1-thread; do
    awk -v column="${column%%:*}" '{ printf "%.3f\n", ($2 ? $column / $2 : 0) }' "$results" | sort -n |
        awk -v name="${column#*:}" '{ ratio[NR] = $1 }
            END { middle = int((NR + 1) / 2)
                  median = NR % 2 ? ratio[middle] : (ratio[middle] + ratio[middle + 1]) / 2
                  printf "%s: %.2f of tcpdump (from %.2f to %.2f)\n", name, median, ratio[1], ratio[NR] }'
done
