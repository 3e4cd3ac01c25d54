#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""libomig-client: what it exports is what the header declares, what the version script lists and what pages describe."""
import glob
import os
import re
import sys
import tempfile

import harness
from harness import PAGES, need, run

LIBRARY = os.environ["LIBRARY"]
HEADER = os.environ["HEADER"]
PC = os.environ["PC"]
API = os.path.join(PAGES, "api")


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


def exported():
    table = run("nm", "-D", "--defined-only", LIBRARY, check=True).stdout
    return {line.split()[2].split("@")[0]: line.split()[1] for line in table.splitlines()}


def functions():
    return {name for name, kind in exported().items() if kind == "T"}


def test_it_exports_what_the_header_declares_and_nothing_else():
    declared = set(re.findall(r"\b(omig_\w+)\((?=[^;]*\);)", re.sub(r"/\*.*?\*/", "", read(HEADER), flags=re.S)))
    assert len(declared) >= 35 and functions() == declared, functions() ^ declared
    others = {name for name, kind in exported().items() if kind != "T"}
    assert others == {"OMIG_0.1", "OMIG_0.2"}, others


def test_every_function_has_its_page():
    for name in functions():
        path = os.path.join(API, name + ".3")
        assert os.path.exists(path), f"{name} has no page (docs/man/api/meson.build)"
        page = read(path)
        led = re.fullmatch(r"\.so man3/(\w+\.3)\n", page)
        page = read(os.path.join(API, led.group(1))) if led else page
        assert re.search(rf"^\.Nm {name}\b", page, flags=re.M), f"{name}: its page does not name it"
        assert re.search(rf"^\.Fo {name}$", page, flags=re.M), f"{name}: not in the synopsis of its page"
        assert re.search(rf"^\.Fn {name}\b", page, flags=re.M), f"{name}: its page says nothing of it"


def test_no_page_describes_what_is_not_there():
    pages = {os.path.basename(path)[:-2] for path in glob.glob(API + "/*.3")}
    assert pages - functions() <= {"omig_" + group for group in ("nodes", "processes", "settings", "bring", "log", "why")}, pages - functions()
    for path in glob.glob(API + "/*.3"):
        for name in re.findall(r"^\.F[on] (omig_\w+)", read(path), flags=re.M):
            assert name in functions(), f"{path}: there is no {name}"


def test_mandoc_has_nothing_to_say():
    need("mandoc")
    pages = [path for path in glob.glob(API + "/*.3") if not read(path).startswith(".so")]
    assert len(pages) >= 10
    said = run("mandoc", "-Tlint", *pages).stdout.splitlines()
    said = [line for line in said if "referenced manual not found" not in line and "outdated mandoc.db" not in line]
    assert not said, "\n".join(said)


def test_every_reference_leads_to_a_page():
    for path in glob.glob(API + "/*.3"):
        for target, section in re.findall(r"^\.Xr (\S+) (\d)", read(path), flags=re.M):
            there = [os.path.join(folder, f"{target}.{section}") for folder in (API, PAGES)]
            assert (target, section) == ("errno", "3") or any(map(os.path.exists, there)), f"{path}: {target}({section})"


def test_one_version():
    version = re.search(r'#define OMIG_VERSION "(\d+\.\d+\.\d+)"', read(HEADER)).group(1)
    assert f"Version: {version}\n" in read(PC), read(PC)
    assert os.path.realpath(LIBRARY).endswith("libomig-client.so." + version), os.path.realpath(LIBRARY)
    soname = re.search(r"SONAME.*\[(.*)\]", run("readelf", "-d", LIBRARY, check=True).stdout).group(1)
    assert soname == "libomig-client.so." + version.split(".", maxsplit=1)[0], soname


def test_it_stands_on_nothing_but_the_languages_libraries():
    needed = set(re.findall(r"NEEDED.*\[(.*?)\.so", run("readelf", "-d", LIBRARY, check=True).stdout))
    if any("san" in name for name in needed):
        raise harness.Skip("a build with sanitizers needs their libraries")
    assert needed <= {"libstdc++", "libgcc_s", "libm", "libc", "ld-linux-x86-64"}, needed


def test_the_header_is_c_and_cxx():
    with tempfile.TemporaryDirectory() as place:
        for compiler, standard, name in (("cc", "c99", "a.c"), ("c++", "c++11", "a.cpp")):
            source = os.path.join(place, name)
            with open(source, "w", encoding="utf-8") as file:
                file.write("#include <omig.h>\n#include <omig.h>\nint unused;\n")
            run(compiler, "-std=" + standard, "-pedantic-errors", "-Wall", "-Wextra", "-Wstrict-prototypes" if name == "a.c" else "-Wall",
                "-Werror", "-fsyntax-only", "-I", os.path.dirname(HEADER), source, check=True)


def test_an_installed_library_is_whole():
    """Header, library, .pc and pages: a program is made and run with nothing but what was installed."""
    need("meson")
    need("pkg-config")
    with tempfile.TemporaryDirectory() as root:
        run("meson", "install", "-C", os.path.join(PAGES, "../.."), "--no-rebuild", env={**os.environ, "DESTDIR": root}, check=True)
        (folder,) = [place for place, _, files in os.walk(root) if "omig.pc" in files]
        found = {**os.environ, "PKG_CONFIG_LIBDIR": folder, "PKG_CONFIG_SYSROOT_DIR": root}
        words = run("pkg-config", "--cflags", "--libs", "omig", env=found, check=True).stdout.split()
        example = os.path.join(os.path.dirname(HEADER), "../../examples/cluster.c")
        run("cc", "-o", root + "/cluster", example, *words, check=True)
        libraries = os.path.dirname(folder)
        here = {**os.environ, "LD_LIBRARY_PATH": libraries, "OMIG_DIR": root}
        told = run(root + "/cluster", env=here)
        assert told.returncode == 1 and told.stderr.startswith(f"cluster: no homed at {root}/homed.sock"), told
        assert os.path.realpath(libraries + "/libomig-client.so.0").startswith(os.path.realpath(root))
        assert not os.path.exists(libraries + "/libomig.so"), "that name is the engine's, and must not be in the linker's path"
        installed = {os.path.basename(path)[:-2] for path in glob.glob(root + "/**/man3/*.3", recursive=True)}
        assert functions() <= installed, functions() - installed


if __name__ == "__main__":
    harness.main(sys.modules[__name__])
