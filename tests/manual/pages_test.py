#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every command and every option has its page and its paragraph, and the pages are in order."""
import copy
import glob
import os
import re
import sys
import tempfile

import harness
from harness import PAGES, need, omctl, run, tree


def pages():
    return {os.path.basename(path): path for path in glob.glob(os.path.join(PAGES, "*.[1-8]"))}


def text(path):
    shown = run("mandoc", "-Tascii", path, check=True).stdout
    return re.sub(r".\x08", "", shown)


def tree_of(program):
    with open(os.path.join(PAGES, program + ".json"), encoding="utf-8") as file:
        return harness.json.load(file)


def missing(command, page, shown):
    """What the page of the command does not tell, below it as well."""
    lines = {line.strip() for line in shown.splitlines()}
    gaps = []
    for option in command.get("options", []) + command.get("arguments", []):
        for name in option["names"]:
            if not any(re.match(rf"(.*, )?{re.escape(name)}( |,|$)", line) for line in lines):
                gaps.append(f"{page}: no paragraph on {name}")
    for one in command.get("commands", []):
        if one["name"] not in lines:
            gaps.append(f"{page}: no paragraph on {one['name']}")
        gaps += missing(one, page, shown)
    return gaps


def all_missing(whole):
    have, gaps = pages(), []
    for command in whole["commands"] + whole.get("other_names", []):
        page = command["name"].replace(" ", "-") + ".1"
        if page not in have:
            gaps.append(f"{page}: no such page (docs/man/meson.build, and prose in docs/man)")
        else:
            gaps += missing(command, page, text(have[page]))
    return gaps


def test_every_command_and_option_has_its_paragraph():
    need("mandoc")
    whole = tree()
    assert len(whole["commands"]) >= 13, whole
    gaps = all_missing(whole) + missing(tree_of("homed"), "homed.8", text(pages()["homed.8"]))
    if "omigfs.8" in pages():  # built only where libfuse3 is
        gaps += missing(tree_of("omigfs"), "omigfs.8", text(pages()["omigfs.8"]))
    assert not gaps, "\n".join(gaps)


def test_a_gap_would_be_found():
    need("mandoc")
    whole = copy.deepcopy(tree())
    whole["commands"].append({"name": "omctl unheard-of"})
    whole["commands"][2]["options"].append({"names": ["--unheard-of"]})
    lab = next(c for c in whole["commands"] if c["name"] == "omctl lab")
    lab["commands"].append({"name": "omctl lab unheard-of"})
    lab["commands"][0]["options"].append({"names": ["-u"]})
    assert len(all_missing(whole)) == 4, all_missing(whole)


def test_no_page_describes_what_is_not_there():
    whole = tree()
    known = {c["name"].replace(" ", "-") + ".1" for c in whole["commands"] + whole.get("other_names", [])}
    assert set(pages()) - known - {"omigfs.8"} == {"omctl.1", "homed.8", "omig.7"}, set(pages()) - known


def test_mandoc_has_nothing_to_say():
    need("mandoc")
    said = run("mandoc", "-Tlint", *pages().values()).stdout.splitlines()
    # It looks for other pages where they are installed; the next test looks here.
    said = [line for line in said if "referenced manual not found" not in line and "outdated mandoc.db" not in line]
    assert not said, "\n".join(said)


def test_every_reference_leads_to_a_page():
    have = pages()
    for name, path in have.items():
        with open(path, encoding="utf-8") as file:
            source = file.read()
        for target, section in re.findall(r"^\.(?:It )?Xr (\S+) (\d)", source, flags=re.M):
            assert f"{target}.{section}" in have, f"{name} refers to {target}({section})"


def test_an_installed_omctl_is_whole():
    """Installed somewhere else, it finds its own programs and pages, and shells find its completions."""
    need("meson")
    need("mandoc")
    build = os.path.join(PAGES, "../..")
    with tempfile.TemporaryDirectory() as root:
        run("meson", "install", "-C", build, "--no-rebuild", env={**os.environ, "DESTDIR": root}, check=True)
        (top,) = [place for place, _, files in os.walk(root) if "omctl" in files and place.endswith("/bin")]
        top = os.path.dirname(top)
        environment = {key: value for key, value in os.environ.items() if not key.startswith("OMIG_")}
        told = run(top + "/bin/omctl", "doctor", "--json", env=environment)
        probes = {probe["name"]: probe.get("detail", "") for probe in harness.json.loads(told.stdout)["probes"]}
        for name in ("homed", "omig-host", "omig-stub", "omig-engine", "libomig.so"):
            assert probes[name] == f"{os.path.realpath(top)}/lib/omig/{name}", (name, probes)
        assert os.path.realpath(top + "/sbin/homed") == os.path.realpath(top + "/lib/omig/homed")
        for page in pages():
            assert os.path.exists(f"{top}/share/man/man{page[-1]}/{page}"), page
        for file in ("zsh/site-functions/_omctl", "bash-completion/completions/omctl"):
            with open(f"{top}/share/{file}", encoding="utf-8") as script:
                assert "'omctl lab exec')" in script.read(), file
        for name in tree()["other_names"]:
            shown = run(f"{top}/bin/{name['name']}", "--help", env=environment)
            assert shown.returncode == 0 and "Example:" in shown.stdout, (name["name"], shown)
            assert os.path.exists(f"{top}/share/bash-completion/completions/{name['name']}"), name["name"]
        shown = run(top + "/bin/omctl", "help", "why", env={**environment, "MANPAGER": "cat"})
        assert shown.returncode == 0 and "EXAMPLES" in re.sub(r".\x08", "", shown.stdout), shown


def test_help_shows_the_page():
    need("mandoc")  # or man, which is asked first
    for name in ("", "migrate", "lab up", "mosmon", "homed", "omig"):
        shown = omctl("help", *name.split(), env={**os.environ, "MANPAGER": "cat", "MAN_KEEP_FORMATTING": "", "TERM": "dumb"})
        page = re.sub(r".\x08", "", shown.stdout)
        assert shown.returncode == 0 and "DESCRIPTION" in page and "EXAMPLES" in page, (name, shown)
    shown = omctl("help", "unheard-of")
    assert shown.returncode == 1 and "no command unheard-of" in shown.stderr, shown


def test_help_without_man_says_what_the_program_knows():
    with tempfile.TemporaryDirectory() as empty:
        shown = omctl("help", "migrate", env={"PATH": empty})
        assert shown.returncode == 0 and "omctl migrate [OPTIONS] PID WHERE" in shown.stdout, shown
        shown = omctl("help", env={"PATH": empty})
        assert shown.returncode == 0 and "omctl COMMAND --help" in shown.stdout, shown


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
