#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A repository made on the spot: commits, branches, a merge, gc, a clone, and what the log says. Dates are fixed.
set -euo pipefail
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b HOME=$PWD
export GIT_AUTHOR_DATE="2026-01-01 00:00:00 +0000" GIT_COMMITTER_DATE="2026-01-01 00:00:00 +0000"
git -c init.defaultBranch=main init -q repository && cd repository
for i in $(seq 1 12); do
  for j in 1 2 3; do seq $((i * j)) $((i * j + 400)) > file$j; done
  git add . && git commit -q -m "commit $i"
done
git checkout -q -b side HEAD~5 && echo side > other && git add other && git commit -q -m side
git checkout -q main && git merge -q --no-edit side
git gc -q && git fsck --full 2>/dev/null
cd .. && git clone -q repository copy
git -C copy log --format='%H %s' && git -C copy diff --stat HEAD~3
