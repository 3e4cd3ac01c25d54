#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# encode.sh lame|ffmpeg|sox|pigz|zstd|bzip2: made input, encoded, the result's hash.
set -euo pipefail
seq 1 1600000 > data
case $1 in
  lame) { printf 'RIFF\xff\xff\xff\x7fWAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xac\0\0\x88\x58\x01\0\x02\0\x10\0data\xff\xff\xff\x7f'; head -c 2000000 data; } | lame --quiet -r -s 44.1 - - | sha256sum ;;
  ffmpeg) ffmpeg -nostdin -v error -f lavfi -i testsrc=duration=2:size=320x240:rate=15 -threads 2 -c:v mpeg4 -flags bitexact -fflags bitexact -f avi - | sha256sum ;;
  sox) sox -R -n -r 44100 -b 16 out.wav synth 20 sine 440 && sox -R out.wav -r 8000 small.wav && sha256sum out.wav small.wav ;;
  pigz) pigz -p 2 -n -c data | gunzip | sha256sum; pigz -p 2 -9 -n -c data | sha256sum ;;
  zstd) zstd -q -T2 -12 -c data | zstd -dc | sha256sum; zstd -q -5 -c data | sha256sum ;;
  bzip2) bzip2 -c data | sha256sum ;;
esac
