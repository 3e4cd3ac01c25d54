#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A tree of files through tar, compressed and back, and through rsync twice.
set -euo pipefail
mkdir -p tree/{a,b,c}/d
for i in $(seq 1 60); do seq $i $((i * 50)) > tree/$(printf 'a b c' | cut -d' ' -f$((i % 3 + 1)))/d/file$i; done
ln -s d/file1 tree/a/link && ln tree/b/d/file1 tree/hard 2>/dev/null || true
for how in z j J; do
  tar -c${how}f archive.tar.$how tree && mkdir out.$how && tar -x${how}f archive.tar.$how -C out.$how
  diff -r tree out.$how/tree && echo "$how the same"
done
if command -v rsync > /dev/null; then
  rsync -a tree/ mirror/ && echo more >> tree/a/d/file3 && rsync -ac --delete tree/ mirror/ && diff -r tree mirror && echo "mirror the same"
fi
find tree -type f | sort | xargs sha256sum | sha256sum
