#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What all commands have in common: help with an example, errors in one line, exit statuses, JSON."""
import json
import os
import sys
import tempfile

import harness
from harness import OMCTL, leaves, omctl, tree

# Nothing in their output that a script would pick apart: they do something, or print text for people and shells.
NO_JSON = {"omctl run", "omctl help", "omctl completion", "omctl lab up", "omctl lab exec", "omctl lab restart",
           "omctl lab down"}
# They speak to no homed, or to the lab's.
NO_HOMED = {"omctl run", "omctl help", "omctl completion", "omctl doctor"}
VALUES = {"PID": str(os.getpid()), "WHERE": "home", "NODE": "node1"}


def words(command):
    return command["name"].split()[1:]


def all_leaves():
    found = leaves(tree())
    assert len(found) >= 20, found
    return found


def is_sim(command):
    return command["name"].startswith("omctl sim ")


def one_line(outcome, name):
    return outcome.stderr.startswith(name.split()[0]) and outcome.stderr.count("\n") == 1 and outcome.stderr.endswith("\n")


def test_help_has_an_example():
    for command in all_leaves() + tree()["commands"]:
        shown = omctl(*words(command), "--help")
        assert shown.returncode == 0 and not shown.stderr, (command["name"], shown)
        assert "Example:\n  " in shown.stdout, (command["name"], shown.stdout)


def test_other_names_have_help_with_an_example():
    for name in tree()["other_names"]:
        with tempfile.TemporaryDirectory() as place:
            os.symlink(os.path.realpath(harness.OMCTL), f"{place}/{name['name']}")
            shown = harness.run(f"{place}/{name['name']}", "--help")
            assert shown.returncode == 0 and "Example:\n  " in shown.stdout, (name["name"], shown)


def test_every_option_says_what_it_does():
    for command in all_leaves():
        assert command["summary"] and not command["summary"][0].isupper(), command
        for option in command.get("options", []) + command.get("arguments", []):
            assert option["summary"], (command["name"], option)


def test_misuse_is_one_line_and_2():
    for command in all_leaves():
        refused = omctl(*words(command), "--unheard-of")
        assert refused.returncode == 2 and not refused.stdout and one_line(refused, "omctl"), (command["name"], refused)
        assert f"({command['name']} --help)" in refused.stderr, refused
        if any(argument.get("required") for argument in command.get("arguments", [])) or command.get("command"):
            refused = omctl(*words(command))
            assert refused.returncode == 2 and one_line(refused, "omctl"), (command["name"], refused)
    for wrong in ([], ["unheard-of"], ["lab"], ["lab", "unheard-of"], ["sim"]):
        refused = omctl(*wrong)
        assert refused.returncode == 2 and one_line(refused, "omctl") and "--help)" in refused.stderr, (wrong, refused)


def test_without_homed_one_line_and_1():
    with tempfile.TemporaryDirectory() as empty:
        environment = {**os.environ, "OMIG_DIR": empty + "/none"}
        asked = 0
        for command in all_leaves():
            if command["name"] in NO_HOMED or is_sim(command) or command["name"] in ("omctl lab up", "omctl lab down"):
                continue
            arguments = [VALUES.get(a["names"][0], "1") for a in command.get("arguments", []) if a.get("required")]
            carried = ["--", "true"] if command.get("command") else []
            refused = omctl(*words(command), *arguments, *carried, env=environment)
            assert refused.returncode == 1 and one_line(refused, "omctl") and not refused.stdout, (command["name"], refused)
            asked += 1
        assert asked >= 9, asked


def test_commands_that_tell_something_tell_it_in_json():
    for command in all_leaves():
        flags = {name for option in command["options"] for name in option["names"]}
        if command["name"] not in NO_JSON and not is_sim(command):
            assert "--json" in flags, command["name"]


def test_json_is_json():
    """Of those that need nothing but a homed: a line, or several, each an object."""
    node = {"id": 1, "name": "node1", "state": "up", "cpus": 1.0, "speed": 1.0, "self": True}
    move = {"seq": 1, "at_ms": 1000, "pid": 5, "home": "node1", "command": "x", "from": "node1", "to": "node2", "ok": True}
    answers = {"nodes": {"ok": True, "node": "node1", "nodes": [node], "problems": []},
               "ps": {"ok": True, "node": "node1", "processes": [], "guests": []},
               "ping": {"ok": True, "node": "node1"},
               "where": {"ok": False, "reason": "no such process"}, "why": {"ok": False, "reason": "no such process"},
               "migrate": {"ok": False, "reason": "no such process"},
               "log": {"ok": True, "moves": [move], "last": 1}}
    with tempfile.TemporaryDirectory() as place:
        harness.Homed(place, answers)
        environment = {**os.environ, "OMIG_DIR": place}
        for line, status in ((["nodes"], 0), (["ps"], 0), (["top"], 0), (["log"], 0), (["where", "5"], 1), (["why", "5"], 1),
                             (["migrate", "5", "home"], 1)):
            told = omctl(*line, "--json", env=environment)
            assert told.returncode == status, (line, told)
            for text in told.stdout.splitlines():
                assert isinstance(json.loads(text), dict), (line, text)
            assert told.stdout, line
            if status == 1:
                assert told.stderr == "omctl: no such process\n" and json.loads(told.stdout)["ok"] is False, told


def test_run_ends_as_shells_do():
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "OMIG_DIR": place}
        with open(place + "/text", "w", encoding="utf-8") as file:
            file.write("no program\n")
        for line, status in ((["sh", "-c", "exit 3"], 3), ([place + "/none"], 127), ([place + "/text"], 126), ([place], 126)):
            ended = omctl("run", "--", *line, env=environment)
            assert ended.returncode == status, (line, ended)
            assert status == 3 or one_line(ended, "omctl"), ended


def by_name(name, *line, **options):
    return harness.run(os.path.join(os.path.dirname(OMCTL), name), *line, **options)


STARTERS = [["mosrun"], ["mosrun", "3", "-L", "-c"], ["mosrun", "-j1,4-6", "-F"], ["mosrun", "-h", "-i", "-n"], ["cpujob"],
            ["iojob"], ["nomig"], ["runhome"], ["nunhome"], ["runon", "3"], ["omrunon", "node3"], ["fastdecay"],
            ["slowdecay"], ["nodecay"]]


def test_without_a_cluster_commands_simply_run():
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "OMIG_DIR": place}
        for starter in STARTERS:
            ended = by_name(*starter, "sh", "-c", "echo $0 $1; exit 3", "a", "-b", env=environment)
            assert (ended.returncode, ended.stdout, ended.stderr) == (3, "a -b\n", ""), (starter, ended)
        for line in (["-c", "echo $0 $1; exit 3", "a", "-b"],):
            ended = by_name("omsh", "3", *line, env=environment)
            assert (ended.returncode, ended.stdout, ended.stderr) == (3, "a -b\n", ""), (line, ended)
        for line, said in ((["mosrun", "-L", "-c", "-f"], "lock,kind=cpu,decay=fast"), (["mosrun", "3", "-L"], "lock,node=3"),
                           (["mosrun", "-k"], "None"), (["mosrun", "-h"], "lock"), (["mosrun", "-l", "-i"], "free,kind=io"),
                           (["mosrun", "-h", "-l"], "free"), (["nomig"], "lock"), (["runhome"], "lock"), (["nunhome"], "free"),
                           (["runon", "node3"], "lock,node=node3"), (["omrunon", "3"], "free"), (["nodecay"], "free,decay=none"),
                           (["slowdecay"], "free"), (["iojob"], "free,kind=io"), (["nomig", OMCTL, "run", "--kind", "io", "--"],
                                                                                "lock,kind=io"),
                           (["runon", "3", OMCTL, "run", "--unlock", "--decay", "fast", "--"], "free,decay=fast"),
                           (["omctl", "run", "--lock", "-n", "4"], "lock,node=4"), (["omctl", "run", "--home"], "lock")):
            told = by_name(*line, "python3", "-c", "import os; print(os.environ.get('OMIG_JOB'))", env=environment)
            assert told.stdout == said + "\n" and not told.stderr, (line, told)


def test_a_node_that_is_not_there_is_an_error_unless_it_does_not_matter():
    refusal = {"ok": False, "reason": "no node 9 known here"}
    node = {"id": 1, "name": "node1", "state": "up", "self": True}
    with tempfile.TemporaryDirectory() as place:
        harness.Homed(place, {"place": refusal, "nodes": {"ok": True, "nodes": [node], "problems": []}})
        environment = {**os.environ, "OMIG_DIR": place}
        for line, status in ((["mosrun", "9"], 125), (["mosrun", "-j9"], 125), (["mosrun", "--node", "x"], 125), (["runon", "9"], 125),
                             (["mosrun", "9", "-F"], 3), (["mosrun", "-F", "-j9"], 3), (["runon", "-F", "9"], 3),
                             (["omrunon", "9"], 3), (["omctl", "run", "-n", "9"], 3), (["omctl", "run", "--on", "9"], 3)):
            ended = by_name(*line, "sh", "-c", "exit 3", env=environment)
            assert ended.returncode == status and one_line(ended, "omctl") and "9" in ended.stderr, (line, ended)
        ended = by_name("mosrun", "-h", "--", "sh", "-c", "exit 3", env=environment)
        assert ended.returncode == 3 and not ended.stderr, ended


def test_starters_misuse_is_one_line_and_2():
    for line in (["mosrun"], ["mosrun", "3"], ["mosrun", "-l", "-L", "true"], ["mosrun", "-c", "-i", "true"],
                 ["mosrun", "-f", "-n", "true"], ["mosrun", "-h", "3", "true"], ["mosrun", "-j", "4-2", "true"], ["mosrun", "-j", "x", "true"],
                 ["runon", "3"], ["runon"], ["omsh", "3"], ["cpujob"], ["cpujob", "-x", "true"], ["omctl", "run", "--kind", "gpu", "true"],
                 ["omctl", "run", "--lock", "--unlock", "true"], ["omctl", "run", "--home", "-n", "2", "true"]):
        refused = by_name(*line)
        assert refused.returncode == 2 and one_line(refused, line[0]) and "--help)" in refused.stderr, (line, refused)


def test_homeds_misuse_is_one_line_and_2():
    homed = os.path.join(os.path.dirname(harness.OMCTL), "../homed/homed")
    for line in (["--unheard-of"], [], ["--id", "0"], ["--id", "1", "--listen", "nowhere"], ["--id", "1", "--peer", "x:y"],
                 ["--id", "1", "--policy", "none"], ["--id", "1", "--name", "x" * 32]):
        refused = harness.run(homed, *line)
        assert refused.returncode == 2 and one_line(refused, "homed") and "(homed --help)" in refused.stderr, (line, refused)


def test_a_homed_that_hangs_is_told_from_one_that_ended():
    with tempfile.TemporaryDirectory() as place:
        environment = {**os.environ, "OMIG_DIR": place}
        with harness.socket.socket(harness.socket.AF_UNIX) as listener:
            listener.bind(place + "/homed.sock")
            listener.listen(8)
            told = omctl("ps", env=environment)
            assert told.returncode == 1 and "it hangs, or is stopped" in told.stderr and one_line(told, "omctl"), told
            ended = harness.threading.Thread(target=lambda: [listener.accept()[0].close() for _ in range(2)])
            ended.start()  # the one that has given up, and the next
            told = omctl("ps", env=environment)
            ended.join()
            assert told.returncode == 1 and "ended the conversation" in told.stderr and one_line(told, "omctl"), told


def test_version():
    told = omctl("--version", check=True).stdout
    assert told.startswith("omctl 0.") and told.count("\n") == 1, told


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
