#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes one man page (mdoc) on stdout: what a program says of its options, and prose.

    make_page.py NAME.SECTION PROSE DESCRIPTION...

DESCRIPTION: what `omctl --describe` and `homed --describe` print (lib/cli/command_line.h). NAME: omctl, omctl-lab,
mosmon, homed; or a page that describes no command (omig), whose prose has to bring NAME along. PROSE: mdoc with .Sh
sections; NAME, SYNOPSIS, OPTIONS and COMMANDS are made here, and sections that are the same everywhere are added if
the prose has none of its own. Every command needs a DESCRIPTION and EXAMPLES.
"""
import json
import re
import sys
import textwrap

DATE = "November 27, 2026"
ORDER = ["NAME", "SYNOPSIS", "DESCRIPTION", "COMMANDS", "OPTIONS", "KEYS", "ENVIRONMENT", "FILES", "EXIT STATUS",
         "EXAMPLES", "DIAGNOSTICS", "SEE ALSO", "HISTORY", "CAVEATS"]
COMMON = {
    "ENVIRONMENT": """.Bl -tag -width Ds
.It Ev OMIG_DIR
The state directory of the node that is spoken to.
The default is
.Pa /run/omig
for root, else
.Pa $XDG_RUNTIME_DIR/omig
or
.Pa /tmp/omig-UID .
.El""",
    "FILES": """.Bl -tag -width Ds
.It Pa $OMIG_DIR/homed.sock
The socket of the node's
.Xr homed 8 .
.El""",
    "EXIT STATUS": """.Bl -tag -width Ds
.It 0
It is done.
.It 1
It is not done; one line on standard error says why.
.It 2
The command line is wrong.
.El""",
}


def plain(text):
    """Running text: wrapped, a new line after each sentence, nothing in it that troff takes for its own."""
    text = re.sub(r"\s+", " ", text).strip().replace("\\", "\\e")
    lines = []
    for sentence in re.split(r"(?<=[.!?]) (?=[A-Z])", text):
        lines += textwrap.wrap(sentence, 78, break_long_words=False, break_on_hyphens=False)
    return "\n".join("\\&" + line if line[0] in ".'" else line for line in lines)


def sentence(text):
    text = plain(text[:1].upper() + text[1:])
    return text if text.endswith((".", "!", "?")) else text + "."


def word(text):
    """One argument of a macro."""
    text = text.replace("\\", "\\e").replace('"', "\\(dq")
    return f'"{text}"' if " " in text else text


def flags(option):
    value = f" Ar {word(option['value'])}" if "value" in option else ""
    return " , ".join(f"Fl {name[1:]}{value}" for name in option["names"])


def synopsis(command):
    """As short as it can be said: options that only help are left out, and so are second names."""
    lines = []
    for option in command.get("options", []):
        if "--help" in option["names"]:
            continue
        value = f" Ar {word(option['value'])}" if "value" in option else ""
        text = f"Fl {option['names'][0][1:]}{value}"
        lines.append("." + text if option.get("required") else ".Op " + text)
    for argument in command.get("arguments", []):
        text = "Ar " + word(argument["names"][0]) + (" ..." if argument.get("many") else "")
        lines.append("." + text if argument.get("required") else ".Op " + text)
    if command.get("command"):
        lines.append(".Op Fl -\n.Ar COMMAND ...")
    return lines


def head(command):
    """`omctl lab up` as the program's name and its fixed words."""
    first, *rest = command["name"].split()
    return [f".Nm {first}"] + ([".Cm " + " ".join(rest)] if rest else [])


def options(command, without=()):
    """Its arguments and options as a list, but for those that are told elsewhere; nothing if there are no others."""
    lines = []
    for argument in command.get("arguments", []):
        lines += [".It Ar " + word(argument["names"][0]), sentence(argument["summary"])]
    for option in command.get("options", []):
        if option not in without:
            summary = option["summary"] if "--help" not in option["names"] else "print a summary and exit"
            lines += [".It " + flags(option), sentence(summary)]
    return [".Bl -tag -width Ds", *lines, ".El"] if lines else []


def generated(command):
    """The sections that follow from the description."""
    name = command["name"].replace(" ", "-")
    made = {"NAME": [f".Nm {name}", ".Nd " + plain(command["summary"]).replace("\n", " ")]}
    inner = command.get("commands", [])
    if command["name"] == "omctl":
        made["SYNOPSIS"] = [".Nm", ".Ar COMMAND", ".Op Ar OPTIONS", ".Nm", ".Cm help", ".Op Ar COMMAND",
                            ".Nm", ".Fl -version"]
        made["COMMANDS"] = [".Bl -tag -width Ds"]
        for one in inner:
            made["COMMANDS"] += [".It Xr " + one["name"].replace(" ", "-") + " 1", sentence(one["summary"])]
        made["COMMANDS"] += [".El", "Other names of the program, by links:", ".Bl -tag -width Ds"]
        for one in command.get("other_names", []):
            made["COMMANDS"] += [f".It Xr {one['name']} 1", sentence(one["summary"])]
        made["COMMANDS"].append(".El")
        return made
    if not inner:
        made["SYNOPSIS"] = head(command) + synopsis(command)
        made["OPTIONS"] = options(command)
        return made
    common = [option for option in inner[0]["options"] if all(option in one["options"] for one in inner)]
    alike = all(synopsis(one) == synopsis(inner[0]) for one in inner)
    made["SYNOPSIS"], made["COMMANDS"] = [], []
    if alike:
        choice = " | ".join(one["name"].split()[-1] for one in inner)
        made["SYNOPSIS"] = head(command) + [".Brq Cm " + choice] + synopsis(inner[0])
    for one in inner:
        made["SYNOPSIS"] += [] if alike else head(one) + synopsis(one)
        made["COMMANDS"] += [f".Ss {one['name']}", sentence(one["summary"])] + options(one, common)
    made["OPTIONS"] = ["Of all commands:"] + options({"options": common})
    return made


def find(name, descriptions):
    for top in descriptions:
        for one in [top, *top.get("commands", []), *top.get("other_names", [])]:
            if one["name"].replace(" ", "-") == name:
                return one
    return None


def sections_of(prose):
    sections = {}
    for part in re.split(r"^\.Sh ", prose, flags=re.M)[1:]:
        title, _, body = part.partition("\n")
        sections[title.strip()] = body.rstrip("\n")
    return sections


def main():
    name, section = sys.argv[1].rsplit(".", 1)
    with open(sys.argv[2], encoding="utf-8") as file:
        prose = sections_of(file.read())
    descriptions = []
    for path in sys.argv[3:]:
        with open(path, encoding="utf-8") as file:
            descriptions.append(json.load(file))
    command = find(name, descriptions)
    if command is not None:
        for needed in ("DESCRIPTION", "EXAMPLES"):
            if needed not in prose:
                sys.exit(f"{sys.argv[2]}: no .Sh {needed}")
        made = {title: "\n".join(lines) for title, lines in generated(command).items()}
        prose = {**COMMON, **prose, **made}
        if name != "omctl":
            prose.setdefault("SEE ALSO", ".Xr omctl 1 ,\n.Xr omig 7 ,\n.Xr homed 8")
    for title in prose:
        if title not in ORDER:
            sys.exit(f"{sys.argv[2]}: section {title} has no place in the order of sections ({sys.argv[0]})")
    print('.\\" SPDX-License-Identifier: Apache-2.0')
    print('.\\" Made by docs/man/make_page.py: change the prose beside it, or the program\'s options.')
    print(f".Dd {DATE}\n.Dt {name.upper()} {section}\n.Os")
    for title in ORDER:
        if title in prose:
            print(f".Sh {title}\n{prose[title]}")


if __name__ == "__main__":
    main()
