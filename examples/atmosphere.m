% SPDX-License-Identifier: Apache-2.0
%
% The standard atmosphere from 0 to 47 km, computed by ten children: the job with which the openMosix thesis measured
% its cluster. Nothing in here knows of omig, except the question where a child is, which is only shown.
%
%   octave-cli -q --no-history atmosphere.m STEP [DIRECTORY]
%
% Each child computes a tenth of the rows (height in m, temperature in K, pressure in Pa, density in kg/m3), STEP metres
% apart, appends row by row to a growing string (each append copies all of it: half the step costs four times as much),
% writes one file and checks it. The parent waits for all of them, joins their files to DIRECTORY/atmosphere.txt and
% checks that.
% Exit status 0 only if every child ended well and the check holds. atmosphere.cpp writes the very same bytes.

1;  % a script, not a function file

function [T, P, rho] = standard_atmosphere (z)
  R = 287.05;  g = 9.80665;                    % J/(kg K), m/s2
  P11 = 101325 * (216.5 / 288) ^ (g / (R * 0.0065));
  if (z <= 11000)
    T = 288 - 0.0065 * z;
    P = 101325 * (T / 288) ^ (g / (R * 0.0065));
  elseif (z <= 25000)
    T = 216.5;
    P = P11 * exp (-g * (z - 11000) / (R * 216.5));
  else
    P25 = P11 * exp (-g * 14000 / (R * 216.5));
    T = 216.5 + 0.003 * (z - 25000);
    P = P25 * (T / 216.5) ^ (-g / (R * 0.003));
  end
  rho = P / (R * T);
end

function name = slice_file (directory, child)
  name = sprintf ("%s/slice-%02d.txt", directory, child);
end

function compute_slice (directory, child, children, rows, step)
  first = floor (child * rows / children);
  last = floor ((child + 1) * rows / children) - 1;
  text = "";
  for row = first:last
    z = row * step;
    [T, P, rho] = standard_atmosphere (z);
    text = [text, sprintf("%9.3f %8.3f %14.6f %12.9f\n", z, T, P, rho)];
  end
  file = fopen (slice_file (directory, child), "w");
  if (file < 0 || fwrite (file, text) != numel (text) || fclose (file) != 0)
    exit (3);
  end
  problem = check_rows (slice_file (directory, child), first, last, step);
  if (! isempty (problem))
    fprintf (stderr, "atmosphere: child %d: %s\n", child + 1, problem);
    exit (4);
  end
end

% Where the processes are, as omig says it (one answer per pid, one shell for all); all empty without omig.
function places = places_of (pids)
  places = cell (1, numel (pids));
  [status, text] = system (["for pid in", sprintf(" %d", pids), "; do omctl where $pid 2>/dev/null || echo; done"]);
  lines = strsplit (text, "\n");
  for k = 1:min (numel (lines), numel (pids))
    places{k} = strtrim (lines{k});
  end
end

% Waits for the children. Looks every `pace_s` seconds where those that still run are (0: never).
function [places, bad] = wait_for_all (pids, pace_s)
  places = cell (1, numel (pids));
  running = true (1, numel (pids));
  bad = 0;
  next_look = time () + pace_s;
  flags = 0;
  if (pace_s > 0)
    flags = WNOHANG ();
  end
  while (any (running))
    for k = find (running)
      [pid, status] = waitpid (pids(k), flags);
      if (pid == pids(k))
        running(k) = false;
        if (! (WIFEXITED (status) && WEXITSTATUS (status) == 0))
          printf ("child %d (pid %d) ended badly, status %d\n", k, pids(k), status);
          bad++;
        end
      end
    end
    if (any (running) && pace_s > 0)
      if (time () >= next_look)
        seen = places_of (pids(running));
        for k = find (running)
          place = seen{1};
          seen(1) = [];
          if (! isempty (place) && ! any (strcmp (places{k}, place)))
            places{k}{end + 1} = place;
          end
        end
        next_look = time () + pace_s;
      end
      pause (0.1);
    end
  end
end

function bytes = join_slices (directory, children, result)
  out = fopen (result, "w");
  bytes = 0;
  for child = 0:children - 1
    in = fopen (slice_file (directory, child), "r");
    text = fread (in, Inf, "uint8=>char")';
    fclose (in);
    unlink (slice_file (directory, child));
    fwrite (out, text);
    bytes += numel (text);
  end
  fclose (out);
end

% What must be true of these rows, whoever computed them. Empty, or what is wrong. Each child asks it of its own file.
function problem = check_rows (name, first, last, step)
  problem = "";
  table = load (name);
  if (! isequal (size (table), [last - first + 1, 4]))
    problem = sprintf ("%d rows of %d columns instead of %d of 4", size (table, 1), size (table, 2), last - first + 1);
  elseif (max (abs (table(:, 1) - (first:last)' * step)) > 6e-4)
    problem = "a height is missing or out of order";
  elseif (any (diff (table(:, 3)) >= 0))
    problem = "the pressure does not fall with the height";
  elseif (max (abs (table(:, 4) .* table(:, 2) * 287.05 ./ table(:, 3) - 1)) > 1e-5)
    problem = "the density does not follow from pressure and temperature";
  end
end

% Of the whole table, which its children have checked in parts: no row is missing where two parts meet, and what is known
% from the closed formulas is there. All rows are equally long.
function problem = check_result (result, children, rows, step)
  problem = "";
  row_bytes = numel (sprintf ("%9.3f %8.3f %14.6f %12.9f\n", 0, 0, 0, 0));
  file = fopen (result, "r");
  fseek (file, 0, SEEK_END ());
  if (ftell (file) != rows * row_bytes)
    problem = sprintf ("%d bytes instead of %d", ftell (file), rows * row_bytes);
  end
  row_at = @(row) (fseek (file, row * row_bytes, SEEK_SET ()) == 0) * fscanf (file, "%f", [1, 4]);
  known = [0, 101325; 11000, 22611.3; 25000, 2482.5];  % height and pressure
  for k = 1:3
    row = row_at (round (known(k, 1) / step));
    if (isempty (problem) && abs (row(3) / known(k, 2) - 1) > 1e-3 + step * 2e-4)
      problem = sprintf ("wrong pressure at %g m", known(k, 1));
    end
  end
  for first = floor ((1:children - 1) * rows / children)
    pair = [row_at(first); row_at(first - 1)];
    if (isempty (problem) && abs (pair(1, 1) - pair(2, 1) - step) > 1.2e-3)
      problem = sprintf ("rows %d and %d do not meet", first - 1, first);
    end
  end
  fclose (file);
end

words = argv ();
step = 1;
directory = ".";
if (numel (words) >= 1)  step = str2double (words{1});  end
if (numel (words) >= 2)  directory = words{2};  end
if (! (step > 0 && step <= 1000))
  fprintf (stderr, "usage: octave-cli -q --no-history atmosphere.m STEP [DIRECTORY]    (STEP in metres, up to 1000)\n");
  exit (2);
end
pace_s = str2double (getenv ("ATMOSPHERE_LOOK_S"));  % how often to ask where the children are; 0: never
if (isnan (pace_s))  pace_s = 3;  end

children = 10;
rows = floor (47000 / step);
started = time ();
pids = zeros (1, children);
for child = 0:children - 1
  pid = fork ();
  if (pid == 0)
    compute_slice (directory, child, children, rows, step);
    exit (0);
  elseif (pid < 0)
    fprintf (stderr, "atmosphere: cannot fork\n");
    exit (1);
  end
  pids(child + 1) = pid;
end
[places, bad] = wait_for_all (pids, pace_s);
result = [directory, "/atmosphere.txt"];
if (bad > 0)
  exit (1);
end
bytes = join_slices (directory, children, result);
for k = 1:children
  if (! isempty (places{k}))
    printf ("child %2d (pid %d) was seen on: %s\n", k, pids(k), strjoin (places{k}, ", "));
  end
end
problem = check_result (result, children, rows, step);
if (! isempty (problem))
  printf ("%s is wrong: %s\n", result, problem);
  exit (1);
end
printf ("%s: %d rows, %d bytes, checked; %.1f s\n", result, rows, bytes, time () - started);
