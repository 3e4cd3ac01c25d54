% SPDX-License-Identifier: Apache-2.0
% Linear algebra, strings, files and a child process in Octave.
rand ("twister", 42);
for round = 1:15
  a = rand (200);
  [q, r] = qr (a);
  assert (norm (q * r - a) < 1e-9);
  e = sort (abs (eig (a)))(end);
  text = "";
  for i = 1:300
    text = [text sprintf("%d:%g,", i, mod (i * 7919, 104729) / round)];
  endfor
  f = fopen ("table", "w");
  fprintf (f, "%s\n", text);
  fclose (f);
  [status, out] = system ("wc -c < table");
  printf ("%d %.9f %d %s", round, e, status, out);
  fflush (stdout);
endfor
delete ("table");
