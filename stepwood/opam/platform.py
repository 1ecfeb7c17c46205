"""What conditions may ask of the machine that packages are built for."""

from __future__ import annotations

from stepwood.opam.filters import Variables
from system.errors import InputError

FAMILIES = {"debian": "debian", "ubuntu": "debian"}
"""`os-family` of distributions, where it is another than themselves."""
OPAM = "2.1.2"
"""The opam whose ways are followed: Debian 12's."""


def variables(os: str = "debian-12", arch: str = "x86_64") -> Variables:
    """The variables of a distribution and its version, `debian-12`, as opam itself would find them there."""
    distribution, _, version = os.partition("-")
    if not distribution or not version:
        raise InputError(f'--os takes a distribution and its version, not "{os}"', hint="for instance debian-12")
    return {
        "arch": arch,
        "os": "linux",
        "os-distribution": distribution,
        "os-family": FAMILIES.get(distribution, distribution),
        "os-version": version,
        "opam-version": OPAM,
        "with-test": False,
        "with-doc": False,
        "with-dev-setup": False,
        "dev": False,
        "build": True,
        "post": True,
    }
