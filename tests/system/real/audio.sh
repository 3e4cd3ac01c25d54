# SPDX-License-Identifier: Apache-2.0
# A minute of generated sound, encoded (and by flac decoded again).
set -e
perl -e 'binmode STDOUT; for my $i (0 .. 44100 * $ARGV[0]) {
  print pack("ss", 9000 * sin($i / 20 + 5 * sin($i / 5000)) + $i * 7919 % 2000, 8000 * sin($i / 33)) }' 30 > sound.raw
cksum < sound.raw
format="--endian=little --sign=signed --channels=2 --bps=16 --sample-rate=44100"
case $1 in
  flac)
    for i in 1 2 3 4; do flac -s -8 -f $format -o sound.flac sound.raw; done
    flac -s -d -f --force-raw-format --endian=little --sign=signed -o back.raw sound.flac
    cmp sound.raw back.raw
    cksum < sound.flac ;;
  oggenc) oggenc -Q -r -q 5 --serial 7 -o sound.ogg sound.raw; cksum < sound.ogg ;;
esac
rm -f sound.* back.raw
