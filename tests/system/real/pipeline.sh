# SPDX-License-Identifier: Apache-2.0
# Pipelines, subshells, here-documents, background jobs, traps and arithmetic in bash.
set -o pipefail
trap 'echo "interrupted by USR1"' USR1
for round in $(seq "${ROUNDS:-60}"); do
  seq $((round * 500)) | awk '{print $1 * 7 % 1000, $1}' | sort -n -k1,1 -k2,2 | uniq -c | head -200 | cksum
  for job in 1 2 3; do
    (seq "$job" 3 3000 | tee "part$job" | wc -l; exit "$job") > "count$job" &
    pids[job]=$!
  done
  for job in 1 2 3; do
    wait "${pids[job]}"
    echo "job $job: $? $(cat "count$job") $(cksum < "part$job")"
  done
  kill -USR1 $$
  while read -r a b; do total=$((total + a * b)); done <<END
1 $round
3 4
END
  false | true
  echo "round $round: $total ${PIPESTATUS[*]} $(diff <(seq 10) <(seq 2 11) | cksum)"
done
rm -f part? count?
