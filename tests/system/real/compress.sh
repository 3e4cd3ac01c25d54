# SPDX-License-Identifier: Apache-2.0
# Compressors there and back; the input is made of text and of noise that every run makes alike.
set -e
case $1 in xz) lines=1000000 ;; *) lines=900000 ;; esac
awk -v lines=$lines 'BEGIN {for (i = 0; i < lines; i++) print i * 7919 % 104729, "some text that repeats itself", i}' > input
cksum < input
case $1 in
  xz) xz -T2 -1 --block-size=1MiB -k input; cksum < input.xz; xz -dc input.xz | cksum ;;
  gzip) gzip -7 -n -k input; cksum < input.gz; gzip -dc input.gz | cksum ;;
esac
rm -f input*
