#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# render.sh povray|john|qemu: computing programs of some size; what must be the same in every run is printed.
set -euo pipefail
case $1 in
  povray)
    echo 'camera{location<0,2,-5>look_at 0} light_source{<5,5,-5>rgb 1} sphere{0,1 pigment{rgb<1,.5,0>}finish{reflection .3}} plane{y,-1 pigment{checker rgb 1 rgb 0}}' > scene.pov
    povray -D +W240 +H180 +A +WT2 +Iscene.pov +Oscene.ppm +FP > /dev/null 2>&1 && sha256sum < scene.ppm ;;
  john) mkdir home; HOME=$PWD/home; export HOME; printf 'a:$1$abcdefgh$irWbblnpmw.5z7wgBnprh0\n' > hashes; john --format=md5crypt --wordlist=<(seq 1 3000; echo secret) hashes > /dev/null 2>&1 || true; john --show hashes | tail -1 ;;
  qemu) gcc -static -O1 -pthread -o program "$2" && qemu-x86_64-static ./program ;;
esac
