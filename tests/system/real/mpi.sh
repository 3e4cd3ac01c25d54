#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Ranks of OpenMPI on one node: they share memory.
set -euo pipefail
cat > ranks.c <<'C'
#include <mpi.h>
#include <stdio.h>
int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  int rank, n; MPI_Comm_rank(MPI_COMM_WORLD, &rank); MPI_Comm_size(MPI_COMM_WORLD, &n);
  double sum = 0, all = 0;
  for (int round = 0; round < 200; round++) {
    for (int i = 1; i < 20000; i++) sum += 1.0 / (i + rank + round);
    MPI_Allreduce(&sum, &all, 1, MPI_DOUBLE, MPI_SUM, MPI_COMM_WORLD);
  }
  if (rank == 0) printf("%d ranks: %.9f\n", n, all);
  MPI_Finalize();
}
C
mpicc -O1 -o ranks ranks.c
mpirun --allow-run-as-root --oversubscribe -n 3 ./ranks 2>/dev/null
