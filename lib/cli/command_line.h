// SPDX-License-Identifier: Apache-2.0
// How all of omig's programs read their command lines: one way to refuse (a line that names cause, object and next
// step, exit status 2), one way to carry another command, and one description from which help, man pages and
// completions are made. So an option is written down once, where it is read.
//
// A command is a function: words in, exit status out. Its CLI::App lives in it, and so nobody can look at it from
// outside; asked with the single word --describe, `parse` prints what there is as JSON instead (or hands it to whoever
// called `description_of`):
//
//   {"name": "omctl log", "summary": "...", "example": "...", "command": true,      command: another one's line follows
//    "options": [{"names": ["-n"], "value": "N", "check": "UINT in [0 - 5]", "summary": "...", "required": true,
//    "many": true}], "arguments": [the same; names has one word], "commands": [the same as the whole, e.g. omctl lab
//    up]}
//
// What is false or empty is left out. `value` names what an option takes; NODE, WHERE, PID, DIR and FILE are completed.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

namespace omig::cli {

inline constexpr int kUsageError = 2;

using Words = std::vector<std::string>;  // a command line, in order, without the program's and the command's names
using Main = int (*)(const Words&);

// Reads `words` into what the app's options are bound to. A status: the program ends with it (help was asked for, or
// the one line about the mistake is said). Nothing: go on.
std::optional<int> parse(CLI::App& app, const Words& words);

// The last lines of --help. Every command has them (tests/manual/commands_test.py).
void example(CLI::App& app, const std::string& lines);

// --json, as all commands have it that print what scripts may want.
void json_flag(CLI::App& app, bool& json);

// A check that says what is needed: "needs a whole number from 1 to 200, not 0".
CLI::Validator whole_number(long long least, long long most);

// For a command whose line ends in another command: everything from the first word behind `before` arguments on (or
// behind "--") is that command's own, options included. Adds the argument COMMAND.
void carries_command(CLI::App& app);
// Cuts the carried command off `words` and leaves there what `parse` can read. app: that which carries; before: how
// many arguments of its own come first.
Words cut_command(const CLI::App& app, Words& words, size_t before = 0);

// What `main` would read.
nlohmann::json description_of(Main main);

}  // namespace omig::cli
