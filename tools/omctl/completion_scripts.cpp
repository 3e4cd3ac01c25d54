// SPDX-License-Identifier: Apache-2.0
// The completion scripts. Both shells share one function, written in what is common to both: given a command's words
// ("omctl lab exec") it sets what can follow them. The walk along the line and the offering are each shell's own.
//
//   subcommands=('up:start the nodes' ...)   flags=('--dir=DIR:the directory' '--json:print JSON' ...)
//   arguments=('NODE' ...)                   carried=1: then comes somebody else's command
//
// A flag's or argument's kind says what its values are: NODE, WHERE, PID, DIR, FILE, or a choice, a|b|c; of other
// kinds nothing is known. The names avoid those that zsh has taken (path, commands, options).
#include <fmt/format.h>

#include "tools/omctl/completion.h"

namespace omig {

namespace {

using Json = nlohmann::json;

std::string quoted(const std::string& text) {
  std::string out = "'";
  for (const char c : text) out += c == '\'' ? "'\\''" : std::string(1, c);
  return out + "'";
}

// "{a,b}" is how CLI11 describes a choice.
std::string kind_of(const Json& option, const std::string& name) {
  std::string check = option.value("check", "");
  if (check.size() < 2 || check.front() != '{' || check.back() != '}') return name;
  check = check.substr(1, check.size() - 2);
  for (char& c : check)
    if (c == ',') c = '|';
  return check;
}

std::string list(const std::string& name, const std::vector<std::string>& words) {
  std::string out = "      " + name + "=(";
  for (const std::string& word : words) out += "\n        " + quoted(word);
  return words.empty() ? "" : out + ")\n";
}

// What help can show.
std::string pages(const Json& tree) {
  std::string all = "homed|omig";
  for (const Json& one : tree.value("commands", Json::array())) all += "|" + one.value("name", "").substr(6);
  for (const Json& one : tree.value("other_names", Json::array())) all += "|" + one.value("name", "");
  return all;
}

std::string case_of(const Json& command, const std::string& pages) {
  std::vector<std::string> subcommands, flags, arguments;
  const std::string path = command.value("name", "");
  for (const Json& one : command.value("commands", Json::array())) {
    const std::string name = one.value("name", "");
    subcommands.push_back(name.substr(name.rfind(' ') + 1) + ":" + one.value("summary", ""));
  }
  for (const Json& one : command.value("options", Json::array())) {
    const std::string kind = one.contains("value") ? "=" + kind_of(one, one["value"]) : "";
    for (const Json& name : one["names"])
      flags.push_back(name.get<std::string>() + kind + ":" + one.value("summary", ""));
  }
  if (path == "omctl") flags = {"--help:print a summary and exit", "--version:print the version and exit"};
  // Where a command follows, one that may be left out would stand in its way.
  for (const Json& one : command.value("arguments", Json::array()))
    if (one.value("required", false) || !command.value("command", false))
      arguments.push_back(kind_of(one, one["names"][0]));
  if (path == "omctl help") arguments = {pages};
  std::string text = "    " + quoted(path) + ")\n" + list("subcommands", subcommands) + list("flags", flags) +
                     list("arguments", arguments) + (command.value("command", false) ? "      carried=1\n" : "") +
                     "      ;;\n";
  for (const Json& one : command.value("commands", Json::array())) text += case_of(one, pages);
  return text;
}

std::string table(const Json& tree) {
  std::string text =
      "# What can follow the words $1.\n_omctl_about() {\n  subcommands=() flags=() arguments=() carried=\n"
      "  case $1 in\n" +
      case_of(tree, pages(tree));
  for (const Json& name : tree.value("other_names", Json::array())) text += case_of(name, "");
  return text + "  esac\n}\n";
}

std::string names(const Json& tree) {
  std::string text = "omctl";
  for (const Json& name : tree.value("other_names", Json::array())) text += " " + name.value("name", "");
  return text;
}

constexpr const char* kBash = R"shell(
# The kind of value that the option $1 takes; empty: none.
_omctl_kind() {
  local flag
  for flag in "${flags[@]}"; do
    [[ ${flag%%[:=]*} == "$1" && $flag == "$1"=* ]] || continue
    flag=${flag#*=}
    printf %s "${flag%%:*}"
    return
  done
}

# Somebody else's command line begins at word $1.
_omctl_carried() {
  local IFS=$'\n'
  if declare -F _command_offset >/dev/null; then
    IFS=$' \t\n' _command_offset "$1"
  elif ((COMP_CWORD == $1)); then
    COMPREPLY=($(compgen -c -- "$cur"))
  else
    COMPREPLY=($(compgen -f -- "$cur"))
  fi
}

# $1: nodes, processes or lab-nodes, as omctl tells them.
_omctl_ask() { "$program" completion "$1" 2>/dev/null | cut -f1; }

_omctl_values() {
  local IFS=$'\n' nodes=nodes
  [[ $line == 'omctl lab'* ]] && nodes=lab-nodes
  case $1 in
    NODE) COMPREPLY=($(compgen -W "$(_omctl_ask $nodes)" -- "$cur")) ;;
    WHERE) COMPREPLY=($(compgen -W $'home\nbalance\n'"$(_omctl_ask nodes)" -- "$cur")) ;;
    PID) COMPREPLY=($(compgen -W "$(_omctl_ask processes)" -- "$cur")) ;;
    DIR) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -d -- "$cur")) ;;
    FILE) compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- "$cur")) ;;
    *\|*) COMPREPLY=($(compgen -W "${1//|/$'\n'}" -- "$cur")) ;;
  esac
}

_omctl() {
  local IFS=$' \t\n' cur=${COMP_WORDS[COMP_CWORD]} line=${COMP_WORDS[0]##*/} program=omctl kind= word i count=0
  local subcommands flags arguments carried
  COMPREPLY=()
  [[ $line != omctl ]] || program=${COMP_WORDS[0]/#\~/$HOME}
  _omctl_about "$line"
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=${COMP_WORDS[i]}
    [[ $word != = ]] || continue  # readline makes three words of --node=x
    if [[ -n $kind ]]; then
      kind=
    elif [[ $word == -- && -n $carried ]]; then
      _omctl_carried $((i + 1))
      return
    elif [[ $word == -?* ]]; then
      kind=$(_omctl_kind "$word")
    elif ((${#subcommands[@]})); then
      line+=" $word"
      _omctl_about "$line"
    elif [[ -n $carried ]] && ((count >= ${#arguments[@]})); then
      _omctl_carried $i
      return
    else
      ((++count))
    fi
  done
  [[ $cur != = ]] || cur=
  if [[ -n $kind ]]; then
    _omctl_values "$kind"
  elif [[ $cur == -* ]]; then
    COMPREPLY=($(compgen -W "$(printf '%s\n' "${flags[@]%%[:=]*}")" -- "$cur"))
  elif ((${#subcommands[@]})); then
    COMPREPLY=($(compgen -W "$(printf '%s\n' "${subcommands[@]%%:*}")" -- "$cur"))
  elif ((count < ${#arguments[@]})); then
    _omctl_values "${arguments[count]}"
  elif [[ -n $carried ]]; then
    _omctl_carried $COMP_CWORD
  fi
}

complete -F _omctl )shell";

constexpr const char* kZsh = R"shell(
# Sets kind to the kind of value that the option $1 takes; empty: none.
_omctl_kind() {
  local flag
  kind=
  for flag in $flags; do
    [[ $flag == $1=* ]] || continue
    kind=${${flag#*=}%%:*}
    return
  done
}

# Somebody else's command line begins at word $1.
_omctl_carried() {
  words=("${(@)words[$1,-1]}")
  (( CURRENT -= $1 - 1 ))
  _normal
}

# Offers what omctl tells of $1: nodes, processes, lab-nodes; $2 and so on as well.
_omctl_ask() {
  local -a choices
  choices=(${(f)"$($program completion $1 2>/dev/null)"})
  choices=(${choices//:/\\:})
  choices=(${choices//$'\t'/:} ${@:2})
  _describe ${1%s} choices
}

_omctl_values() {
  local nodes=nodes
  [[ $line == 'omctl lab'* ]] && nodes=lab-nodes
  case $1 in
    NODE) _omctl_ask $nodes ;;
    WHERE) _omctl_ask nodes 'home:where it was started' 'balance:let the policy choose' ;;
    PID) _omctl_ask processes ;;
    DIR) _files -/ ;;
    FILE) _files ;;
    *\|*) compadd -- ${(s:|:)1} ;;
  esac
}

_omctl() {
  local line=${words[1]:t} program=omctl kind word carried
  local -i i count=0
  local -a subcommands flags arguments offered
  [[ $line != omctl ]] || program=${(Q)words[1]/#\~/$HOME}
  _omctl_about $line
  for ((i = 2; i < CURRENT; i++)); do
    word=$words[i]
    if [[ -n $kind ]]; then
      kind=
    elif [[ $word == -- && -n $carried ]]; then
      _omctl_carried $((i + 1))
      return
    elif [[ $word == -?* ]]; then
      _omctl_kind $word
    elif (($#subcommands)); then
      line+=" $word"
      _omctl_about $line
    elif [[ -n $carried ]] && ((count >= $#arguments)); then
      _omctl_carried $i
      return
    else
      ((++count))
    fi
  done
  if [[ -z $kind && $PREFIX == --*=* ]]; then
    _omctl_kind ${PREFIX%%=*}
    compset -P '*='
  fi
  if [[ -n $kind ]]; then
    _omctl_values $kind
  elif [[ $PREFIX == -* ]]; then
    for word in $flags; do
      offered+=(${word%%[:=]*}:${word#*:})
    done
    _describe -o option offered
  elif (($#subcommands)); then
    _describe command subcommands
  elif ((count < $#arguments)); then
    _omctl_values $arguments[count+1]
  elif [[ -n $carried ]]; then
    _omctl_carried $CURRENT
  fi
}

# Sourced: it is announced. Found by its name in fpath: it is asked.
if [[ $funcstack[1] == _omctl ]]; then
  _omctl "$@"
else
  compdef _omctl )shell";

}  // namespace

std::string bash_completion(const Json& tree) {
  return "# Completion of omctl for bash: omctl completion bash\n\n" + table(tree) + kBash + names(tree) + "\n";
}

std::string zsh_completion(const Json& tree) {
  return "#compdef " + names(tree) + "\n# Completion of omctl for zsh: omctl completion zsh\n\n" + table(tree) + kZsh +
         names(tree) + "\nfi\n";
}

}  // namespace omig
