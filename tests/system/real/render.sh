#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# render.sh qemu FILE.c: a program under emulation.
set -euo pipefail
case $1 in
  qemu) gcc -static -O1 -pthread -o program "$2" && qemu-x86_64-static ./program ;;
esac
