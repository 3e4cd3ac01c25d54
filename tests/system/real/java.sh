#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# java.sh [OPTION]: threads, garbage, files and a child process in a Java virtual machine.
set -euo pipefail
cat > Work.java <<'J'
import java.nio.file.*; import java.util.*; import java.util.stream.*;
public class Work {
  static long mixed(long x) { for (int i = 0; i < 300000; i++) x = (x ^ (x >>> 29)) * 0xbf58476d1ce4e5b9L + 1; return x; }
  public static void main(String[] a) throws Exception {
    for (int r = 0; r < 12; r++) {
      final int round = r;
      System.out.println(IntStream.range(0, 8).parallel().mapToObj(i -> Long.toHexString(mixed(round * 10 + i))).collect(Collectors.joining(" ")));
      List<byte[]> garbage = new ArrayList<>();
      for (int i = 0; i < 200; i++) garbage.add(new byte[50000]);
      Path file = Paths.get("java-output");
      Files.writeString(file, "line " + r + " " + garbage.size() + "\n");
      System.out.print(Files.readString(file));
      if (r % 4 == 0) System.out.print(new String(new ProcessBuilder("/bin/echo", "child", "" + r).start().getInputStream().readAllBytes()));
      Thread.sleep(30);
    }
  }
}
J
javac -J-XX:-UsePerfData Work.java
java "$@" Work
