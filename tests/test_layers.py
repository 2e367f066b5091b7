# SPDX-License-Identifier: GPL-2.0-only
"""Who may import whom. Read from the sources, imports inside functions included; `if TYPE_CHECKING:` as well."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("xm_tmem", "hypervisor_model")

# The rooms of the toolstack, and those each may use besides itself. What stands alone in xm_tmem (errors, ids,
# units, settings, version, named_tuple) may be used by all.
ALONE = {"errors", "ids", "units", "settings", "version", "named_tuple", ""}
TOOLSTACK = {
    "cli": {"operations", "listing", "render", "backends", "streams"},
    "operations": {"backends", "listing", "streams"},
    "render": {"listing"},
    "listing": set(),
    "streams": {"backends"},
    "backends": {"listing"},
    "__main__": {"cli"},
}
# Of the backends, those above see the interface, the registry and the diagnosis, and no more.
SEEN_OF_BACKENDS = {"xm_tmem.backends.interface", "xm_tmem.backends.registry", "xm_tmem.backends.diagnosis"}
# The only ones to import the model beyond what is public.
DOORS = {
    "xm_tmem.backends.transport.inprocess",
    "xm_tmem.backends.registry",
    "xm_tmem.cli.evaluate_cmd",
    "xm_tmem.cli.model_cmd",
    "xm_tmem.cli.model_sweep_cmd",
}
# What is let pass, and why.
EXCEPTIONS = {
    (
        "hypervisor_model.guests.kinds",
        "hypervisor_model.scenario.driver",
    ): "types alone: what a scenario hands over",
}
# The model's rooms, the highest first: each may use those after it.
MODEL = ("server", "evaluation", "scenario", "guests", "hypervisor", "tmem", "host", "lib", "public")


def modules() -> list[str]:
    return sorted(
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
    )


def imports(module: str) -> Iterator[str]:
    """Every module of the two packages that `module` imports, by full name."""
    path = ROOT.joinpath(*module.split("."))
    source = (path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name.split(".")[0] in PACKAGES)
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in PACKAGES:
            for name in node.names:
                below = ROOT.joinpath(*node.module.split("."), name.name)
                found = below.is_dir() or below.with_suffix(".py").exists()
                yield f"{node.module}.{name.name}" if found else node.module
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: import by full name"


def room(module: str) -> str:
    """`operations` of xm_tmem.operations.query; "" of a package itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def faults(module: str, imported: str) -> str | None:
    """Why `module` may not import `imported`, or None."""
    own, other = room(module), room(imported)
    if module.startswith("hypervisor_model"):
        if imported.startswith("xm_tmem"):
            return "the model knows nothing of the toolstack"
        if own == "public":
            return None if other == "public" else "public imports nothing"
        if own in MODEL and other in MODEL and MODEL.index(other) < MODEL.index(own):
            return f"{own} is below {other}"
        return None
    if imported.startswith("hypervisor_model"):
        return None if other == "public" or module in DOORS else "of the model only hypervisor_model.public"
    if other in ALONE or own == other:
        return None
    if other not in TOOLSTACK.get(own, set()):
        return f"{own or 'the package itself'} does not use {other}"
    if other == "backends" and imported not in SEEN_OF_BACKENDS and module not in DOORS:
        return "of the backends only the interface and the registry"
    return None


@pytest.mark.parametrize("package", PACKAGES)
def test_every_import_keeps_to_its_layer(package: str) -> None:
    broken = [
        f"{module} imports {imported}: {fault}"
        for module in modules()
        if module.split(".")[0] == package
        for imported in imports(module)
        if (fault := faults(module, imported)) is not None and (module, imported) not in EXCEPTIONS
    ]
    assert broken == []


@pytest.mark.parametrize("exception", EXCEPTIONS, ids=str)
def test_every_exception_is_still_one(exception: tuple[str, str]) -> None:
    module, imported = exception
    assert imported in imports(module)
    assert faults(module, imported) is not None


@pytest.mark.parametrize(
    ("module", "imported"),
    [
        ("xm_tmem.operations.query", "xm_tmem.cli.session"),
        ("xm_tmem.operations.query", "xm_tmem.backends.hypercall"),
        ("xm_tmem.render.plain", "xm_tmem.backends.interface"),
        ("xm_tmem.listing.parse", "xm_tmem.render.cells"),
        ("xm_tmem.backends.hypercall", "hypervisor_model.hypervisor"),
        ("xm_tmem.cli.list_cmd", "hypervisor_model.tmem.pool"),
        ("xm_tmem.errors", "xm_tmem.cli.session"),
        ("hypervisor_model.tmem.pool", "xm_tmem.errors"),
        ("hypervisor_model.tmem.pool", "hypervisor_model.hypervisor"),
        ("hypervisor_model.lib.tlsf", "hypervisor_model.host.heap"),
        ("hypervisor_model.public.tmem", "hypervisor_model.lib.tlsf"),
    ],
)
def test_a_forbidden_import_would_be_found(module: str, imported: str) -> None:
    assert faults(module, imported) is not None


def test_every_file_begins_with_its_licence_and_says_what_it_is_for() -> None:
    for package in (*PACKAGES, "tests", "benchmarks"):
        for path in (ROOT / package).rglob("*.py"):
            text = path.read_text(encoding="utf-8")
            assert text.startswith("# SPDX-License-Identifier: GPL-2.0-only\n"), path
            if len(text.splitlines()) > 2:
                assert ast.get_docstring(ast.parse(text)), path
