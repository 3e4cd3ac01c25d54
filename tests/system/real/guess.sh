#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# guess.sh: john guesses passwords from a word list, in two threads.
set -euo pipefail
export HOME=$PWD
unset MALLOC_PERTURB_  # meson sets it, and john dies of it
for salt in abcdefgh 12345678 qwertyui; do
  for word in tiger77 zebra42 lemon99 nothere; do echo "$word.$salt:$(openssl passwd -1 -salt $salt $word)"; done
done > hashes
for n in $(seq 0 999); do for word in apple zebra tiger lemon; do echo $word$n; done; done > words
john --wordlist=words --format=md5crypt hashes > guessing.log 2>&1 || cat guessing.log
john --show hashes | sort
