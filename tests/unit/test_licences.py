"""What the program needs at run time may be used and passed on by anybody."""

import re
from importlib.metadata import Distribution, distribution, requires

import pytest
from packaging.requirements import Requirement

#: Licences without conditions on the software that uses what is under them, and MPL-2.0, whose conditions end with its
#: own files. As expressions of SPDX, and as the words that older packages use.
ALLOWED = {
    *("0BSD", "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CNRI-Python", "ISC", "MIT", "MPL-2.0", "PSF-2.0", "Zlib"),
    *("Apache", "Apache 2.0", "Apache License 2.0", "Apache License, Version 2.0", "Apache Software License"),
    *("3-Clause BSD License", "Mozilla Public License 2.0 (MPL 2.0)"),
    *("BSD License", "MIT License", "Python Software Foundation License", "MIT No Attribution"),
}


def name_of(requirement: str) -> str:
    return re.split(r"[^A-Za-z0-9._-]", requirement, maxsplit=1)[0].lower().replace("_", "-").replace(".", "-")


def wanted_by(name: str, extra: str = "") -> list[str]:
    """What *name* needs on this machine, with one of its extras or without any."""
    found = [Requirement(text) for text in requires(name) or ()]
    return [name_of(r.name) for r in found if r.marker is None or r.marker.evaluate({"extra": extra})]


def runtime_packages() -> list[str]:
    todo, found = wanted_by("studio-exporter", "otel"), set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += wanted_by(name)
    return sorted(found)


def licences_of(package: Distribution) -> set[str]:
    """The words for its licence: of an expression, else of the classifiers, else of the free text."""
    about = package.metadata
    classifiers = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    expression = (about.get("License-Expression") or "").strip(" ()")
    named = expression or " AND ".join({*classifiers} - {"OSI Approved"}) or about.get("License")
    return set(re.split(r"\s+(?:AND|OR)\s+", (named or "none").strip()))


@pytest.mark.parametrize("name", runtime_packages())
def test_a_package_s_licence_is_one_that_asks_nothing_of_its_user(name):
    assert licences_of(distribution(name)) <= ALLOWED
