# SPDX-License-Identifier: Apache-2.0
# A small project, generated, compiled and linked by make -j4, and run.
set -e
mkdir -p project && cd project
for i in $(seq "${FILES:-20}"); do
  cat > "unit$i.c" <<END
#include <stdio.h>
#include <string.h>
#include <math.h>
#include "units.h"
struct pair$i { double a, b; char name[40]; };
double unit$i(double x) {
  struct pair$i p = {x * $i, sin(x + $i), ""};
  snprintf(p.name, sizeof p.name, "unit %d", $i);
  for (int k = 0; k < 50; k++) p.a = fma(p.a, 0.5, p.b) + (double)strlen(p.name);
  return p.a;
}
END
  echo "double unit$i(double);" >> units.new
done
mv units.new units.h
{ echo '#include <stdio.h>'; echo '#include "units.h"'; echo 'int main(void) {'
  for i in $(seq "${FILES:-20}"); do echo "  printf(\"%.12g\\n\", unit$i($i.5));"; done
  echo '  return 0;'; echo '}'; } > main.c
cat > Makefile <<'END'
objects := $(patsubst %.c,%.o,$(wildcard *.c))
program: $(objects)
	gcc -o $@ $^ -lm
%.o: %.c units.h
	gcc -O2 -Wall -c -o $@ $<
END
make -s -j4
./program
for o in *.o; do cksum < "$o"; done
cksum < program
cd .. && rm -r project
