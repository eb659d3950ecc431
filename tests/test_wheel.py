"""The wheel: built, installed alone in an empty environment outside of the checkout, and used there.

What it depends on is taken from the environment of the tests, exactly those packages and what they require themselves,
so that no network is needed and nothing else can be missing by chance.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import venv
import zipfile
from collections.abc import Callable, Iterator
from importlib.metadata import distribution
from pathlib import Path

import msgspec
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: dict[str, list[str]] = PROJECT["optional-dependencies"]
ORDERS = 40

IMPORT_ALL = """
import importlib, json, pkgutil, sys, stateward
missing = {}
for each in pkgutil.walk_packages(stateward.__path__, "stateward.", onerror=lambda name: None):
    if not each.name.endswith("__main__"):
        try:
            importlib.import_module(each.name)
        except ModuleNotFoundError as error:
            missing[each.name] = ["", error.name]
        except ImportError as error:
            missing[each.name] = [error.extra, error.package]
print(json.dumps(missing))
"""
"""Imports every module; of those that lack something, which extra they ask for, if they say so, and what they lack."""


class Environment:
    """A virtual environment with the wheel and some packages in it, and a folder outside of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir(parents=True)
        venv.create(folder / "env", symlinks=True)
        self.bin = folder / "env" / "bin"
        [self.packages] = (folder / "env" / "lib").glob("python3.*/site-packages")

    def add(self, entries: Iterator[Path]) -> None:
        """Have these entries of another environment here as well."""
        for each in entries:
            link = self.packages / each.name
            if not link.is_symlink():
                link.symlink_to(each)

    def run(self, *command: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        """Run a command that is installed here."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
        done = subprocess.run(
            [self.bin / command[0], *command[1:]],
            cwd=self.home, capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        return done

    def imports(self) -> dict[str, tuple[str, str]]:
        """The modules that can't be imported here: which extra each asks for, if it says so, and what it lacks."""
        return msgspec.json.decode(self.run("python", "-c", IMPORT_ALL).stdout, type=dict[str, tuple[str, str]])


def required(requirements: list[str]) -> set[str]:
    """The distributions that requirements bring, with all that these require."""
    found: dict[tuple[str, str], None] = {}
    remaining = [Requirement(each) for each in requirements]
    while remaining:
        requirement = remaining.pop()
        name = canonicalize_name(requirement.name)
        for extra in ("", *requirement.extras):
            if (name, extra) in found:
                continue
            found[name, extra] = None
            needed = [Requirement(each) for each in distribution(name).requires or ()]
            remaining += [each for each in needed if each.marker is None or each.marker.evaluate({"extra": extra})]
    return {name for name, _ in found}


def entries_of(distributions: set[str]) -> Iterator[Path]:
    """What these distributions have put into the environment of the tests."""
    for name in sorted(distributions):
        found = distribution(name)
        tops = {each.parts[0] for each in found.files or ()} - {"..", "__pycache__"}
        yield from (Path(str(found.locate_file(top))) for top in sorted(tops))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def alone(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel with its base dependencies, and nothing else."""
    made = Environment(tmp_path_factory.mktemp("alone"))
    subprocess.run(
        [sys.executable, "-m", "pip", "--python", str(made.bin / "python"), "install", "-qq", "--no-index", "--no-deps",
         "--disable-pip-version-check", str(wheel)],
        cwd=made.home, check=True, env={**os.environ, "PIP_NO_COMPILE": "1"},
    )  # fmt: skip
    made.add(entries_of(required(PROJECT["dependencies"])))
    return made


@pytest.fixture(scope="module")
def missing(alone: Environment) -> dict[str, tuple[str, str]]:
    """The modules that the wheel alone can't import."""
    return alone.imports()


MakeEnvironment = Callable[[str], Environment]


@pytest.fixture
def with_extra(alone: Environment, tmp_path: Path) -> MakeEnvironment:
    """The same, and what an extra brings."""

    def make(extra: str) -> Environment:
        made = Environment(tmp_path / extra)
        made.add(path for path in alone.packages.iterdir() if not path.name.startswith("__pycache__"))
        made.add(entries_of(required(EXTRAS[extra])))
        return made

    return make


def extra_of(asked: str, package: str) -> set[str]:
    """The extras by which a module can be imported that asks for one, or lacks a package."""
    if asked:
        return {asked}
    brings = {
        extra: {path.name.partition(".")[0] for path in entries_of(required(packages))}
        for extra, packages in EXTRAS.items()
        if extra != "all"
    }
    return {extra for extra, tops in brings.items() if package.partition(".")[0] in tops}


def test_it_holds_the_package_with_all_that_belongs_to_it_and_nothing_else(wheel: Path) -> None:
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "src/stateward"]
    listing = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    sources = {each.removeprefix("src/") for each in listing.split("\0") if each and (ROOT / each).exists()}
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    own = {each for each in names if not re.match(r"stateward-[\d.]+\.dist-info/", each)}
    assert own == {each for each in sources if not each.endswith("ruff.toml")}
    assert "stateward/py.typed" in own
    assert {each.rpartition(".")[2] for each in own} >= {"py", "typed", "sql"}
    assert not [each for each in own if "test" in each and not each.startswith("stateward/testing/")]


def test_its_requirements_are_those_of_the_project(alone: Environment) -> None:
    code = "import importlib.metadata as m; print(*m.requires('stateward'), sep='\\n')"
    told = alone.run("python", "-c", code).stdout.splitlines()
    base = [Requirement(each) for each in told if "extra ==" not in each]
    assert {str(each) for each in base} == {str(Requirement(each)) for each in PROJECT["dependencies"]}


def test_it_is_the_installed_one_that_is_used(alone: Environment) -> None:
    where = alone.run("python", "-c", "import stateward; print(stateward.__file__)").stdout.strip()
    assert Path(where).is_relative_to(alone.folder)
    assert not Path(where).resolve().is_relative_to(ROOT)


def test_its_command_says_what_it_can_do(alone: Environment) -> None:
    told = alone.run("stateward", "--help").stdout
    assert "Durable state machines" in told
    assert "demo" in told
    assert alone.run("stateward", "--version").stdout == f"stateward {PROJECT['version']}\n"
    assert alone.run("python", "-m", "stateward.cli", "--version").stdout.startswith("stateward ")


def test_its_demo_runs(alone: Environment) -> None:
    done = alone.run("stateward", "demo", "--once", "--orders", str(ORDERS), "--db", "shop.db")
    told = " ".join(done.stdout.split())
    assert "kill -9" in told
    assert "asked twice, charged once" in told
    assert f"{ORDERS} orders in" in told
    assert sorted(each.name for each in alone.home.glob("*.db")) == ["shop-provider.db", "shop.db"]


def test_the_project_that_it_writes_works_there(alone: Environment) -> None:
    written = alone.run("stateward", "init", "mine").stdout.splitlines()
    assert all((alone.home / each).exists() for each in written)
    assert "mine/mine/app.py" in written
    there = "import os, sys; os.chdir('mine'); sys.argv[0] = 'stateward'; from stateward.cli import main; main()"
    assert "started in draft" in alone.run("python", "-c", there, "create", "Order", "A-1").stdout
    assert "Order A-1 is in draft" in alone.run("python", "-c", there, "show", "Order", "A-1").stdout


def test_every_module_can_be_imported_or_lacks_what_one_extra_brings(missing: dict[str, tuple[str, str]]) -> None:
    assert {module for module, (asked, package) in missing.items() if len(extra_of(asked, package)) != 1} == set()
    asked = {extra for each in missing.values() for extra in extra_of(*each)}
    assert asked >= {"postgres", "scxml", "webhooks"}


@pytest.mark.parametrize("extra", sorted(EXTRAS))
def test_with_an_extra_all_modules_can_be_imported_that_lack_it(
    extra: str, missing: dict[str, tuple[str, str]], with_extra: MakeEnvironment
) -> None:
    if extra == "all":
        named = Requirement(EXTRAS["all"][0]).extras
        assert named == set(EXTRAS) - {"all"}
        return
    wanted = {module for module, each in missing.items() if extra in extra_of(*each)}
    left = with_extra(extra).imports()
    assert set(left) == set(missing) - wanted


SAYING: dict[str, tuple[str, ...]] = {
    "postgres": ("stateward", "doctor", "stateward.demo.orders", "--ledger", "postgresql://localhost/none"),
    "scxml": ("stateward", "scxml", "test", "."),
}
"""Commands that need an extra."""


@pytest.mark.parametrize("extra", SAYING)
def test_a_command_says_which_extra_it_lacks(extra: str, alone: Environment) -> None:
    told = alone.run(*SAYING[extra], code=2).stderr
    assert re.fullmatch(rf"Error: \w+ is not installed: pip install 'stateward\[{extra}\]'\n", told)


NEEDING: dict[str, str] = {
    "http": "import stateward.http",
    "postgres": "from stateward import Engine; Engine('postgresql://localhost/none', lifecycles=[])",
    "prometheus": "from stateward.observe.metrics import Metrics; Metrics()",
    "webhooks": "import stateward.work.webhooks",
}
"""Code that needs an extra."""


@pytest.mark.parametrize("extra", NEEDING)
def test_code_is_told_which_extra_it_lacks(extra: str, alone: Environment) -> None:
    told = alone.run("python", "-c", NEEDING[extra], code=1).stderr.splitlines()[-1]
    assert re.fullmatch(
        rf"stateward\.errors\.ExtraMissing: [\w.-]+ is not installed: pip install 'stateward\[{extra}\]'", told
    )


def test_with_sqlalchemy_its_example_runs(with_extra: MakeEnvironment) -> None:
    """The extra brings what applications join by; no module of ours imports it."""
    told = with_extra("sqlalchemy").run("python", str(ROOT / "examples" / "sqlalchemy_shop.py")).stdout
    assert told.splitlines()[-1] == "P-1 called_off {'anvil': 3, 'feather': 100}"
