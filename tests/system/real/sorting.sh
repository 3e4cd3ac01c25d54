# SPDX-License-Identifier: Apache-2.0
# sort with little memory, so that it works in temporary files, two threads and a compressor.
set -e
awk 'BEGIN {for (i = 0; i < 800000; i++) printf "%07d %s %d\n", i * 7919 % 1000003, "padding padding", i}' > input
sort -S 4M -T . --parallel=2 input | cksum
sort -S 2M -T . --compress-program=gzip -k3,3nr input | head -100000 | cksum
sort -S 4M -T . -c input && echo "already sorted" || echo "not sorted"
rm -f input
