#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# render.sh qemu FILE.c|povray: a program under emulation; a picture.
set -euo pipefail
case $1 in
  qemu) gcc -static -O1 -pthread -o program "$2" && qemu-x86_64-static ./program ;;
  povray)
    cat > scene.pov <<'P'
camera { location <0,2,-6> look_at <0,1,0> }
light_source { <10,12,-9> color rgb 1 }
plane { y, 0 pigment { checker color rgb <1,1,1> color rgb <0.2,0.2,0.6> } finish { reflection 0.2 } }
#declare R = seed(7);
#declare I = 0;
#while (I < 60)
  sphere { <6*rand(R)-3, 2.5*rand(R), 6*rand(R)-2>, 0.3+0.3*rand(R) pigment { color rgb <rand(R),rand(R),rand(R)> } finish { phong 0.9 reflection 0.3 } }
  #declare I = I + 1;
#end
P
    povray +Iscene.pov +W480 +H360 +A0.1 -J -D +WT2 +FP +Oout.ppm > povray.log 2>&1 && tail -c $((480 * 360 * 3)) out.ppm | sha256sum ;;
esac
